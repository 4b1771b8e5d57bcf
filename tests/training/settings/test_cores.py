"""As many threads and workers as this process may use."""

import os

import pytest

from speech_affect_training.settings import cores


available_cores = cores.available_cores  # before the fixture that gives every test one core


@pytest.mark.parametrize("quota, expected", [(None, 6), ("max 100000", 6), ("150000 100000", 2), ("10000 100000", 1)])
def test_affinity_and_the_quota_of_a_container_count(monkeypatch, tmp_path, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    monkeypatch.setattr(cores, "CGROUP_QUOTA", tmp_path / "cpu.max")
    if quota is not None:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert available_cores() == expected
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert available_cores() == 1
