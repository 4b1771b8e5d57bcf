"""`pipeline("speech-emotion-regression")`: any audio, of any length, to activation, valence and dominance."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers.pipelines.base import ChunkPipeline
from transformers.utils import logging

from .affect_result import check_options, estimate_inputs, model_inputs, results_of
from .audio import each_clip, is_indexed, is_one_clip, to_array
from .audio_pieces import check_cut
from .feature_extraction_affect import AffectFeatureExtractor
from .streaming import AffectStream


logger = logging.get_logger(__name__)


class SpeechEmotionRegressionPipeline(ChunkPipeline):
    """Activation, valence and dominance of speech, for a clip, along a curve of windows, or for given segments.

    ```python
    estimate = pipeline("speech-emotion-regression", model=folder)
    estimate("talk.mp3")                          # {"activation": 3.9, "valence": 4.2, "dominance": 4.0, ...}
    estimate("talk.mp3", window_s=4, hop_s=1)     # [{"start_s": 0.0, "end_s": 4.0, "activation": ...}, ...]
    estimate("talk.mp3", segments=[(3.2, 7.9)])   # [{"start_s": 3.2, "end_s": 7.9, ...}]
    ```

    Recordings are read from start to end in blocks, so memory does not grow with their length; what lasts longer
    than 30 s passes through the model as a stream, with the same result.

    Args:
        model: one of this package that reads audio alone.
        kwargs: as of every pipeline of transformers, and the options of a call.
    """

    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False
    _load_tokenizer = False
    _load_feature_extractor = None  # where a folder has none, this package's own

    def __init__(self, model, **kwargs):
        if model.config.reads_text:
            raise ValueError(
                "this model reads the transcript, which this pipeline does not; call it directly with its "
                "AutoProcessor: model(**processor(audio=..., text=..., return_tensors='pt'))"
            )
        if kwargs.get("feature_extractor") is None:
            kwargs["feature_extractor"] = AffectFeatureExtractor()
        found, needed = getattr(kwargs["feature_extractor"], "sampling_rate", None), model.config.sampling_rate
        if found != needed:
            raise ValueError(
                f"the feature extractor has sampling_rate {found!r:.50}, the model expects {needed} Hz: correct it in "
                "its JSON file, or pass feature_extractor=AffectFeatureExtractor()"
            )
        super().__init__(model=model, **kwargs)
        self.model.eval()

    def __call__(self, inputs, **kwargs):
        """Estimate one clip, or several.

        Args:
            inputs: a clip, or several as a list, tuple, generator, dataset (`KeyDataset`) or any other iterable. A
                clip is a path, an http or https address, encoded bytes, a binary file object, a 1-D array, tensor or
                list of samples, or a dict with `"array"` (or `"raw"`) and `"sampling_rate"`, or with `"bytes"` or
                `"path"`. A list of numbers is one clip; a list of anything else is several. A 2-D array or tensor in a
                list or a dict is one clip with its channels, which are averaged; by itself it may be several clips as
                well, and is refused.
            sampling_rate (`int`, *optional*, defaults to 16000): In hertz, of clips that are samples alone.
            window_s (`float`, *optional*): Estimate windows of this length, in seconds, at least 0.1; they start at
                0, `hop_s`, 2 `hop_s`, ... until one reaches the end, where it is cut.
            hop_s (`float`, *optional*, defaults to `window_s`): 0.01 to `window_s`.
            segments (`list`, *optional*): Estimate these instead: (start, end) each, or dicts or objects with `start`
                and `end`, in seconds or timedeltas, in any order; they may overlap. An end that is missing (None, NaN,
                NaT) is that of the recording; one up to 0.1 s behind it is cut. A segment under 0.1 s has no values.
            on_error (`str`, *optional*, defaults to `"raise"`): `"skip"`: a clip that cannot be read, or a segment
                that lies behind its end, has a result of None with the reason as `error`.
            scale (`str`, *optional*, defaults to `"label"`): Of the values: `"label"`, the scale of the labels;
                `"unit"`, 0 to 1; `"signed"`, -1 to 1.
            batch_size (`int`, *optional*, defaults to 1): Pieces that go through the model at once.

        Returns:
            Per clip a dict, or with `window_s` or `segments` a list of dicts that begin with `start_s` and `end_s`;
            a list of these for a list of clips, an iterator otherwise. A dict has `activation`, `valence` and
            `dominance`; `speech_ratio`, the share of the time that is no silence or steady background (see
            [`SpeechActivity`]); where the model has these heads, `uncertainty` (standard deviations, on the same
            scale), `emotions` and `genders` (probabilities). Where `speech_ratio` is 0 all other values are None;
            where there is an `error`, `speech_ratio` as well.

        Raises:
            ValueError: audio that cannot be read or lasts less than 0.1 s, or options out of range.
        """
        on_error = kwargs.get("on_error", self._preprocess_params.get("on_error"))
        if is_one_clip(inputs):
            clips = to_array(inputs) if isinstance(inputs, (list, tuple)) else inputs
        elif isinstance(inputs, (list, tuple)):
            if not inputs:
                return []
            clips = list(inputs)
        elif on_error == "skip" and is_indexed(inputs):
            clips = each_clip(inputs)
        elif not isinstance(inputs, Dataset) and isinstance(inputs, Iterable):
            clips = (clip for clip in inputs)  # transformers iterates over generators alone
        else:
            clips = inputs
        results = super().__call__(clips, **kwargs)
        return results if isinstance(results, (list, dict)) else _Results(results, inputs)

    def get_iterator(self, inputs, num_workers: int, *args):
        if num_workers:
            logger.warning_once("Audio is read in the process that calls: num_workers is taken as 0.")
        return super().get_iterator(inputs, 0, *args)

    def get_inference_context(self):
        return torch.inference_mode

    def _sanitize_parameters(self, **options):
        steps = (("sampling_rate", "window_s", "hop_s", "segments", "on_error"), ("on_error",), ("scale",))
        known = list(dict.fromkeys(name for step in steps for name in step))
        if unknown := [name for name in options if name not in known]:
            raise TypeError(f"unexpected option {unknown[0]!r}; those of this pipeline are {', '.join(known)}")
        check_options(**{name: options[name] for name in ("scale", "on_error") if name in options})
        if options.get("segments") is not None:
            options["segments"] = check_cut(None, None, options["segments"])  # which may be read only once
        elif options.get("window_s") is not None:
            check_cut(options["window_s"], options.get("hop_s"), None)
        return tuple({name: options[name] for name in step if name in options} for step in steps)

    def preprocess(self, clip, sampling_rate=None, **options):
        # always yields at least one item: a clip without any would end transformers' iteration over all clips
        previous = None
        needed = self.feature_extractor.sampling_rate
        for item in model_inputs(clip, needed if sampling_rate is None else sampling_rate, needed, **options):
            if previous is not None:
                yield {"item": previous, "is_last": False}
            previous = item
        yield {"item": previous, "is_last": True}

    def _forward(self, batch, on_error="raise"):
        # transformers passes an item alone when the batch size is 1
        items = batch["item"] if isinstance(batch["item"], list) else [batch["item"]]
        items = [item for item in items if item is not None]
        estimate_inputs(items, self._run, lambda rate: AffectStream(self.model, sampling_rate=rate), on_error)
        return batch

    def _run(self, waveforms: list[np.ndarray]):
        inputs = self.feature_extractor.pad(
            {"input_values": waveforms}, padding=True, return_attention_mask=True, return_tensors="pt"
        )
        return self.model(**{name: values.to(self.device) for name, values in inputs.items()})

    def postprocess(self, model_outputs, scale: str = "label"):
        items = [output["item"] for output in model_outputs]
        return results_of([item for item in items if item is not None], self.model.config, scale)


class _Results(Iterator):
    """Results one by one, for `next` as for a loop, each once; `len` is that of the clips."""

    def __init__(self, results: Iterable, clips):
        self._results, self._clips = iter(results), clips

    def __next__(self):
        return next(self._results)

    def __len__(self):
        return len(self._clips)
