"""Modules of this folder are imported as `robustness.NAME`, as its commands import them."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1]))
