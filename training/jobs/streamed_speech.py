"""Streamed speech as a part of a job: what a student hears besides its training clips, and in which share."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..corpora.stream_sources import StreamSource
from ..encoders.library import EncoderLibrary


@dataclass(frozen=True)
class StreamedSpeech:
    """Speech that passes by while a student trains; its teachers hear it in the training step.

    Args:
        sources: Where it is.
        share: Of it in each batch, between 0 and 1.
        held_out: Fingerprints of files that are not heard, as clips to develop or to test on are of them.
        library: Encoders of the run.
        batch_size: Pieces that the encoders and teachers hear at once.
        dtype: Of the encoders, `float32`, `bfloat16` or `float16`.
        device: Of encoders and teachers; None for that of the student.
    """

    sources: Sequence[StreamSource]
    share: float
    held_out: frozenset[str]
    library: EncoderLibrary
    batch_size: int
    dtype: str = "float32"
    device: str | None = None

    @cached_property
    def identity(self) -> dict:
        """What the student's weights depend on besides its system and its teachers."""
        sources = [source.identity for source in self.sources]
        held_out = hashlib.sha256(json.dumps(sorted(self.held_out)).encode()).hexdigest()
        return {"sources": sources, "share": self.share, "held_out": held_out, "dtype": self.dtype}

    def pieces(self, batch_size: int) -> int:
        """Return how many clips of a batch are streamed.

        Raises:
            ValueError: All, or none.
        """
        pieces = round(self.share * batch_size)
        if not 0 < pieces < batch_size:
            raise ValueError(
                f"unlabelled_share {self.share:g} of per_device_train_batch_size {batch_size} is {pieces} clips; give "
                "a larger batch, or a share that leaves both kinds one clip or more"
            )
        return pieces
