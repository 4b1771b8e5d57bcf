"""Files are written whole or not at all, read leniently, and identified by their content."""

import ast
import hashlib
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import speech_affect_training
from speech_affect_training.files import (
    atomic_path,
    clip_fingerprint,
    read_json,
    sha256_of_file,
    write_json,
    write_text,
)


TRAINING = Path(speech_affect_training.__file__).parent
# where a folder is swapped as a whole, or a shard marked as damaged; all other files are written by `files`
RENAMES = {"files.py", "jobs/checkpoint.py", "frames/frame_shards.py", "corpora/demo.py", "corpora/parquet.py"}
RENAMES |= {"encoders/encoder_sources.py", "hub/release.py", "adapting/adapt.py", "jobs/distilled_encoder.py"}


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "notes.json"
    write_json(path, {"turn": 1, "where": Path("a")})
    assert path.read_text() == '{\n  "turn": 1,\n  "where": "a"\n}\n' and read_json(path) == {"turn": 1, "where": "a"}
    write_text(path, "ä\n")
    assert path.read_bytes() == b"\xc3\xa4\n" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_has_the_mode_that_the_umask_leaves(tmp_path, umask, mode):
    path = tmp_path / "outputs.safetensors"
    before = os.umask(umask)
    try:
        with atomic_path(path) as temporary:
            save_file({"logits": np.zeros(3)}, temporary)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode and list(load_file(path)) == ["logits"]


@pytest.mark.parametrize("when", ["writing", "renaming"])
def test_an_interrupted_write_leaves_the_earlier_file(tmp_path, monkeypatch, when):
    path = tmp_path / "notes.json"
    write_text(path, "whole")
    renamed = []

    def interrupted(source, target):
        renamed.append((Path(source), Path(target)))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        assert temporary.parent == path.parent and str(os.getpid()) in temporary.name  # others may write the same
        temporary.write_text("half")
        if when == "writing":
            raise KeyboardInterrupt
    assert renamed == ([(temporary, path)] if when == "renaming" else [])
    assert path.read_text() == "whole" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff", b"[1]", b"[" * 100_000])
def test_a_missing_or_damaged_file_counts_as_an_empty_one(tmp_path, content):
    if content is not None:
        (tmp_path / "notes.json").write_bytes(content)
    assert read_json(tmp_path / "notes.json") == {} == read_json(tmp_path / "notes.json" / "below")


def test_files_and_clips_are_known_by_their_content(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(b"some audio" * 300_000)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert sha256_of_file(path) == clip_fingerprint({"path": str(path), "bytes": None}) == expected
    assert clip_fingerprint({"path": "elsewhere.wav", "bytes": path.read_bytes()}) == expected


def test_no_other_module_renames_files_by_hand():
    renaming = set()
    for path in TRAINING.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.replace", "os.rename", "shutil.move"):
                renaming.add(path.relative_to(TRAINING).as_posix())
    assert renaming <= RENAMES
