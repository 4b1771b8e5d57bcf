"""Peak memory of a student that hears streamed speech once, and of one that hears several times as much.

    python tests/benchmarks/streaming.py [--clips 32] [--times 1 10]

Eight tar files have so many clips of 8 s each, or that many times; teacher and student are tiny.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import soundfile


sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training" / "jobs"))
import tuned_jobs  # beside the tests of jobs


SHARDS, CLIP_S, PIECES = 8, 8, 16  # pieces in a batch, beside as many rated clips


def write_shards(folder: Path, clips: int) -> None:
    """Write tar files of faint noise as FLAC, in each of them other clips."""
    folder.mkdir()
    for shard in range(SHARDS):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for clip in range(clips):
                noise, file = np.random.default_rng([shard, clip]).integers(-8, 8, 16000 * CLIP_S), io.BytesIO()
                soundfile.write(file, noise.astype(np.int16), 16000, format="FLAC")
                member = tarfile.TarInfo(f"{clip}.flac")
                member.size = len(file.getvalue())
                tar.addfile(member, io.BytesIO(file.getvalue()))


def heard(folder: Path, clips: int) -> dict[str, float]:
    """Train a student on all these clips; returns hours heard, the peak of memory and seconds."""
    write_shards(folder, clips)
    student = {"role": "student", "teacher": "teacher", "unlabelled": True}
    stream = ("--unlabelled_stream", str(folder / "*.tar"), "--unlabelled_share", "0.5")
    steps = ("--per_device_train_batch_size", str(2 * PIECES), "--max_steps", str(SHARDS * clips // PIECES))
    quiet = ("--eval_strategy", "no", "--save_strategy", "no", "--load_best_model_at_end", "false")
    systems = {"teacher": {"role": "teacher"}, "student": student}
    jobs = tuned_jobs.make_jobs(folder / "run", systems, *stream, *steps, *quiet, "--early_stopping_patience", "0")
    jobs["teacher"].spec.training["max_steps"] = 1
    tuned_jobs.run_job(jobs["teacher"], 8)
    result = tuned_jobs.run_job(jobs["student"], 8)
    return {"hours": SHARDS * clips * CLIP_S / 3600, **{name: result[name] for name in ("peak_memory_mb", "seconds")}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=32, help="in each tar file")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        heard(Path(folder) / "first", 2)  # what the first training loads stays in memory
        for times in given.times:
            print(json.dumps({"times": times, **heard(Path(folder) / str(times), given.clips * times)}), flush=True)


if __name__ == "__main__":
    main()
