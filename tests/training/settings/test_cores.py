"""As many threads and workers as this process may use."""

import os

import pytest

from speech_affect_training.settings import cores


available_cores = cores.available_cores  # before the fixture that gives every test one core


V1 = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")


@pytest.mark.parametrize(
    "files, expected",
    [
        ({}, 6),
        ({"cpu.max": "max 100000"}, 6),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "10000 100000"}, 1),
        ({"cpu.max": "damaged"}, 6),
        (dict(zip(V1, ("-1", "100000"), strict=True)), 6),
        (dict(zip(V1, ("250000", "100000"), strict=True)), 3),
        ({V1[0]: "250000"}, 6),
    ],
)
def test_affinity_and_the_quota_of_a_container_count(monkeypatch, tmp_path, files, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n")
    assert available_cores() == expected
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert available_cores() == 1
