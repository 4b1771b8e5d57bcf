"""Provenance of a result: versions, machine, code, data."""

import hashlib
import json
import platform
import subprocess
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch
from accelerate import PartialState

from speech_affect import DIMENSIONS

from ..corpora.clip_table import ClipTable, table_fingerprint
from ..corpora.corpus import Corpus
from ..encoders.library import EncoderLibrary
from ..settings import cores
from ..settings.corpus_facts import CorpusFacts
from ..settings.labels import UNKNOWN
from ..settings.split_key import SplitKey


PACKAGES = ("torch", "torchaudio", "transformers", "datasets", "evaluate", "accelerate", "numpy", "speech-affect")


def describe_environment(job_workers: int) -> dict:
    """Return versions, machine and git commit of this run, and how many jobs it trains at a time."""
    device = PartialState().device
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": cores.available_cores(),
        "device": str(device),
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "processes": PartialState().num_processes,
        "threads": torch.get_num_threads(),
        "stage_workers": job_workers,
        "packages": {name: version(name) for name in PACKAGES},
        "git_commit": _git_commit(),
    }


def describe_encoders(library: EncoderLibrary) -> dict[str, dict]:
    """Return name, revision and licence of each encoder of a run."""
    return {
        name: {"id": source.name, "revision": source.revision, "license": source.license}
        for name, source in library.sources.items()
    }


def describe_corpus(corpus: Corpus, tables: dict[SplitKey, ClipTable], facts: CorpusFacts | None = None) -> dict:
    """Return name, note, facts, scale, sizes and fingerprint of a corpus, whose splits are these tables.

    `averaged` are the dimensions that means are over: what listeners rated, without labels of the emotion's word.
    """
    splits = {
        str(key): {
            "clips": len(table),
            "speakers": len(set(table.speakers) - {None, UNKNOWN}),
            "rated": table.rated_clips(),
        }
        for key, table in tables.items()
    }
    word_labelled = list(facts.word_labelled) if facts else []
    labelled = [d for d in DIMENSIONS if any(split["rated"][d] for split in splits.values())]
    fingerprints = {str(key): table_fingerprint(table) for key, table in tables.items()}
    return {
        "name": corpus.name,
        "note": corpus.note,
        "facts": asdict(facts) if facts else None,
        "label_range": list(corpus.label_range),
        "skipped_rows": corpus.skipped,
        "fingerprint": hashlib.sha256(json.dumps(fingerprints).encode()).hexdigest(),
        "splits": splits,
        "word_labelled": word_labelled,
        "averaged": [d for d in labelled if d not in word_labelled] or labelled,
    }


def _git_commit() -> str | None:
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
