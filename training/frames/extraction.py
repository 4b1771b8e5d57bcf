"""Run a front end over the clips whose frames are not cached yet, in batches that processes share."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
from accelerate import PartialState
from tqdm.auto import tqdm

from .frame_cache import FrameCache


logger = logging.getLogger(__name__)

# batches of keys, and names of caches -> for each batch, per cache and key, the frames
MakeFrames = Callable[[Sequence[Sequence[str]], Sequence[str]], Iterator[Mapping[str, Mapping[str, np.ndarray]]]]


def length_batches(
    lengths: Mapping[str, float], batch_size: int, whole_length: float | None = None
) -> list[list[str]]:
    """Form batches of keys of similar length, the same for any order of the keys.

    The longest come first: a batch that does not fit in memory fails at once, and processes end nearly together.

    Args:
        lengths: Length of each key's clip or text.
        batch_size: Keys per batch.
        whole_length: If given, a batch of shorter ones has more keys: as many as have, padded, no more than the length
            of `batch_size` such ones.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give 1 or more")
    ordered = sorted(lengths, key=lambda key: (-lengths[key], key))
    batches: list[list[str]] = []
    most = 0
    for key in ordered:
        if not batches or len(batches[-1]) >= most:  # the first of a batch is its longest
            batches.append([])
            most = batch_size
            if whole_length and lengths[key] > 0:
                most = max(batch_size, int(batch_size * whole_length / lengths[key]))
        batches[-1].append(key)
    return batches


def extract_missing(
    keys: Collection[str],
    length: Callable[[str], float],
    batch_size: int,
    caches: Mapping[str, FrameCache],
    make: MakeFrames,
    what: str,
    whole_length: float | None = None,
) -> None:
    """Make the frames that are not on disk yet; an interrupted run continues where it stopped.

    Frames depend slightly on their batch (rounding). So batches are formed of all keys, whatever is on disk and
    however many processes there are; processes take whole batches in turn; and a batch that misses any frames is made
    as a whole. With the same number of threads each, any number of processes makes the same frames bit by bit. Frames
    that are on disk already are kept.

    Args:
        keys: All keys, each once.
        length: Returns the length of a key's clip or text.
        batch_size, whole_length: As [`length_batches`] takes them.
        caches: Caches by name.
        make: Makes the frames of batches, in order, for the caches that miss any. Called once at most.
        what: Plural noun for the progress bar, such as `clips`.
    """
    state = PartialState()
    missing = {name: set(cache.missing(keys)) for name, cache in caches.items()}
    wanted = set().union(*missing.values())
    if wanted:
        logger.info("%d of %d %s to run through %s", len(wanted), len(keys), what, ", ".join(caches))
        batches = length_batches({key: length(key) for key in keys}, batch_size, whole_length)
        mine = [b for b in batches[state.process_index :: state.num_processes] if not wanted.isdisjoint(b)]
        lacking = [name for name in caches if missing[name]]
        with tqdm(total=sum(map(len, mine)), desc=what, disable=not state.is_main_process) as bar:
            try:
                for batch, frames in zip(mine, make(mine, lacking) if mine else (), strict=True):
                    for name in lacking:
                        caches[name].write_batch({key: frames[name][key] for key in batch if key in missing[name]})
                    bar.update(len(batch))
            finally:
                for cache in caches.values():
                    cache.close()
    state.wait_for_everyone()
