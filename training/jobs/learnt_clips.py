"""The clips that a model learnt from, kept with it as digests of their audio, which tell no name of a file or speaker.

Of a clip there are 8 bytes: with 265,000 clips the text is under 3 MB, and two clips are mistaken for one another once
in many millions of models.
"""

import base64
import hashlib
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from ..encoders.encoder_sources import EncoderSource
from ..files import read_json
from ..settings.labels import LEARNT_FROM
from .data_splits import DEVELOPMENT, TRAIN
from .job import Job


NAME = "learnt_clips"  # in run.json: per split that a model learns from its digests, sorted, in base64
DIGEST = np.dtype(">u8")


def digests(fingerprints: Iterable[str]) -> np.ndarray:
    """Return (clips,) the digest of each clip, from the fingerprint of its audio."""
    of_clips = (hashlib.sha256(clip.encode()).digest()[: DIGEST.itemsize] for clip in fingerprints)
    return np.frombuffer(b"".join(of_clips), DIGEST)


def joined(parts: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return per split the digests of all parts, sorted and each once."""
    parts = list(parts)
    return {
        split: np.unique(np.concatenate([np.empty(0, DIGEST), *(part[split] for part in parts if split in part)]))
        for split in LEARNT_FROM
    }


def to_json(learnt: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Return digests as `run.json` has them."""
    return {split: base64.b64encode(values.astype(DIGEST).tobytes()).decode() for split, values in learnt.items()}


def from_json(run: Mapping) -> dict[str, np.ndarray] | None:
    """Return the digests in the content of a `run.json`; None where it has none, or none that can be read."""
    try:
        return {split: np.frombuffer(base64.b64decode(run[NAME][split]), DIGEST) for split in LEARNT_FROM}
    except (KeyError, TypeError, ValueError):
        return None


def learnt_clips(job: Job, labelled: Collection[str]) -> dict[str, np.ndarray]:
    """Return per split the digests of the clips that a job's model learnt from.

    Those of its teachers and of what it started from are among them; augmented copies and unlabelled speech are not.

    Args:
        job: The job.
        labelled: Fingerprints of the run's clips.
    """
    own = {
        str(key): digests(clip for clip in job.tables[key].fingerprints if clip in labelled)
        for key in (TRAIN, DEVELOPMENT)
    }
    others = [learnt_clips(one, labelled) for one in job.needed]
    if isinstance(job.initial, EncoderSource):
        others.append(from_json(read_json(job.initial.folder / "run.json")) or {})
    return joined([own, *others])
