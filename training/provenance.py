"""Where a result comes from: versions, machine, code, data."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch
from accelerate import PartialState

from corpora.corpus import DIMENSIONS, Corpus


PACKAGES = ("torch", "torchaudio", "transformers", "datasets", "evaluate", "accelerate", "numpy", "speech-affect")


def describe_environment() -> dict:
    """Versions, machine and git commit of this run."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "device": str(PartialState().device),
        "processes": PartialState().num_processes,
        "threads": torch.get_num_threads(),
        "packages": {name: version(name) for name in PACKAGES},
        "git_commit": _git_commit(),
    }


def data_fingerprint(corpus: Corpus, fingerprints: dict[str, list[str]]) -> str:
    """
    Identity of audio, labels and splits together.

    Args:
        corpus: the corpus.
        fingerprints: per split those of its clips' audio.
    """
    digest = hashlib.sha256()
    for split, rows in corpus.splits.items():
        labels = [rows[dimension] for dimension in DIMENSIONS]
        for entry in zip(fingerprints[split], rows["file"], rows["emotion"], *labels, strict=True):
            digest.update(repr((split, *entry)).encode())
    return digest.hexdigest()


def describe_corpus(corpus: Corpus, fingerprint: str) -> dict:
    """Name, note, scale, sizes and fingerprint of a corpus, for the report."""
    return {
        "name": corpus.name,
        "note": corpus.note,
        "label_range": list(corpus.label_range),
        "skipped_rows": corpus.skipped,
        "fingerprint": fingerprint,
        "splits": {
            split: {"clips": len(rows), "speakers": len(set(rows["speaker"]))} for split, rows in corpus.splits.items()
        },
    }


def _git_commit() -> str | None:
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
