"""A recording of any length through an exported model, block by block."""

from __future__ import annotations

import numpy as np

from ..resampling import Resampler
from .metadata import OnnxMetadata


# the arrays of a block this long stay in a processor's cache
BLOCK_S = 5.0


class OnnxStream:
    """
    Hears audio in pieces and has, in the end, what the whole gives; what it holds does not grow with the audio.

    Args:
        session: of onnxruntime, with a model that has the state of a stream.
        metadata: of that model.
        sampling_rate: of the audio that will be pushed, in hertz.
    """

    def __init__(self, session, metadata: OnnxMetadata, sampling_rate: int):
        self._session = session
        self._resampler = Resampler(sampling_rate, metadata.sampling_rate)
        self._hop = metadata.stream_hop
        self._window = metadata.stream_window
        # samples that the next block hears again
        self._overlap = metadata.stream_window - metadata.frame_hop
        self._block_hops = max(1, round(BLOCK_S * metadata.sampling_rate / self._hop))
        self._names = [output.name for output in session.get_outputs()]
        self._pending = np.zeros(0, dtype=np.float32)
        self._state: dict[str, np.ndarray] = {}
        self._outputs: dict[str, np.ndarray] | None = None

    def push(self, samples: np.ndarray) -> None:
        """
        Hear the next piece.

        Args:
            samples: (samples,) float32, mono in [-1, 1], any number of them.
        """
        self._hear(self._resampler.push(samples))

    def finish(self) -> dict[str, np.ndarray]:
        """
        End the stream.

        Returns:
            the graph's outputs, of all audio: a batch of one.

        Raises:
            ValueError: it was shorter than one frame.
        """
        self._hear(self._resampler.flush())
        if len(self._pending) >= self._window:
            self._run(self._block_hops)
        if self._outputs is None:
            raise ValueError(
                f"the stream is shorter than one frame of {self._window} samples: push more before finish"
            )
        return self._outputs

    def _hear(self, waveform: np.ndarray) -> None:
        self._pending = np.concatenate([self._pending, waveform.clip(-1, 1)])
        while len(self._pending) >= self._block_hops * self._hop + self._overlap:
            self._run(self._block_hops)

    def _run(self, hops: int) -> None:
        """Up to so many hops of the waiting samples; fewer at the end alone."""
        block = self._pending[: hops * self._hop + self._overlap]
        self._pending = self._pending[hops * self._hop :]
        inputs = {"input_values": block[None], "num_samples": np.array([len(block)], dtype=np.int64), **self._state}
        self._outputs = dict(zip(self._names, self._session.run(None, inputs), strict=True))
        prefix = "next_"
        self._state = {n.removeprefix(prefix): v for n, v in self._outputs.items() if n.startswith(prefix)}
