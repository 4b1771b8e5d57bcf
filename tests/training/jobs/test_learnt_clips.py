"""Digests of the clips that a model learnt from."""

import base64
import hashlib
import json
from types import SimpleNamespace

import pytest

from speech_affect_training.encoders.encoder_sources import EncoderSource
from speech_affect_training.jobs.data_splits import DEVELOPMENT, TRAIN
from speech_affect_training.jobs.learnt_clips import from_json, learnt_clips, to_json


def bytes_of(*clips: str) -> list[bytes]:
    return sorted(hashlib.sha256(clip.encode()).digest()[:8] for clip in clips)


@pytest.fixture
def job():
    """Makes what is asked of a job."""

    def make(train: list[str], development: list[str], needed=(), initial=None):
        tables = {TRAIN: SimpleNamespace(fingerprints=train), DEVELOPMENT: SimpleNamespace(fingerprints=development)}
        return SimpleNamespace(tables=tables, needed=list(needed), initial=initial)

    return make


def test_teachers_and_what_a_model_started_from_count(job, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"learnt_clips": to_json(learnt_clips(job(["x"], ["a"]), "xa"))}))
    start = EncoderSource(tmp_path, "own", "sha256-0", None)
    teacher = job(["a", "b"], ["d"])
    found = learnt_clips(job(["b", "c", "a copy", "c"], ["e"], [teacher], start), {"a", "b", "c", "d", "e"})
    written = to_json(found)
    for split, clips in (("train", "abcx"), ("development", "ade")):
        content = base64.b64decode(written[split])
        assert [content[place : place + 8] for place in range(0, len(content), 8)] == bytes_of(*clips)
    again = from_json({"learnt_clips": written})
    assert all((again[split] == found[split]).all() for split in found) and len(again) == 2


def test_a_model_without_them():
    assert from_json({}) is None and from_json({"learnt_clips": {"train": "AAA="}}) is None
