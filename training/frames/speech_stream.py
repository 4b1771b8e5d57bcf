"""Endless speech out of shards: lanes that read whole shards, in an order that seed and shards alone decide."""

import logging
import tarfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, cycle, groupby, islice

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from speech_affect.audio import load_waveform

from ..corpora.corpus import CorpusError
from ..corpora.segments import Piece, read_header
from ..corpora.stream_sources import SETTING, StreamSource
from ..corpora.unlabelled import cut_evenly
from ..files import clip_fingerprint


logger = logging.getLogger(__name__)

MOST_LANES = 32  # shards that are read side by side
BUCKET = 32  # pieces of a lane that are sorted by length together
SHARD_ORDER, PIECE_ORDER, LENGTH_ORDER = range(3)  # what a generator of random numbers is for
MOST_FAILURES = 10_000  # of pieces on end of a lane: nothing of it can be decoded
UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, tarfile.TarError)
BEGINNING = {"recording": 0, "piece": 0, "bucket": 0, "taken": 0, "skipped": 0}


def lane_count(shards: int, processes: int) -> int:
    """Return how many shards are read side by side: the same for 1, 2, 4, ... processes, if there are so many shards.

    Raises:
        CorpusError: There are fewer shards than processes.
    """
    if shards < processes:
        raise CorpusError(
            f"{SETTING} has {shards} shards for {processes} processes; split it into {processes} or more, "
            f"best {MOST_LANES}"
        )
    lanes = 1 << (min(MOST_LANES, shards).bit_length() - 1)
    return lanes if lanes % processes == 0 else processes * max(1, lanes // processes)


class SpeechStream(IterableDataset):
    """The part of one process in an endless row of pieces of speech, each up to 8 s long.

    The shards come in random passes, all of them before one comes again, and are dealt out to the lanes one after the
    other, so that each is read by one lane in a pass. The lanes take turns, a piece each; a lane belongs to one
    process and to one worker of its loader. The pieces of a lane are shuffled and sorted by length within buckets,
    none of which spans two passes, and all lanes give those of the same rank in their buckets at the same time: a
    batch has pieces of similar length. So the row is the same for any number of workers, and of processes that divides
    the number of lanes.

    A recording that cannot be read is logged, counted and skipped, as is what follows an error in a shard.

    Args:
        sources: Where the shards are.
        seed: Of the order.
        held_out: Fingerprints of files that are not to be heard.
        per_batch: Pieces in a batch of all processes together.
        process: Number of this process.
        processes: How many there are.

    Raises:
        CorpusError: There are fewer shards than processes.
    """

    def __init__(
        self,
        sources: Sequence[StreamSource],
        seed: int,
        held_out: Collection[str] = (),
        per_batch: int = 1,
        process: int = 0,
        processes: int = 1,
    ):
        self.sources = sources
        self.seed = seed
        self.held_out = frozenset(held_out)
        self.ends = list(accumulate(len(source.shards) for source in sources))
        self.lanes = lane_count(self.ends[-1], processes)
        self.mine = list(range(process, self.lanes, processes))
        self.group = -(-per_batch // self.lanes)  # pieces of a lane in a batch
        self.bucket = self.group * max(1, BUCKET // self.group)
        self.positions: dict[int, dict] = {}
        self.turn = 0
        self._skipped: Counter[int] = Counter()
        self._told: set[str] = set()

    def go_on_from(self, position: Mapping) -> None:
        """Start behind a position as [`StreamBatches`] returns it."""
        self.positions = {int(lane): dict(place) for lane, place in position["lanes"].items()}
        self.turn = position["turn"]

    def __iter__(self) -> Iterator[dict]:
        """Yield `{"waveform", "fingerprint", "lane", "position"}`: (samples,) at 16 kHz, and what follows it."""
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        turns = self.mine[self.turn :] + self.mine[: self.turn]
        for lane in cycle([self._lane(number) for number in turns[first::step]]):
            yield next(lane)

    def _lane(self, number: int) -> Iterator[dict]:
        """Yield the pieces of a lane; each tells where its bucket begins and how many of that were taken with it."""
        failed = 0
        position = self.positions.get(number) or {"shard": number, **BEGINNING}
        bucket, taken = position["bucket"], position["taken"]
        place = {name: position[name] for name in ("shard", "recording", "piece")}
        pieces = self._pieces(number, place)
        for _, of_pass in groupby(pieces, key=lambda found: found[1]["shard"] // self.ends[-1]):
            while found := list(islice(of_pass, self.bucket)):
                begin, place = place, found[-1][1]
                if taken:  # what was skipped in this bucket so far is counted already
                    self._skipped[number] = position["skipped"]
                members = self._ordered(number, begin, bucket, [piece for piece, _ in found])
                for rank, piece in enumerate(members[taken:], taken + 1):
                    try:
                        waveform = load_waveform(piece.load())
                    except UNREADABLE as error:
                        self._skip(number, piece.path, error)
                        failed += 1
                        if failed > MOST_FAILURES:
                            raise CorpusError(
                                f"{SETTING}: {failed} pieces on end cannot be decoded: {error}"
                            ) from error
                        continue
                    failed = 0
                    told = {**begin, "bucket": bucket, "taken": rank, "skipped": self._skipped[number]}
                    yield {"waveform": waveform, "fingerprint": piece.fingerprint, "lane": number, "position": told}
                bucket, taken = bucket + 1, 0
            bucket = 0

    def _ordered(self, lane: int, begin: Mapping, bucket: int, members: Sequence[Piece]) -> list[Piece]:
        """Shuffle a bucket: groups of pieces of similar length, in an order of lengths that all lanes share."""
        place = (lane, begin["shard"], begin["recording"], begin["piece"])
        shuffled = np.random.default_rng([self.seed, PIECE_ORDER, *place]).permutation(len(members))
        lengths = np.array([piece.duration_s for piece in members])
        by_length = shuffled[np.argsort(lengths[shuffled], kind="stable")]
        groups = [by_length[at : at + self.group] for at in range(0, len(members), self.group)]
        ranks = np.random.default_rng([self.seed, LENGTH_ORDER, bucket]).permutation(len(groups))
        return [members[index] for rank in ranks for index in groups[rank]]

    def _pieces(self, lane: int, place: Mapping) -> Iterator[tuple[Piece, dict]]:
        """Yield the pieces of a lane's shards in their order, each with the place behind it."""
        shard, recording, cut = place["shard"], place["recording"], place["piece"]
        count, silent = self.ends[-1], set()  # shards on end without a piece
        while len(silent) < count:
            drawn = int(_shard_order(self.seed, shard // count, count)[shard % count])
            silent.add(drawn)
            source, index = self._shard(drawn)
            try:
                for number, audio in enumerate(source.recordings(index, recording), recording):
                    for behind, piece in enumerate(self._cut(lane, audio)[cut:], cut + 1):
                        silent.clear()
                        yield piece, {"shard": shard, "recording": number, "piece": behind}
                    cut = 0
            except UNREADABLE as error:
                if source.is_remote and isinstance(error, OSError):
                    raise  # the network, and the run goes on from its last checkpoint
                self._skip(lane, source.shards[index], error)
            shard, recording, cut = shard + self.lanes, 0, 0
        raise CorpusError(
            f"{SETTING}: none of its {len(silent)} shards has speech that can be read, lasts 0.5 s and is no clip to "
            "develop or to test on; give others"
        )

    def _shard(self, number: int) -> tuple[StreamSource, int]:
        """Return the source of a shard, of those of all sources, and which of its shards it is."""
        source = bisect_right(self.ends, number)
        return self.sources[source], number - (self.ends[source - 1] if source else 0)

    def _cut(self, lane: int, audio: dict) -> list[Piece]:
        try:
            header = read_header(audio)
            identity = clip_fingerprint(audio)
        except UNREADABLE as error:
            self._skip(lane, audio["path"], error)
            return []
        if identity in self.held_out:
            return []
        return cut_evenly(audio["path"], identity, header.num_samples, header.sampling_rate, audio["bytes"])

    def _skip(self, lane: int, what: str, error: Exception) -> None:
        self._skipped[lane] += 1
        if what not in self._told:  # in an earlier pass
            logger.warning("%s is skipped: %.300s", what, error)
        self._told.add(what)


@lru_cache(maxsize=4)  # lanes are in one pass, or in two on end
def _shard_order(seed: int, number: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, SHARD_ORDER, number]).permutation(count)


class StreamBatches:
    """Endless batches of a stream, and the position behind the last one.

    Args:
        stream: Of this process.
        size: Pieces per batch.
        workers: Most processes that decode; as many of them are used as divide the lanes of this process.
    """

    def __init__(self, stream: SpeechStream, size: int, workers: int = 0):
        self.stream, self.size = stream, size
        fitting = [count for count in range(1, workers + 1) if len(stream.mine) % count == 0]
        self._options = {"num_workers": max(fitting, default=0)}
        if fitting:
            self._options["prefetch_factor"] = max(2, 2 * size // fitting[-1])
        self._items: Iterator[dict] | None = None

    @property
    def position(self) -> dict:
        """What [`SpeechStream.go_on_from`] takes."""
        return {"turn": self.stream.turn, "lanes": {str(lane): at for lane, at in self.stream.positions.items()}}

    @property
    def skipped(self) -> int:
        """How many recordings of this process could not be read up to here."""
        return sum(position["skipped"] for position in self.stream.positions.values())

    def __next__(self) -> dict:
        """Return `input_values` (size, samples), their `attention_mask`, and the `fingerprints`."""
        if self._items is None:  # its own generator: the others draw what they would without it
            loader = DataLoader(self.stream, batch_size=None, generator=torch.Generator(), **self._options)
            self._items = iter(loader)
        items = list(islice(self._items, self.size))
        for item in items:
            self.stream.positions[item["lane"]] = item["position"]
        self.stream.turn = (self.stream.turn + self.size) % len(self.stream.mine)
        waveforms = [item["waveform"] for item in items]
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        padded = pad_sequence(waveforms, batch_first=True)
        mask = (torch.arange(padded.shape[1]) < lengths.unsqueeze(1)).long()
        return {"input_values": padded, "attention_mask": mask, "fingerprints": [i["fingerprint"] for i in items]}

    def close(self) -> None:
        """End the workers."""
        self._items = None
