"""Where a result comes from: versions, machine, code, data."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch
from accelerate import PartialState
from clip_table import ClipTable, table_fingerprint

from corpora.corpus import UNKNOWN, Corpus


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


def corpus_fingerprint(tables: dict[str, ClipTable]) -> str:
    """Identity of audio, ratings and splits together, of the given splits' clips as they are."""
    content = {split: table_fingerprint(table) for split, table in tables.items()}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def describe_corpus(corpus: Corpus, fingerprint: str) -> dict:
    """Name, note, scale, sizes and fingerprint of a corpus, for the report."""
    return {
        "name": corpus.name,
        "note": corpus.note,
        "label_range": list(corpus.label_range),
        "skipped_rows": corpus.skipped,
        "fingerprint": fingerprint,
        "splits": {
            split: {"clips": len(rows), "speakers": len(set(rows["speaker"]) - {None, UNKNOWN})}
            for split, rows in corpus.splits.items()
        },
    }


def _git_commit() -> str | None:
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
