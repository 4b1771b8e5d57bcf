"""Run an exported model: any audio to activation, valence and dominance, without torch and transformers."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import cast

import numpy as np

from ..affect_result import ModelInput, check_options, estimate_inputs, model_inputs, results_of
from ..audio import each_clip, is_indexed, is_one_clip
from ..audio_pieces import check_cut
from ..resampling import Resampler
from .metadata import OnnxMetadata, streaming_path
from .session import initial_state, open_session, run_session


BLOCK_S = 5.0  # the arrays of a block this long stay in a processor's cache


class OnnxAffect:
    """Activation, valence and dominance of speech from a file that `speech_affect.onnx.export` wrote.

    ```python
    estimate = OnnxAffect("model.onnx")
    estimate("talk.mp3")                          # {"activation": 3.9, "valence": 4.2, "dominance": 4.0, ...}
    estimate("talk.mp3", window_s=4, hop_s=1)     # [{"start_s": 0.0, "end_s": 4.0, "activation": ...}, ...]
    ```

    Recordings are read from start to end in blocks, so memory does not grow with their length. Pieces longer than 30 s
    go through the streaming graph, `model_streaming.onnx` beside `model.onnx`. Pickling keeps the path, not the file:
    another process opens it again.

    Args:
        model: path of the file, or its bytes; of the plain or of the streaming graph, which alone takes any length.
        num_threads: threads that one run may use.
        providers: names of execution providers or (name, options) tuples, as of `onnxruntime.InferenceSession`.

    Attributes:
        metadata: [`OnnxMetadata`] of the file.

    Raises:
        ValueError: no such file, no ONNX model, one that was not exported by this package, or a provider that
            onnxruntime does not have.
    """

    def __init__(
        self,
        model: str | os.PathLike | bytes,
        num_threads: int = 1,
        providers: Sequence[str | tuple[str, dict]] = ("CPUExecutionProvider",),
    ):
        if not isinstance(num_threads, int) or num_threads < 1:
            raise ValueError(f"num_threads is {num_threads!r:.50}; give a whole number of at least 1")
        self._options = (num_threads, providers)
        self._session, self.metadata = open_session(model, *self._options)
        # a process that unpickles this may have another working directory
        self._model = model if isinstance(model, bytes) else os.path.abspath(model)
        self._streaming = self._session if initial_state(self._session, 1) else None

    def __reduce__(self):
        return type(self), (self._model, *self._options)

    def __call__(
        self,
        inputs,
        sampling_rate: int | None = None,
        *,
        window_s: float | None = None,
        hop_s: float | None = None,
        segments=None,
        scale: str = "label",
        on_error: str = "raise",
        batch_size: int = 1,
    ):
        """Estimate one clip, or several, with the inputs, options and results of the pipeline.

        Args:
            inputs: a clip (path, address, encoded bytes, file object, samples, or a dict of a dataset's audio column),
                or several as a list, tuple or any other iterable.
            sampling_rate: in hertz, of clips that are samples alone; 16000 without it.
            window_s, hop_s: length of windows and distance of their starts (`window_s` without it), in seconds.
            segments: (start_s, end_s) of each, or dicts or objects with `start` and `end`, instead of windows.
            on_error: `"skip"`: what cannot be read has a result of None with the reason as `error`.
            scale: of the values: `"label"`, `"unit"` (0 to 1) or `"signed"` (-1 to 1).
            batch_size: pieces that go through the model at once.

        Returns:
            Per clip a dict, or with `window_s` or `segments` a list of dicts; a list of these for a list or tuple of
            clips, an iterator for another iterable.

        Raises:
            ValueError: audio that cannot be read, is shorter than 0.1 s or longer than the model takes, or options
                out of range.
        """
        check_options(scale, on_error)
        segments = check_cut(window_s, hop_s, segments)
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        if self.metadata.longest_clip is not None:
            batch_size = 1  # encoders take one clip at a time
        options = {"window_s": window_s, "hop_s": hop_s, "segments": segments, "on_error": on_error}
        # model_inputs raises for what is neither one clip nor several
        is_one = is_one_clip(inputs) or not (isinstance(inputs, Iterable) or is_indexed(inputs))
        clips = [inputs] if is_one else each_clip(inputs) if on_error == "skip" and is_indexed(inputs) else inputs
        rate = self.metadata.sampling_rate if sampling_rate is None else sampling_rate
        estimated = self._estimated(clips, rate, options, batch_size)
        results = (results_of(items, self.metadata, scale) for items in estimated)
        if is_one:
            return next(results)
        return list(results) if isinstance(inputs, (list, tuple)) else results

    def _estimated(self, clips: Iterable, sampling_rate, options: dict, batch_size: int) -> Iterator[list[ModelInput]]:
        """Yield the pieces of each clip once all of them have been through the model."""
        waiting: list[ModelInput] = []
        unfinished: deque[list[ModelInput]] = deque()
        run = partial(
            estimate_inputs, run_batch=self._run, open_stream=self._open_stream, on_error=options["on_error"]
        )
        for clip in clips:
            unfinished.append([])
            for item in model_inputs(clip, sampling_rate, self.metadata.sampling_rate, **options):
                waiting.append(item)
                if item.is_last:
                    unfinished[-1].append(item)
                if len(waiting) == batch_size:
                    run(waiting)
                    waiting = []
            while unfinished and not any(item.is_pending for item in unfinished[0]):
                yield unfinished.popleft()
        run(waiting)
        yield from unfinished

    def _open_stream(self, sampling_rate: int) -> OnnxStream:
        longest, rate = self.metadata.longest_clip, self.metadata.sampling_rate
        if longest is not None:
            raise ValueError(
                f"a clip is longer than {longest / rate:g} s, which is the most that this model takes at once; give "
                "window_s, for windows no longer than that"
            )
        if self._streaming is None:
            self._streaming = self._opened_streaming()
        return OnnxStream(self._streaming, self.metadata, sampling_rate)

    def _opened_streaming(self):
        needed = "a clip longer than 30 s takes the streaming graph"
        if isinstance(self._model, bytes):
            raise ValueError(f"{needed}; give the bytes of model_streaming.onnx, or window_s of at most 30")
        path = streaming_path(self._model)
        if not path.is_file():
            raise ValueError(f"{needed}, and {str(path)!r} is not there; export again, or give window_s of at most 30")
        session, metadata = open_session(path, *self._options)
        if metadata != self.metadata or not initial_state(session, 1):
            raise ValueError(f"{str(path)!r} is no streaming graph of the model beside it; export both again")
        return session

    def _run(self, waveforms: list[np.ndarray]) -> dict[str, np.ndarray]:
        lengths = np.array([len(waveform) for waveform in waveforms], dtype=np.int64)
        if lengths.min() < self.metadata.shortest_clip:
            raise ValueError(
                f"a clip has {lengths.min()} samples at {self.metadata.sampling_rate} Hz; "
                f"this model needs {self.metadata.shortest_clip}"
            )
        rows = np.zeros((len(waveforms), lengths.max()), dtype=np.float32)
        for row, waveform in zip(rows, waveforms, strict=True):
            row[: len(waveform)] = waveform
        state = initial_state(self._session, len(rows))
        return run_session(self._session, {"input_values": rows, "num_samples": lengths, **state})


class OnnxStream:
    """Audio of any length through a streaming graph, block by block, with the result of the whole.

    Memory does not grow with the audio. The session is one of onnxruntime, the sampling rate that of the audio.
    """

    def __init__(self, session, metadata: OnnxMetadata, sampling_rate: int):
        self._session = session
        self._resampler = Resampler(sampling_rate, metadata.sampling_rate)
        self._window, self._hop, frame_hop = cast(tuple[int, int, int], metadata.stream)
        self._overlap = self._window - frame_hop  # samples that the next block repeats
        self._block_hops = max(1, round(BLOCK_S * metadata.sampling_rate / self._hop))
        self._pending = np.zeros(0, dtype=np.float32)
        self._state = initial_state(session, 1)
        self._outputs: dict[str, np.ndarray] | None = None

    def push(self, samples: np.ndarray) -> None:
        """Add the next (samples,) float32, mono in [-1, 1], any number of them."""
        self._add(self._resampler.push(samples))

    def finish(self) -> dict[str, np.ndarray]:
        """End the stream, and return the graph's outputs for all audio; less than one frame raises a `ValueError`."""
        self._add(self._resampler.flush())
        if len(self._pending) >= self._window:
            self._run_block()
        if self._outputs is None:
            raise ValueError(
                f"the stream is shorter than one frame of {self._window} samples: push more before finish"
            )
        return self._outputs

    def _add(self, waveform: np.ndarray) -> None:
        self._pending = np.concatenate([self._pending, waveform.clip(-1, 1)])
        while len(self._pending) >= self._block_hops * self._hop + self._overlap:
            self._run_block()

    def _run_block(self) -> None:
        """Run a block of the waiting samples, which is shorter only at the end of the stream."""
        advance = self._block_hops * self._hop
        block = self._pending[: advance + self._overlap]
        self._pending = self._pending[advance:]
        inputs = {"input_values": block[None], "num_samples": np.array([len(block)], dtype=np.int64), **self._state}
        self._outputs = run_session(self._session, inputs)
        prefix = "next_"
        self._state = {n.removeprefix(prefix): v for n, v in self._outputs.items() if n.startswith(prefix)}
