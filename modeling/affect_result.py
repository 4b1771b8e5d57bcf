"""From the pieces of a recording to results by name; needs neither torch nor transformers."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .audio import open_audio, to_waveform
from .audio_pieces import WHOLE_S, check_cut, read_pieces
from .speech_activity import SpeechActivity


DIMENSIONS = ("activation", "valence", "dominance")
SCALES = ("label", "unit", "signed")
ON_ERROR = ("raise", "skip")
OUTPUT_FIELDS = ("logits", "uncertainty", "emotion_logits", "gender_logits")


@dataclass
class AffectEstimate:
    """A model's outputs for one clip, None where the model has no such head.

    Args:
        logits: of the dimensions, on the label scale; None where nothing was estimated.
        uncertainty: standard deviations of the dimensions, on the label scale.
        emotion_logits, gender_logits: of the classes.
    """

    logits: Sequence[float] | None
    uncertainty: Sequence[float] | None = None
    emotion_logits: Sequence[float] | None = None
    gender_logits: Sequence[float] | None = None


def estimates_of(outputs: Mapping[str, Any]) -> list[AffectEstimate]:
    """Split the outputs of a batch, arrays or tensors (batch, values) by name, into one estimate per clip."""
    values = {name: outputs[name].tolist() for name in OUTPUT_FIELDS if outputs.get(name) is not None}
    return [AffectEstimate(**dict(zip(values, row, strict=True))) for row in zip(*values.values(), strict=True)]


@dataclass
class _Piece:
    """State that the parts of one piece share."""

    activity: SpeechActivity
    stream: Any = None
    error: str | None = None


@dataclass
class ModelInput:
    """A piece of a recording, or the next part of a piece longer than 30 s, on its way through a model.

    Args:
        index: place of the piece among the results.
        is_last: whether the piece ends here.
        sampling_rate: of `samples`, in hertz.
        times, speech_ratio: `start_s` and `end_s` (unless it is the whole recording) and ratio, in the last part.
        error: why there is no estimate, in the last part.
        waveform: (samples,) at the model's rate: a whole piece that goes through the model at once.
        samples: (samples,) at the recording's rate: the next part of a long piece, which is streamed.
        estimate: of the piece, once its last part has been through the model; None for silence.
    """

    index: int
    is_last: bool
    sampling_rate: int
    times: dict[str, float | None] = field(default_factory=dict)
    speech_ratio: float = 0.0
    error: str | None = None
    waveform: np.ndarray | None = None
    samples: np.ndarray | None = None
    estimate: AffectEstimate | None = None
    piece: _Piece | None = None

    @property
    def is_pending(self) -> bool:
        """Whether this still has to go through the model."""
        return self.waveform is not None or self.samples is not None


def model_inputs(
    clip, sampling_rate: int, target_rate: int, window_s=None, hop_s=None, segments=None, on_error: str = "raise"
) -> Iterator[ModelInput]:
    """Read a clip as inputs of a model. Silent pieces up to 30 s have nothing for the model.

    Args:
        clip, sampling_rate: as of [`open_audio`].
        target_rate: of the model, in hertz.
        window_s, hop_s, segments: as of [`check_cut`].
        on_error: `"skip"`: a clip that cannot be read, and a segment that it does not have, come as errors.

    Raises:
        ValueError: options out of range, or without `"skip"`: a clip that cannot be read or is under 0.1 s.
    """
    segments = check_cut(window_s, hop_s, segments)
    found = set()
    try:
        with open_audio(clip, sampling_rate) as source:
            for item in _read_inputs(source, target_rate, window_s, hop_s, segments, on_error):
                if item.is_last:
                    found.add(item.index)
                yield item
    except ValueError as error:
        if on_error == "raise":
            raise
        if segments is not None:
            missing = {index: _times(*bounds) for index, bounds in enumerate(segments) if index not in found}
        else:
            missing = {len(found): {} if window_s is None else _times(None, None)}
        for index, times in missing.items():
            yield ModelInput(index, True, 0, times, error=str(error))


def _read_inputs(source, target_rate: int, window_s, hop_s, segments, on_error: str) -> Iterator[ModelInput]:
    rate = source.sampling_rate
    pieces: dict[int, _Piece] = {}
    for part in read_pieces(source, window_s, hop_s, segments):
        if part.error and on_error == "raise":
            raise ValueError(part.error)
        if part.is_first:
            pieces[part.index] = _Piece(SpeechActivity(rate))
        piece = pieces.pop(part.index) if part.is_last else pieces[part.index]
        piece.activity.push(part.samples)
        item = ModelInput(part.index, part.is_last, rate, error=part.error, piece=piece)
        if part.is_last:
            item.speech_ratio = piece.activity.ratio()
            item.times = {} if part.start_s is None else _times(part.start_s, part.end_s)
        if part.is_first and part.is_last and not part.error and len(part.samples) <= WHOLE_S * rate:
            try:
                waveform = to_waveform(part.samples, rate, target_rate)
                item.waveform = waveform if item.speech_ratio > 0 else None
            except ValueError as error:
                if segments is None:
                    raise
                item.error = str(error)
                warnings.warn("a segment is under 0.1 s: its values are None (see its error)", stacklevel=2)
        else:
            item.samples = part.samples
        yield item


def _times(start_s: float | None, end_s: float | None) -> dict[str, float | None]:
    return {"start_s": start_s, "end_s": None if end_s == math.inf else end_s}


def estimate_inputs(
    items: Sequence[ModelInput], run_batch: Callable, open_stream: Callable, on_error: str = "raise"
) -> None:
    """Run a model on inputs, and store the estimates in them in place of the audio.

    Args:
        items: inputs in the order of [`model_inputs`]; those of several recordings may follow one another.
        run_batch: from a list of waveforms to outputs as [`estimates_of`] takes them.
        open_stream: from a sampling rate to an object with `push(samples)` and `finish()`, which returns the outputs.
        on_error: `"skip"`: what the model refuses with a `ValueError`, such as a clip too short for its frames, is
            stored as an error.
    """
    if whole := [item for item in items if item.waveform is not None]:
        _run_batch(whole, run_batch, on_error)
    for item in items:
        if item.samples is not None and item.piece is not None and not item.error:
            _stream_part(item, item.piece, open_stream, on_error)
        item.piece = item.samples = item.waveform = None  # results of many hours are kept


def _run_batch(items: list[ModelInput], run_batch: Callable, on_error: str) -> None:
    try:
        outputs = run_batch([item.waveform for item in items])
    except ValueError as error:
        if on_error == "raise":
            raise
        if len(items) == 1:
            items[0].error = str(error)
            return
        for item in items:
            _run_batch([item], run_batch, on_error)
        return
    for item, estimate in zip(items, estimates_of(outputs), strict=True):
        item.estimate = estimate


def _stream_part(item: ModelInput, piece: _Piece, open_stream: Callable, on_error: str) -> None:
    try:
        if piece.error is None:
            _push_part(item, piece, open_stream)
    except ValueError as error:
        if on_error == "raise":
            raise
        piece.error = str(error)
    if item.is_last:
        item.error = piece.error


def _push_part(item: ModelInput, piece: _Piece, open_stream: Callable) -> None:
    if piece.stream is None:
        piece.stream = open_stream(item.sampling_rate)
    if item.samples is not None and len(item.samples):
        piece.stream.push(item.samples)
    if item.is_last and item.speech_ratio > 0:
        [item.estimate] = estimates_of(piece.stream.finish())


def results_of(items: Iterable[ModelInput], config, scale: str = "label") -> dict | list[dict]:
    """Return the result of one recording, or those of its windows or segments in the order asked for.

    Args:
        items: all inputs of the recording, after [`estimate_inputs`].
        config, scale: as of [`affect_result`].
    """
    pieces = sorted((item for item in items if item.is_last), key=lambda item: item.index)
    results = [
        {**item.times, **affect_result(item.estimate, item.speech_ratio, config, scale, item.error)} for item in pieces
    ]
    return results if not pieces or pieces[0].times else results[0]


def check_options(scale: str = "label", on_error: str = "raise") -> None:
    """Raise a `ValueError` unless these are names of a scale and of what to do about errors."""
    if on_error not in ON_ERROR:
        raise ValueError(f"on_error is {on_error!r:.100}; it is 'raise', or 'skip' (errors in place of results)")
    if scale not in SCALES:
        raise ValueError(
            f"scale is {scale!r:.100}; it is 'label' (the scale of the labels), 'unit' (0 to 1) or 'signed' (-1 to 1)"
        )


def affect_result(
    estimate: AffectEstimate | None, speech_ratio: float, config, scale: str = "label", error: str | None = None
) -> dict:
    """Return the result of one clip, window or segment.

    Args:
        estimate: None where nothing was estimated: the names stay, every value is None, and a warning says so.
        speech_ratio: of [`SpeechActivity`], 0 to 1.
        config: has `id2label`, `label_range`, `predict_uncertainty`, `emotion_names` and `gender_names`, as a model's
            configuration has.
        scale: `"label"`: `config.label_range`; `"unit"`: 0 to 1; `"signed"`: -1 to 1.
        error: why nothing was estimated, if it was not for silence.

    Returns:
        `activation`, `valence`, `dominance` (float or None) and `speech_ratio`; where the model has these heads also
        `uncertainty`, `emotions` and `genders`, a dict each. The probabilities of the last two sum to 1. With an error
        `speech_ratio` is None, and `error` comes last.
    """
    names = list(config.id2label.values())
    low, high = config.label_range
    zero, unit = {"label": (0.0, 1.0), "unit": (low, high - low), "signed": ((high + low) / 2, (high - low) / 2)}[
        scale
    ]
    if error:
        estimate = None
    elif estimate is None:
        warnings.warn(
            "no sound stands out from silence or a steady background: values are None there (see speech_ratio)",
            stacklevel=2,
        )
    estimate = estimate or AffectEstimate(None)
    result: dict[str, Any] = _named(names, estimate.logits, lambda values: (values - zero) / unit)
    result["speech_ratio"] = None if error else float(speech_ratio)
    if config.predict_uncertainty:
        result["uncertainty"] = _named(names, estimate.uncertainty, lambda values: values / unit)
    if config.emotion_names:
        result["emotions"] = _named(config.emotion_names, estimate.emotion_logits, _softmax)
    if config.gender_names:
        result["genders"] = _named(config.gender_names, estimate.gender_logits, _softmax)
    return {**result, "error": error} if error else result


def _named(names, values: Sequence[float] | None, convert: Callable) -> dict[str, Any]:
    if values is None:
        return dict.fromkeys(names)
    return dict(zip(names, convert(np.asarray(values, dtype=np.float64)).tolist(), strict=True))


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()
