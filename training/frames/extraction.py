"""What is not on disk yet, in batches of like length, shared out over processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
from accelerate import PartialState
from tqdm.auto import tqdm

from .frame_cache import FrameCache


logger = logging.getLogger(__name__)

# batches of keys, and the names of caches -> for each batch, per cache and key, the frames
MakeFrames = Callable[[Sequence[Sequence[str]], Sequence[str]], Iterator[Mapping[str, Mapping[str, np.ndarray]]]]


def length_batches(lengths: Mapping[str, float], batch_size: int) -> list[list[str]]:
    """
    Batches that need little padding, the same whatever the order of the keys.

    Args:
        lengths: of each key, in any unit.
        batch_size: keys per batch.

    Returns:
        the longest first: a batch that does not fit in memory is met at once, and processes end nearly together.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give 1 or more")
    ordered = sorted(lengths, key=lambda key: (-lengths[key], key))
    return [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]


def extract_missing(
    keys: Collection[str],
    length: Callable[[str], float],
    batch_size: int,
    caches: Mapping[str, FrameCache],
    make: MakeFrames,
    what: str,
) -> None:
    """
    Make the frames that are not on disk yet; a killed run goes on where it was.

    Frames depend a little on the batch in which they were made (rounding). So batches are formed of all keys, whatever
    is on disk and however many processes there are; processes take whole batches in turn; and a batch of which
    anything is missing is made as a whole. With equally many threads each, any number of processes makes the same
    frames to the bit. What is on disk from before stays as it is.

    Args:
        keys: of all that is wanted, each once.
        length: of what a key stands for.
        batch_size: keys per batch.
        caches: by name.
        make: makes the frames of batches, in order, of the caches that lack any. Called once at most.
        what: they are called in the progress bar.
    """
    state = PartialState()
    missing = {name: set(cache.missing(keys)) for name, cache in caches.items()}
    wanted = set().union(*missing.values())
    if wanted:
        logger.info("%d of %d %s to run through %s", len(wanted), len(keys), what, ", ".join(caches))
        batches = length_batches({key: length(key) for key in keys}, batch_size)
        mine = batches[state.process_index :: state.num_processes]
        mine = [batch for batch in mine if not wanted.isdisjoint(batch)]
        if mine:
            _extract(mine, {name: caches[name] for name in caches if missing[name]}, missing, make, what)
    state.wait_for_everyone()


def _extract(batches, caches: Mapping[str, FrameCache], missing: Mapping[str, set[str]], make, what: str) -> None:
    bar = tqdm(total=sum(map(len, batches)), desc=what, disable=not PartialState().is_main_process)
    try:
        for batch, frames in zip(batches, make(batches, list(caches)), strict=True):
            for name, cache in caches.items():
                cache.write_batch({key: frames[name][key] for key in batch if key in missing[name]})
            bar.update(len(batch))
    finally:
        bar.close()
        for cache in caches.values():
            cache.close()
