"""Provenance of a result: versions, machine, code, data."""

import hashlib
import json
import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import torch
from accelerate import PartialState

from speech_affect import DIMENSIONS

from ..corpora.clip_table import ClipTable, table_fingerprint
from ..corpora.corpus import Corpus
from ..corpora.several import Origin
from ..encoders.library import EncoderLibrary
from ..settings import cores
from ..settings.corpus_facts import CorpusFacts, joined_facts
from ..settings.labels import UNKNOWN, WORD_SCALE
from ..settings.split_key import SplitKey


FOLDERS = {"--data_dir": "FOLDER", "--output_dir": "OUTPUT", "--cache_dir": "CACHE"}
FOLDERS |= {"--unlabelled_dir": "AUDIO", "--unlabelled_stream": "AUDIO"}
PACKAGES = ("torch", "torchaudio", "transformers", "datasets", "evaluate", "accelerate", "numpy", "speech-affect")


def describe_environment(job_workers: int, argv: Sequence[str] = ()) -> dict:
    """Return versions, machine and git commit of this run, how many jobs it trains at a time, and its command."""
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
        "command": _without_paths(argv),
    }


def _without_paths(argv: Sequence[str]) -> str:
    """Return arguments as a shell takes them, without folders, which nobody else has: a word stands for them."""
    words, named, latest = [], "", ""
    for word in argv:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if option:
            named, latest = FOLDERS.get(option, ""), option
            words.append(option)
        if equals or not option:
            is_folder = latest == "--recipe" or (latest == "--evaluate" and Path(value).is_dir())
            hidden = "" if value.startswith("hub:") else named
            words.append(hidden or shlex.quote(Path(value).resolve().name if is_folder else value))
    return " ".join(words)


def describe_encoders(library: EncoderLibrary) -> dict[str, dict]:
    """Return name, revision and licence of each encoder of a run, and what one that was distilled learnt from."""
    described = {}
    for name, source in library.sources.items():
        described[name] = {"id": source.name, "revision": source.revision, "license": source.license}
        if origin := library.distillation(name):
            described[name]["distilled_from"] = origin
    return described


def describe_corpus(
    corpus: Corpus,
    tables: dict[SplitKey, ClipTable],
    facts: CorpusFacts | None = None,
    origins: Mapping[str, Origin] = MappingProxyType({}),
) -> dict:
    """Return name, note, facts, scale, sizes and fingerprint of a corpus, whose splits are these tables.

    `averaged` are the dimensions that means are over: what listeners rated, without labels of the emotion's word.
    `corpora` describes each of several corpora, whose facts together are those given, or what is common to theirs.
    """
    splits = _sizes(tables)
    word_labelled = list(facts.word_labelled) if facts else []
    labelled = _labelled(splits)
    corpora = {name: _describe_origin(name, origin, tables) for name, origin in origins.items()}
    if corpora:
        rated = {d for one in corpora.values() for d in _labelled(one["splits"]) if d not in one["word_labelled"]}
        word_labelled = [d for d in labelled if d not in rated] if rated else []
        together = joined_facts({name: origin.facts for name, origin in origins.items() if origin.facts})
        facts = facts or (together if all(origin.facts for origin in origins.values()) else None)
        spoken = sorted({code for one in corpora.values() for code in one["languages"]})
        facts = facts and replace(
            facts,
            rated=bool(rated),
            word_labelled=word_labelled,
            language=spoken,
            citation=facts.citation or (together and together.citation),
        )
    fingerprints = {str(key): table_fingerprint(table) for key, table in tables.items()}
    return {
        "name": corpus.name,
        "note": corpus.note,
        "facts": asdict(facts) if facts else None,
        "label_range": list(corpus.label_range),
        "skipped_rows": corpus.skipped,
        "fingerprint": hashlib.sha256(json.dumps(fingerprints).encode()).hexdigest(),
        "splits": splits,
        "corpora": corpora,
        "word_labelled": word_labelled,
        "averaged": [d for d in labelled if d not in word_labelled] or labelled,
    }


def _sizes(tables: dict[SplitKey, ClipTable]) -> dict[str, dict]:
    return {str(key): size_of(table) for key, table in tables.items()}


def size_of(table: ClipTable) -> dict:
    """Return the numbers of clips, of known speakers, and of rated clips per dimension."""
    speakers = len(set(table.speakers) - {None, UNKNOWN})
    return {"clips": len(table), "speakers": speakers, "rated": table.rated_clips()}


def _labelled(splits: dict[str, dict]) -> list[str]:
    return [d for d in DIMENSIONS if any(split["rated"][d] for split in splits.values())]


def _describe_origin(name: str, origin: Origin, tables: dict[SplitKey, ClipTable]) -> dict:
    """Describe one of several corpora; `word_labelled` are the dimensions whose labels are no ratings of its clips."""
    own = {key: table.take([i for i, of in enumerate(table.corpora) if of == name]) for key, table in tables.items()}
    own = {key: table for key, table in own.items() if len(table)}
    splits, facts = _sizes(own), origin.facts
    unrated = (facts and not facts.rated) or all(set(table.rating_scales) == {WORD_SCALE} for table in own.values())
    by_word = DIMENSIONS if unrated else facts.word_labelled if facts else ()
    languages = {code for table in own.values() for code in table.languages if code}
    return {
        "facts": asdict(facts) if facts else None,
        "languages": sorted(languages) or (facts.languages if facts else []),
        "label_range": list(origin.label_range),
        "note": origin.note,
        "share": origin.share,
        "splits": splits,
        "word_labelled": [d for d in _labelled(splits) if d in by_word],
    }


def by_word_of(corpus: dict) -> dict[str, list[str]]:
    """Return for each corpus in [`describe_corpus`] the dimensions whose labels stand for the emotion's word."""
    corpora = corpus.get("corpora") or {"": corpus}
    return {name: one["word_labelled"] for name, one in corpora.items()}


def shown_twice(corpus: dict) -> bool:
    """Return whether there are several corpora, and not all labels are ratings of listeners: results are then shown
    against what listeners rated, and against the word of each clip's emotion, which never share a column.
    """
    return len(corpus.get("corpora") or ()) > 1 and any(by_word_of(corpus).values())


def _git_commit() -> str | None:
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
