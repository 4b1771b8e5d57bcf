"""A generator of MSP-Podcast releases, small and synthetic, in every layout that the releases have had."""

import csv
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile


SAMPLING_RATE = 16_000
DURATION_S = 0.3
COLUMNS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")
TURNS = (
    ("MSP-PODCAST_0001_0008.wav", "N", "2.2", "4.0", "2.6", "30", "Male", "Test1"),
    ("MSP-PODCAST_0002_0001.wav", "H", "5.5", "6.25", "5.0", "7", "Female", "Train"),
    ("MSP-PODCAST_0002_0002.wav", "X", "1", "7", "4.125", "Unknown", "Unknown", "Train"),
    ("MSP-PODCAST_0003_0001.wav", "A", "6.8", "1.4", "6.2", "9", "Female", "Development"),
    ("MSP-PODCAST_0004_0001.wav", "C", "3.0", "2.0", "4.5", "11", "Male", "Test2"),
)
WITHHELD = "MSP-PODCAST_test3_0001.wav"
GRADES = {
    "MSP-PODCAST_0001_0008.wav": (
        ("WORKER00000001", "Neutral", "Concerned", "1", "4", "1"),
        ("WORKER00000002", "Other-Curious", "", "3.400000", "4.000000", "4.200000"),
    ),
    "MSP-PODCAST_0002_0001.wav": (("WORKER00000001", "Happy", "Amused,Excited", "5", "6", "5"),),
}
TRANSCRIPTS = {"MSP-PODCAST_0001_0008.wav": "well I was there", "MSP-PODCAST_0002_0001.wav": "that is great"}


@dataclass(frozen=True)
class Layout:
    """What one release looks like; `withheld` says where its test3 is listed: None, "labels" or "partitions"."""

    labels: str
    audio: str = "Audios"
    grades: str | None = None
    worker: str = "Workers"
    development: str = "Development"
    transcripts: bool = True
    text_files: bool = True
    withheld: str | None = None


LAYOUTS = {
    "1.6": Layout("label/labels_concensus.csv", "Audio", "label/labels_detailed.csv", development="Validation"),
    "1.8": Layout("Labels/labels_concensus.csv", grades="Labels/EmoDetail", development="Validation"),
    "1.9": Layout("labels/labels_concensus.csv", grades="labels/labels.txt", text_files=False),
    "1.11": Layout("Labels/labels_consensus.csv", grades="Labels/labels_detailed.json", withheld="labels"),
    "2.0": Layout(
        "Labels/labels_consensus.csv", "Audios", "Labels/labels_detailed.csv", "WorkerID", withheld="partitions"
    ),
    "json": Layout("Labels/labels_consensus.json", withheld="labels"),
    "bare": Layout("LABELS/labels_consensus.csv", audio="AUDIOS", transcripts=False, text_files=False),
}


def write_wav(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, int(DURATION_S * SAMPLING_RATE))
    soundfile.write(path, noise, SAMPLING_RATE, subtype="PCM_16")


def write_csv(path: Path, columns, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


class MspRelease:
    """Writes a release under `root`, and parts of it again as a test asks for."""

    columns, turns, grades, transcripts, withheld, layouts = COLUMNS, TURNS, GRADES, TRANSCRIPTS, WITHHELD, LAYOUTS
    write_wav = staticmethod(write_wav)
    write_csv = staticmethod(write_csv)

    def __init__(self, root: Path, layout: Layout):
        self.root = root
        self.layout = layout
        self.labels = root / layout.labels
        for seed, name in enumerate([turn[0] for turn in TURNS] + ([WITHHELD] if layout.withheld else [])):
            write_wav(root / layout.audio / name, seed)
        self.write_labels(self.rows())
        if layout.grades:
            self._write_grades()
        if layout.text_files:
            self._write_text_files()
        if layout.transcripts:
            (root / "Transcripts").mkdir()
            for name, words in TRANSCRIPTS.items():
                (root / "Transcripts" / name).with_suffix(".txt").write_text(words + "\n", encoding="utf-8")

    def rows(self) -> list[tuple[str, ...]]:
        rows = [(*turn[:-1], turn[-1].replace("Development", self.layout.development)) for turn in TURNS]
        if self.layout.withheld == "labels":
            rows.append((WITHHELD, "", "NA", "", "nan", "Unknown", "Unknown", "Test3"))
        return rows

    def write_labels(self, rows, columns=COLUMNS) -> None:
        self.labels.parent.mkdir(parents=True, exist_ok=True)
        if self.labels.suffix == ".csv":
            write_csv(self.labels, columns, rows)
        else:
            entries = {row[0]: dict(zip(columns[1:], row[1:], strict=True)) for row in rows}
            self.labels.write_text(json.dumps(entries), encoding="utf-8")

    def _write_grades(self) -> None:
        path = self.root / self.layout.grades
        flat = [(name, *grade) for name, grades in GRADES.items() for grade in grades]
        keys = ("EmoClass_Major", "EmoClass_Second", "EmoAct", "EmoVal", "EmoDom")
        if path.name == "labels_detailed.csv":
            write_csv(path, ("FileName", self.layout.worker, *keys), flat)
        elif path.name == "EmoDetail":
            detail = [(name, f"{w}; {e}; {s}; A:{a}; V:{v}; D:{d};") for name, w, e, s, a, v, d in flat]
            write_csv(path.with_name("labels_detailed.csv"), ("FileName", "EmoDetail"), detail)
        elif path.suffix == ".json":
            entries = {name: {} for name in GRADES}
            for name, worker, *rest in flat:
                entries[name][worker] = dict(zip(keys, rest, strict=True))
            path.write_text(json.dumps(entries), encoding="utf-8")
        else:
            lines = []
            for name, emotion, *ratings, _, _, _ in self.rows():
                lines += ["", f"{name}; {emotion}; A:{ratings[0]}; V:{ratings[1]}; D:{ratings[2]};"]
                lines += [f"{w}; {e}; {s}; A:{a}; V:{v}; D:{d};" for w, e, s, a, v, d in GRADES.get(name, ())]
            path.write_text("\n".join(lines[1:]) + "\n", encoding="utf-8")

    def _write_text_files(self) -> None:
        rows = self.rows() + ([(WITHHELD, "Test3")] if self.layout.withheld == "partitions" else [])
        (self.root / "Partitions.txt").write_text("".join(f"{row[-1]}; {row[0]}\n" for row in rows), encoding="utf-8")
        genders = {turn[5]: turn[6] for turn in TURNS if turn[5] != "Unknown"}
        lines = [f"Speaker_{speaker}; {gender}" for speaker, gender in genders.items()]
        lines += ["", *(f"{turn[0]}; {turn[5]}" for turn in TURNS)]
        (self.root / "Speaker_ids.txt").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def make_release(tmp_path):
    """Writes a release: `make_release("1.11")`, or with a folder name `make_release("1.11", "here")`."""
    return lambda layout, folder="release": MspRelease(tmp_path / folder, LAYOUTS[layout])


@pytest.fixture
def as_snapshot(tmp_path):
    """Makes of a folder a snapshot in the Hub's cache: each file is a link to a blob of the repository."""

    def make(folder: Path) -> Path:
        repository = tmp_path / "hub" / f"datasets--someone--{folder.name}"
        snapshot = repository / "snapshots" / "0123abcd"
        (repository / "blobs").mkdir(parents=True)
        files = sorted(path for path in folder.rglob("*") if path.is_file() and repository.parent not in path.parents)
        for number, path in enumerate(files):
            blob, link = repository / "blobs" / f"{number:064x}", snapshot / path.relative_to(folder)
            shutil.copy(path, blob)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
        return snapshot

    return make


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keeps what `datasets` caches within the test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
