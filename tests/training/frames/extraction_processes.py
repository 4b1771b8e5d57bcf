"""
Extracts the frames of the same clips in several ways, each in processes of its own; run by test_extraction.py.

    python extraction_processes.py ENCODERS.json CLIPS ROOT
"""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import torch
from accelerate import PartialState, debug_launcher

from speech_affect_training.encoders.library import EncoderLibrary
from speech_affect_training.files import clip_fingerprint
from speech_affect_training.frames.frame_shards import ShardWriter
from speech_affect_training.frames.speech_frames import extract_frames


BATCH_SIZE = 3
BRANCHES = [
    {"source": "mfb"},
    {"source": "whisper", "hidden_state": 1},
    {"source": "hubert_layer", "hidden_state": "last"},
    {"source": "hubert_group", "hidden_state": 1},
]


def extract(library, clips, root: Path, processes: int, kill_at: int | None = None) -> None:
    """Extract; process 0 is killed in the middle of its write of this number."""
    torch.set_num_threads(1)
    state = PartialState(cpu=True)  # without it, debug_launcher's processes do not know of each other
    assert state.num_processes == processes
    if kill_at is not None and state.process_index == 0:
        _kill_at(kill_at)
    extract_frames(clips, BRANCHES, library, root, BATCH_SIZE)


def _kill_at(number: int) -> None:
    append, calls = ShardWriter.append, []

    def killed(self, arrays):
        calls.append(1)
        if len(calls) == number:
            self._open_shard()
            for file, content in ((self._data, b"half a clip"), (self._index, b"01234567 {")):
                file.write(content)
                file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        append(self, arrays)

    ShardWriter.append = killed


def in_a_process(*arguments) -> int:
    process = multiprocessing.get_context("fork").Process(target=extract, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def main(encoders: str, folder: str, root: Path) -> None:
    audio = [{"path": str(path), "bytes": None} for path in sorted(Path(folder).iterdir())]
    clips = {clip_fingerprint(clip): clip for clip in audio}
    library = EncoderLibrary(json.loads(Path(encoders).read_text()), BRANCHES, None)
    assert in_a_process(library, clips, root / "1", 1) == 0
    debug_launcher(extract, (library, dict(reversed(clips.items())), root / "3", 3), num_processes=3)
    assert in_a_process(library, clips, root / "killed", 1, 6) == -signal.SIGKILL  # between branches of a batch
    assert in_a_process(library, clips, root / "killed", 1) == 0
    try:
        debug_launcher(extract, (library, clips, root / "killed_of_2", 2, 6), num_processes=2)
    except Exception as error:
        print(type(error), file=sys.stderr)
    else:
        raise AssertionError("nothing was killed")
    debug_launcher(extract, (library, clips, root / "killed_of_2", 3), num_processes=3)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
