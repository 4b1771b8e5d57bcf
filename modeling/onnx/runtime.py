"""An exported model in use: any audio to activation, valence and dominance, without torch and transformers."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..affect_result import AffectEstimate, affect_result, check_scale
from ..audio import is_clip, open_audio
from ..audio_pieces import WHOLE_S, read_pieces, to_waveform
from ..speech_activity import SpeechActivity
from .metadata import OnnxMetadata
from .stream import OnnxStream


try:
    import onnxruntime
except ImportError as error:
    raise ImportError("exported models run in onnxruntime: pip install 'speech-affect[onnx]'") from error

ERRORS_ALONE = 3  # of onnxruntime's log: at every load it would warn that a stream's state may be given


@dataclass
class _Piece:
    """A recording, a window or a segment, while its parts pass."""

    activity: SpeechActivity | None
    times: dict[str, float] | None = None
    stream: OnnxStream | None = None
    waveform: np.ndarray | None = None
    estimate: AffectEstimate | None = None
    speech_ratio: float = 0.0


class OnnxAffect:
    """
    Activation, valence and dominance of speech by a file of `speech_affect.onnx.export`.

    ```python
    estimate = OnnxAffect("model.onnx")
    estimate("talk.mp3")                          # {"activation": 3.9, "valence": 4.2, "dominance": 4.0, ...}
    estimate("talk.mp3", window_s=4, hop_s=1)     # [{"start_s": 0.0, "end_s": 4.0, "activation": ...}, ...]
    ```

    Inputs, options and results are those of the pipeline `speech-emotion-regression`. Recordings are read from start
    to end in blocks, so memory does not grow with their length.

    Args:
        path: of the file.
        num_threads: that one run may use.

    Attributes:
        metadata: [`OnnxMetadata`] of the file.

    Raises:
        ValueError: no such file, no ONNX model, or one that was not exported by this package.
    """

    def __init__(self, path: str | os.PathLike, num_threads: int = 1):
        name = repr(os.fspath(path))
        if not os.path.isfile(path):
            raise ValueError(f"{name} is no file; give the file that speech_affect.onnx.export wrote")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ALONE
        try:
            self._session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class for each code of its own, without a common one
            raise ValueError(f"{name} cannot be loaded as an ONNX model: {error}") from error
        try:
            self.metadata = OnnxMetadata.from_strings(self._session.get_modelmeta().custom_metadata_map)
            self.metadata.check_outputs({output.name: output.shape for output in self._session.get_outputs()})
        except ValueError as error:
            raise ValueError(f"{name} is no model of this package: {error}") from error
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(
        self,
        inputs,
        sampling_rate: int | None = None,
        *,
        window_s: float | None = None,
        hop_s: float | None = None,
        segments=None,
        scale: str = "label",
        batch_size: int = 1,
    ):
        """
        Args:
            inputs: a clip, or several as a list, tuple or any other iterable. A clip is a path, an http or https
                address, encoded bytes, a binary file object, an array or list of samples, or a dict with `"array"`
                (or `"raw"`) and `"sampling_rate"`, or with `"bytes"` or `"path"`.
            sampling_rate: in hertz, of clips that are samples alone; 16000 without it.
            window_s: estimate windows of this length, in seconds, at least 0.1; they start at 0, `hop_s`, ... until
                one reaches the end, where it is cut.
            hop_s: 0.01 to `window_s`, which it is by default.
            segments: estimate these instead, (start_s, end_s) each, in any order; they may overlap.
            scale: of the values: `"label"`, the scale of the labels; `"unit"`, 0 to 1; `"signed"`, -1 to 1.
            batch_size: pieces that go through the model at once.

        Returns:
            per clip a dict, or with `window_s` or `segments` a list of dicts that begin with `start_s` and `end_s`; a
            list of these for a list or tuple of clips, an iterator for another iterable. A dict has `activation`,
            `valence`, `dominance` and `speech_ratio`, and where the model tells them `uncertainty`, `emotions` and
            `genders`. Where `speech_ratio` is 0 all other values are None.

        Raises:
            ValueError: audio that cannot be read, is shorter than 0.1 s or longer than the model takes, or options
                out of range.
        """
        check_scale(scale)
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        cut = {"window_s": window_s, "hop_s": hop_s, "segments": segments}
        as_list = window_s is not None or segments is not None
        # what is no clip and cannot be several is refused as a clip
        is_one = is_clip(inputs) or not isinstance(inputs, Iterable)
        rate = self.metadata.sampling_rate if sampling_rate is None else sampling_rate
        estimated = self._estimated([inputs] if is_one else inputs, rate, cut, batch_size)
        results = (self._results(pieces, scale, as_list) for pieces in estimated)
        if is_one:
            return next(results)
        return list(results) if isinstance(inputs, (list, tuple)) else results

    def _results(self, pieces: list[_Piece], scale: str, as_list: bool):
        results = [
            {**piece.times, **affect_result(piece.estimate, piece.speech_ratio, self.metadata, scale)}
            for piece in pieces
        ]
        return results if as_list else results[0]

    def _estimated(self, clips: Iterable, sampling_rate: int, cut: dict, batch_size: int) -> Iterator[list[_Piece]]:
        """The pieces of each clip, once all of them have been through the model."""
        waiting: list[_Piece] = []
        unfinished: deque[list[_Piece]] = deque()
        batch_size = 1 if self.metadata.longest_clip else batch_size  # encoders hear one clip at a time
        for clip in clips:
            by_index: dict[int, _Piece] = {}
            for index, piece in self._pieces(clip, sampling_rate, cut):
                by_index[index] = piece
                if piece.waveform is not None:
                    waiting.append(piece)
                if len(waiting) == batch_size:
                    self._run(waiting)
                    waiting = []
            unfinished.append([by_index[index] for index in sorted(by_index)])
            while unfinished and not any(piece.waveform is not None for piece in unfinished[0]):
                yield unfinished.popleft()
        if waiting:
            self._run(waiting)
        yield from unfinished

    def _pieces(self, clip, sampling_rate: int, cut: dict) -> Iterator[tuple[int, _Piece]]:
        """Each piece of a recording, when its end has been read, with its place among the results."""
        open_pieces: dict[int, _Piece] = {}
        with open_audio(clip, sampling_rate) as source:
            rate = source.sampling_rate
            for part in read_pieces(source, **cut):
                if part.is_first:
                    open_pieces[part.index] = _Piece(SpeechActivity(rate))
                piece = open_pieces.pop(part.index) if part.is_last else open_pieces[part.index]
                piece.activity.push(part.samples)
                whole = part.is_first and part.is_last and len(part.samples) <= WHOLE_S * rate
                if not whole:
                    self._push(piece, part.samples, rate)
                if not part.is_last:
                    continue
                piece.times = {} if part.start_s is None else {"start_s": part.start_s, "end_s": part.end_s}
                piece.speech_ratio = piece.activity.ratio()
                piece.activity = None  # thousands of windows of a long recording wait for their results
                if whole:
                    waveform = self._waveform(part.samples, rate)
                    piece.waveform = waveform if piece.speech_ratio > 0 else None
                elif piece.speech_ratio > 0:
                    [piece.estimate] = _estimates(piece.stream.finish())
                piece.stream = None
                yield part.index, piece

    def _push(self, piece: _Piece, samples: np.ndarray, rate: int) -> None:
        if self.metadata.longest_clip is not None:
            raise ValueError(
                f"a clip is longer than {self.metadata.longest_clip / self.metadata.sampling_rate:g} s, which is the "
                "most that this model takes at once; give window_s, for windows no longer than that"
            )
        if piece.stream is None:
            piece.stream = OnnxStream(self._session, self.metadata, rate)
        piece.stream.push(samples)

    def _waveform(self, samples: np.ndarray, rate: int) -> np.ndarray:
        waveform = to_waveform(samples, rate, self.metadata.sampling_rate)
        if len(waveform) < self.metadata.shortest_clip:
            raise ValueError(
                f"a clip has {len(waveform)} samples at {self.metadata.sampling_rate} Hz; "
                f"this model needs {self.metadata.shortest_clip}"
            )
        return waveform

    def _run(self, pieces: list[_Piece]) -> None:
        lengths = np.array([len(piece.waveform) for piece in pieces], dtype=np.int64)
        waveforms = _padded([piece.waveform for piece in pieces])
        for piece in pieces:
            piece.waveform = None
        outputs = self._session.run(None, {"input_values": waveforms, "num_samples": lengths})
        for piece, estimate in zip(pieces, _estimates(dict(zip(self._names, outputs, strict=True))), strict=True):
            piece.estimate = estimate


def _padded(waveforms: list[np.ndarray]) -> np.ndarray:
    """(clips, samples of the longest), zeros after the shorter ones; one alone is not copied."""
    if len(waveforms) == 1:
        return waveforms[0][None]
    rows = np.zeros((len(waveforms), max(map(len, waveforms))), dtype=np.float32)
    for row, waveform in zip(rows, waveforms, strict=True):
        row[: len(waveform)] = waveform
    return rows


def _estimates(outputs: dict[str, np.ndarray]) -> list[AffectEstimate]:
    """Of each clip in a batch."""
    names = ("logits", "uncertainty", "emotion_logits", "gender_logits")
    told = {name: outputs[name].tolist() for name in names if name in outputs}
    return [AffectEstimate(**dict(zip(told, row, strict=True))) for row in zip(*told.values(), strict=True)]
