"""`pipeline("speech-emotion-regression")`: any audio, of any length, to activation, valence and dominance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers.pipelines.base import ChunkPipeline
from transformers.utils import logging

from .affect_result import AffectEstimate, affect_result, check_scale
from .audio import is_clip, open_audio, to_array
from .audio_pieces import WHOLE_S, PiecePart, read_pieces, to_waveform
from .feature_extraction_affect import AffectFeatureExtractor
from .speech_activity import SpeechActivity
from .streaming import AffectStream


logger = logging.get_logger(__name__)


@dataclass
class _Piece:
    """What is known of a piece of a recording while its parts pass."""

    activity: SpeechActivity
    stream: AffectStream | None = None


@dataclass
class _Part:
    """What travels from reading through the model to the result: a piece, or the next part of a long one."""

    index: int
    is_last: bool
    times: dict[str, float]
    sampling_rate: int
    samples: np.ndarray | None  # of a long piece
    input_values: np.ndarray | None  # of one that goes through the model at once
    piece: _Piece | None
    speech_ratio: float = 0.0
    estimate: AffectEstimate | None = None


class SpeechEmotionRegressionPipeline(ChunkPipeline):
    """
    Activation, valence and dominance of speech, for a clip, along a curve of windows, or for given segments.

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
        heard, needed = getattr(kwargs["feature_extractor"], "sampling_rate", None), model.config.sampling_rate
        if heard != needed:
            raise ValueError(
                f"preprocessor_config.json has sampling_rate {heard!r:.50}, the model hears {needed} Hz: mend it, or "
                "pass feature_extractor=AffectFeatureExtractor()"
            )
        super().__init__(model=model, **kwargs)
        self.model.eval()

    def __call__(self, inputs, **kwargs):
        """
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
            per clip a dict, or with `window_s` or `segments` a list of dicts that begin with `start_s` and `end_s`;
            a list of these for a list of clips, an iterator otherwise. A dict has `activation`, `valence` and
            `dominance`; `speech_ratio`, the share of the time that is no silence or steady background (see
            [`SpeechActivity`]); where the model tells them, `uncertainty` (standard deviations, on the same scale),
            `emotions` and `genders` (probabilities). Where `speech_ratio` is 0 all other values are None.

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
        parameters: tuple[dict, dict, dict] = ({}, {}, {})
        for name, value in options.items():
            if name not in steps:
                raise TypeError(f"unexpected option {name!r}; those of this pipeline are {', '.join(steps)}")
            parameters[steps[name]][name] = value
        if "scale" in options:
            check_scale(options["scale"])
        return parameters

    def preprocess(self, clip, sampling_rate=None, window_s=None, hop_s=None, segments=None):
        # always at least one item: an input without any would end transformers' iteration over all inputs
        ahead = None
        if sampling_rate is None:
            sampling_rate = self.feature_extractor.sampling_rate
        with open_audio(clip, sampling_rate) as source:
            for part in self._parts(source, read_pieces(source, window_s, hop_s, segments)):
                if ahead is not None:
                    yield {"part": ahead, "is_last": False}
                ahead = part
        yield {"part": ahead, "is_last": True}

    def _parts(self, source, parts: Iterable[PiecePart]) -> Iterator[_Part]:
        rate = source.sampling_rate
        pieces: dict[int, _Piece] = {}
        for part in parts:
            if part.is_first:
                pieces[part.index] = _Piece(SpeechActivity(rate))
            piece = pieces.pop(part.index) if part.is_last else pieces[part.index]
            piece.activity.push(part.samples)
            samples, input_values = part.samples, None
            if part.is_first and part.is_last and len(samples) <= WHOLE_S * rate:
                samples, input_values = None, to_waveform(samples, rate, self.feature_extractor.sampling_rate)
            times = {} if part.start_s is None else {"start_s": part.start_s, "end_s": part.end_s}
            ratio = piece.activity.ratio() if part.is_last else 0.0
            yield _Part(part.index, part.is_last, times, rate, samples, input_values, piece, ratio)

    def _forward(self, item):
        # transformers passes an item alone when the batch size is 1
        batch = item["part"] if isinstance(item["part"], list) else [item["part"]]
        parts = [part for part in batch if part is not None]
        self._estimate_at_once([part for part in parts if part.input_values is not None and part.speech_ratio > 0])
        for part in parts:
            if part.samples is not None:
                self._estimate_stream(part)
            part.piece = part.samples = part.input_values = None  # results of many hours are kept
        return item

    def _estimate_at_once(self, parts: list[_Part]) -> None:
        if not parts:
            return
        waveforms = {"input_values": [part.input_values for part in parts]}
        batch = self.feature_extractor.pad(waveforms, padding=True, return_attention_mask=True, return_tensors="pt")
        output = self.model(**{name: values.to(self.device) for name, values in batch.items()})
        for part, estimate in zip(parts, _estimates_of(output), strict=True):
            part.estimate = estimate

    def _estimate_stream(self, part: _Part) -> None:
        if part.piece.stream is None:
            part.piece.stream = AffectStream(self.model, sampling_rate=part.sampling_rate)
        if len(part.samples):
            part.piece.stream.push(part.samples)
        if part.is_last and part.speech_ratio > 0:
            [part.estimate] = _estimates_of(part.piece.stream.finish())

    def postprocess(self, model_outputs, scale: str = "label"):
        parts = [output["part"] for output in model_outputs]
        done = sorted((part for part in parts if part is not None and part.is_last), key=lambda part: part.index)
        config = self.model.config
        results = [{**part.times, **affect_result(part.estimate, part.speech_ratio, config, scale)} for part in done]
        return results if not done or done[0].times else results[0]


def _as_array(clip):
    """A list of numbers is taken apart by transformers; an array is not."""
    return to_array(clip) if isinstance(clip, (list, tuple)) and is_clip(clip) else clip


def _estimates_of(output) -> list[AffectEstimate]:
    """Of each clip in a batch, in plain numbers: they are kept for every window of a recording."""
    names = ("logits", "uncertainty", "emotion_logits", "gender_logits")
    told = {name: values for name in names if (values := getattr(output, name)) is not None}
    rows = zip(*(values.float().tolist() for values in told.values()), strict=True)
    return [AffectEstimate(**dict(zip(told, row, strict=True))) for row in rows]
