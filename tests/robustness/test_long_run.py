"""A few seconds of the long run of `long_run.py`, and that it notices leaks, dead and hanging targets."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest


if not sys.platform.startswith("linux"):
    pytest.skip("processes are watched through /proc", allow_module_level=True)

COMMAND = [sys.executable, str(Path(__file__).with_name("long_run.py"))]


def test_every_request_is_answered_until_an_interruption(tmp_path):
    pytest.importorskip("gradio")
    pytest.importorskip("onnxruntime")
    from robustness.mixture import KINDS

    command = [*COMMAND, "--minutes", "5", "--output", str(tmp_path)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with run:
        assert any("sending requests for 5 minutes" in line for line in run.stderr)
        time.sleep(3)
        run.send_signal(signal.SIGINT)
        printed, errors = run.communicate(timeout=200)
    assert run.returncode == 0, printed + errors
    assert "minutes, interrupted, 0 failures" in printed
    result = json.loads((tmp_path / "long_run.json").read_text())
    assert (result["seed"], result["interrupted"], list(result["targets"])) == (0, True, ["pipeline", "space"])
    for load in result["targets"].values():
        assert load["failures"] == [] and len(load["samples"]) > 5
        assert {"rss_mb", "pss_mb", "file_handles", "threads", "temporary_files"} < set(load["samples"][0])
        assert load["samples"][-1]["rss_mb"] > 100 and load["samples"][-1]["file_handles"] >= 3
        assert load["requests"] == sum(sum(counted.values()) for counted in load["outcomes"].values()) > 0
        for kind, counted in load["outcomes"].items():
            assert bool(counted["refused"]) == KINDS[kind][2] and counted["FAILED"] == 0
    assert (tmp_path / "long_run.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long_run.json", "long_run.png"]


def test_leaks_and_a_dead_target_are_noticed(tmp_path):
    from robustness.broken import Leaking
    from robustness.held import ALLOWED
    from robustness.steady_load import pipeline_load

    with pipeline_load(tmp_path, 0, tmp_path / "files", ("stream",), Leaking) as load:
        load.start()
        end_s = time.monotonic() + 100
        while load.answered < 1500 and time.monotonic() < end_s:
            load.sample()
            time.sleep(0.01)
        process = int(load._watch._proc.name)
        os.kill(process, signal.SIGKILL)
        while load.is_working():
            load.sample()
            time.sleep(0.01)
        result = load.result()
    assert {name for name, growth in result["growth"].items() if growth["leaks"]} == set(ALLOWED)
    for name in ("rss_mb", "anonymous_mb"):
        assert result["growth"][name]["per_1000"] == pytest.approx(100, rel=0.15)
    for name in ("file_handles", "threads", "temporary_files"):
        assert result["growth"][name]["per_1000"] == pytest.approx(1000 / 7, rel=0.15)
    dead, *leaks = result["failures"]
    assert dead.endswith("ChildEnded: the process died of SIGKILL; see its messages above")
    assert len(leaks) == len(ALLOWED) and leaks[0].startswith("rss_mb grows by ")


def test_a_target_that_hangs_is_noticed(monkeypatch, tmp_path):
    from robustness import steady_load
    from robustness.case import Case
    from robustness.held import ProcessWatch
    from robustness.mixture import Request

    monkeypatch.setattr(steady_load, "REQUEST_S", 0.2)
    requests, watch = [Request("file", "pipeline", Case("a clip", lambda: None))], ProcessWatch(os.getpid(), tmp_path)
    load = steady_load.SteadyLoad("pipeline", requests, lambda number: time.sleep(2), watch, 0)
    load.start()
    while load.is_working():
        time.sleep(0.01)
    assert load.result()["failures"] == ["no answer within 0.2 s"]


@pytest.mark.parametrize(
    "refused, answers, outcome, message",
    [
        (False, [("values", 1.0)], "values", ""),
        (False, [("values", 1.0), ("values", 1.5)], "FAILED", "file, a clip: first 1.0, now 1.5"),
        (True, [("values", 1.0)], "FAILED", "file, a clip: must be refused, but: 1.0"),
        (False, [("refused", "no")], "FAILED", "file, a clip: must be answered, but: no"),
    ],
)
def test_answers_are_as_required_and_the_same_each_time(refused, answers, outcome, message):
    from robustness.case import Case
    from robustness.long_worker import Answer, Judge
    from robustness.mixture import Request

    left = [Answer(*answer) for answer in answers]
    judge = Judge(lambda request: left.pop(0))
    request = Request("file", "pipeline", Case("a clip", lambda: None), refused)
    for _ in answers:
        result = judge.judge(7, request)
    assert result == (outcome, message)


def test_growth_of_lines_peaks_and_plateaus():
    from robustness.held import growth_of

    rng = np.random.default_rng(0)
    requests = list(range(0, 10_000, 10))
    peaks = 200.0 * (rng.uniform(size=1000) < 0.2)
    growing = growth_of(requests, list(500 + 0.01 * np.array(requests) + peaks), "rss_mb")
    assert growing["leaks"] and growing["per_1000"] == pytest.approx(10, rel=0.05)
    assert growing["rise"] == pytest.approx(70, rel=0.05) and growing["requests"] == pytest.approx(7000, abs=30)
    flat = growth_of(requests, list(500 + peaks), "rss_mb")
    assert not flat["leaks"] and flat["per_1000"] == pytest.approx(0, abs=1e-9)
    settled = growth_of(requests, list(500 + 100 * (1 - np.exp(-np.array(requests) / 700))), "rss_mb")
    assert not settled["leaks"] and settled["first"] > 590
    one_more = growth_of(requests, [9.0 + (count > 6000) for count in requests], "file_handles")
    assert not one_more["leaks"] and one_more["rise"] > 0.5
    assert growth_of(requests[:20], [1.0] * 20, "rss_mb") is None
    assert growth_of([], [], "rss_mb") is None


def test_a_mixture_is_the_same_each_time(tmp_path):
    from robustness.mixture import make_mixture

    first, second = (make_mixture(3, tmp_path / name, ("stream",)) for name in ("first", "second"))
    assert [each.case.what for each in first] == [each.case.what for each in second]
