"""
Trains a teacher and its pre-trained student on made-up frames; a script, so that other processes can do the same.

    [torchrun --nproc_per_node 2] tests/training/jobs/trained_jobs.py FOLDER [arguments of run.py]
"""

import json
import sys
from pathlib import Path

import numpy as np
from accelerate import PartialState

from speech_affect_training.corpora.clip_table import ClipTable, unlabelled_table
from speech_affect_training.frames.frame_cache import FrameCache
from speech_affect_training.jobs.auxiliary import auxiliary_targets
from speech_affect_training.jobs.data_splits import DEVELOPMENT, TRAIN
from speech_affect_training.jobs.job import FrameTargets, Job
from speech_affect_training.jobs.train_job import run_job
from speech_affect_training.settings.recipe import parse_arguments
from speech_affect_training.settings.split_key import SplitKey
from speech_affect_training.settings.systems import build_config


CLIPS = 24
SYSTEMS = {
    "teacher": {
        "role": "teacher",
        "branches": ["mfb", "mfb_f0"],
        "emotions": "agreed",
        "uncertainty": True,
        "auxiliary": {"language": {"weight": 0.5, "reversed": True, "hidden_size": 4}},
    },
    "student": {
        "role": "student",
        "teacher": "teacher",
        "gender": True,
        "auxiliary": {"speaker": {}},
        "pretraining": {"source": "whisper", "hidden_state": 2, "max_steps": 4, "learning_rate": 1e-2},
    },
}
WIDTHS = {"mfb": 40, "mfb_f0": 43, "whisper-2": 6}
SIZES = {"conv_channels": 8, "gru_hidden_size": 8, "embedding_size": 8}
SETTINGS = ("--num_train_epochs", "3", "--per_device_train_batch_size", "8", "--disable_tqdm", "true")
SETTINGS += ("--logging_steps", "1", "--logging_strategy", "steps")


def clip_table(seed: int) -> ClipTable:
    """Two emotions, genders and languages, three speakers, some unknown. The labels alone depend on the seed."""
    generator = np.random.default_rng(seed)
    labels = generator.uniform(1, 7, (CLIPS, 3))
    return ClipTable(
        files=[f"{index}.wav" for index in range(CLIPS)],
        fingerprints=[f"{index:02d}ab" for index in range(CLIPS)],
        labels=labels,
        rating_variances=generator.uniform(0.1, 1, (CLIPS, 3)),
        grades=[np.empty((0, 3))] * CLIPS,
        emotions=["AH"[index % 2] if index % 5 else None for index in range(CLIPS)],
        votes=[()] * CLIPS,
        speakers=["abc"[index % 3] if index % 7 else None for index in range(CLIPS)],
        genders=["Female" if index % 3 else "Male" for index in range(CLIPS)],
        transcripts=[None] * CLIPS,
        corpora=[""] * CLIPS,
        languages=["de" if index % 2 else "en" for index in range(CLIPS)],
        rating_scales=[""] * CLIPS,
    )


def make_jobs(folder: Path, *arguments: str, patience: int | None = None) -> dict[str, Job]:
    """A teacher, and its student, by system; clip i has 9 + i frames, of the encoder half as many."""
    encoders = json.dumps({"whisper": {"id": "not read"}})
    settings = ("--systems", json.dumps(SYSTEMS), "--encoders", encoders, "--head", json.dumps(SIZES), *SETTINGS)
    run, training = parse_arguments([*settings, "--output_dir", str(folder), *arguments])
    table, generator = clip_table(0), np.random.default_rng(1)
    caches = {}
    with PartialState().main_process_first():
        for name, width in WIDTHS.items():
            caches[name] = FrameCache(folder / "frames", name, {}, "float32")
            lengths = [(9 + index) // (1 if name.startswith("mfb") else 2) for index in range(len(table))]
            clips = zip(table.fingerprints, lengths, strict=True)
            frames = {clip: generator.standard_normal((length, width)) for clip, length in clips}
            if caches[name].missing(frames):
                caches[name].write_batch(frames)
            caches[name].close()
    jobs: dict[str, Job] = {}
    for name, spec in run.systems.items():
        config = build_config(spec, {}, run.head, (1.0, 7.0), ["A", "H"], ["Female", "Male"])
        jobs[name] = Job(
            spec=spec,
            seed=run.seeds[0],
            config=config,
            tables={TRAIN: table, DEVELOPMENT: clip_table(2), SplitKey("test1"): table},
            caches={branch.name: caches[branch.name] for branch in config.branches},
            emotion_codes=spec.emotion_codes(["A", "H"]),
            arguments=training,
            patience=patience,
            folder=folder / "jobs" / name,
            teachers=[jobs[teacher] for teacher in spec.teachers],
            auxiliary=auxiliary_targets(spec, table),
            frame_targets=_frame_targets(table, caches["whisper-2"]) if spec.pretraining else None,
        )
    return jobs


def _frame_targets(table: ClipTable, cache: FrameCache) -> FrameTargets:
    return FrameTargets(unlabelled_table(table.files, table.fingerprints), cache, 4)


def train(folder: Path, *arguments: str) -> dict[str, Path]:
    """Folders of the finished jobs, by system."""
    jobs = make_jobs(folder, *arguments)
    for job in jobs.values():
        run_job(job, 8)
    return {name: job.folder for name, job in jobs.items()}


if __name__ == "__main__":
    train(Path(sys.argv[1]), *sys.argv[2:])
