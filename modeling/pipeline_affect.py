"""`pipeline("speech-emotion-regression")`: any audio, of any length, to activation, valence and dominance."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers.pipelines.base import ChunkPipeline
from transformers.utils import logging

from .affect_result import check_scale, estimate_inputs, model_inputs, results_of
from .audio import is_clip, open_audio, to_array
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
                "this model reads the transcript beside the audio, which this pipeline does not; call it directly: "
                "model(**extractor(audio, return_tensors='pt'), input_ids=..., text_attention_mask=...)"
            )
        if kwargs.get("feature_extractor") is None:
            kwargs["feature_extractor"] = AffectFeatureExtractor()
        found, needed = getattr(kwargs["feature_extractor"], "sampling_rate", None), model.config.sampling_rate
        if found != needed:
            raise ValueError(
                f"preprocessor_config.json has sampling_rate {found!r:.50}, the model expects {needed} Hz: correct "
                "it, or pass feature_extractor=AffectFeatureExtractor()"
            )
        super().__init__(model=model, **kwargs)
        self.model.eval()

    def __call__(self, inputs, **kwargs):
        """Estimate one clip, or several.

        Args:
            inputs: a clip, or several as a list, tuple, generator, dataset (`KeyDataset`) or any other iterable. A
                clip is a path, an http or https address, encoded bytes, a binary file object, an array, tensor or
                list of samples, or a dict with `"array"` (or `"raw"`) and `"sampling_rate"`, or with `"bytes"` or
                `"path"`. A list of numbers is one clip; a list of anything else is several.
            sampling_rate (`int`, *optional*, defaults to 16000): In hertz, of clips that are samples alone.
            window_s (`float`, *optional*): Estimate windows of this length, in seconds, at least 0.1; they start at
                0, `hop_s`, 2 `hop_s`, ... until one reaches the end, where it is cut.
            hop_s (`float`, *optional*, defaults to `window_s`): 0.01 to `window_s`.
            segments (`list[tuple[float, float]]`, *optional*): Estimate these instead, (start_s, end_s) each, in any
                order; they may overlap.
            scale (`str`, *optional*, defaults to `"label"`): Of the values: `"label"`, the scale of the labels;
                `"unit"`, 0 to 1; `"signed"`, -1 to 1.
            batch_size (`int`, *optional*, defaults to 1): Pieces that go through the model at once.

        Returns:
            Per clip a dict, or with `window_s` or `segments` a list of dicts that begin with `start_s` and `end_s`;
            a list of these for a list of clips, an iterator otherwise. A dict has `activation`, `valence` and
            `dominance`; `speech_ratio`, the share of the time that is no silence or steady background (see
            [`SpeechActivity`]); where the model has these heads, `uncertainty` (standard deviations, on the same
            scale), `emotions` and `genders` (probabilities). Where `speech_ratio` is 0 all other values are None.

        Raises:
            ValueError: audio that cannot be read or lasts less than 0.1 s, or options out of range.
        """
        if is_clip(inputs):
            inputs = _as_array(inputs)
        elif isinstance(inputs, (list, tuple)):
            inputs = [_as_array(clip) for clip in inputs]
            if not inputs:
                return []
        elif not isinstance(inputs, Dataset) and isinstance(inputs, Iterable):
            inputs = (_as_array(clip) for clip in inputs)  # transformers iterates over generators alone
        return super().__call__(inputs, **kwargs)

    def get_iterator(self, inputs, num_workers: int, *args):
        if num_workers:
            logger.warning_once("Audio is read in the process that calls: num_workers is taken as 0.")
        return super().get_iterator(inputs, 0, *args)

    def get_inference_context(self):
        return torch.inference_mode

    def _sanitize_parameters(self, **options):
        steps = {"sampling_rate": 0, "window_s": 0, "hop_s": 0, "segments": 0, "scale": 2}
        parameters: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = ({}, {}, {})
        for name, value in options.items():
            if name not in steps:
                raise TypeError(f"unexpected option {name!r}; those of this pipeline are {', '.join(steps)}")
            parameters[steps[name]][name] = value
        if "scale" in options:
            check_scale(options["scale"])
        return parameters

    def preprocess(self, clip, sampling_rate=None, window_s=None, hop_s=None, segments=None):
        # always yields at least one item: a clip without any would end transformers' iteration over all clips
        previous = None
        if sampling_rate is None:
            sampling_rate = self.feature_extractor.sampling_rate
        with open_audio(clip, sampling_rate) as source:
            for item in model_inputs(source, self.feature_extractor.sampling_rate, window_s, hop_s, segments):
                if previous is not None:
                    yield {"item": previous, "is_last": False}
                previous = item
        yield {"item": previous, "is_last": True}

    def _forward(self, batch):
        # transformers passes an item alone when the batch size is 1
        items = batch["item"] if isinstance(batch["item"], list) else [batch["item"]]
        items = [item for item in items if item is not None]
        estimate_inputs(items, self._run, lambda rate: AffectStream(self.model, sampling_rate=rate))
        return batch

    def _run(self, waveforms: list[np.ndarray]):
        inputs = self.feature_extractor.pad(
            {"input_values": waveforms}, padding=True, return_attention_mask=True, return_tensors="pt"
        )
        return self.model(**{name: values.to(self.device) for name, values in inputs.items()})

    def postprocess(self, model_outputs, scale: str = "label"):
        items = [output["item"] for output in model_outputs]
        return results_of([item for item in items if item is not None], self.model.config, scale)


def _as_array(clip):
    """Convert a list of numbers, which transformers would take for several clips, to an array."""
    return to_array(clip) if isinstance(clip, (list, tuple)) and is_clip(clip) else clip
