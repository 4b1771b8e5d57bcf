"""Half a minute of the long run that `long_run.py` makes; and that it would notice what it is there to notice."""

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

HERE = Path(__file__).resolve().parent
COMMAND = [sys.executable, str(HERE / "long_run.py")]


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """`robustness.NAME`, as long_run.py has them."""
    monkeypatch.syspath_prepend(str(HERE.parent))


def test_every_request_is_answered_and_nothing_grows_until_it_is_interrupted(tmp_path):
    pytest.importorskip("gradio")
    pytest.importorskip("onnxruntime")
    from robustness.mixture import KINDS

    run = subprocess.Popen(
        [*COMMAND, "--minutes", "5", "--output", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with run:
        assert any("asking for 5 minutes" in line for line in run.stderr)  # a bar may stand before it
        time.sleep(30)
        run.send_signal(signal.SIGINT)
        told = run.stdout.read()
        assert run.wait(100) == 0, told
    assert "minutes, interrupted, 0 failures" in told
    result = json.loads((tmp_path / "long_run.json").read_text())
    assert (result["seed"], result["interrupted"], list(result["targets"])) == (0, True, ["pipeline", "space"])
    for load in result["targets"].values():
        assert load["failures"] == [] and len(load["samples"]) > 20
        assert {"rss_mb", "pss_mb", "file_handles", "threads", "temporary_files"} < set(load["samples"][0])
        assert load["samples"][-1]["rss_mb"] > 100 and load["samples"][-1]["file_handles"] >= 3
        assert load["requests"] == sum(sum(counted.values()) for counted in load["outcomes"].values())
    answered = {kind: counted for load in result["targets"].values() for kind, counted in load["outcomes"].items()}
    asked_of_pipeline = {kind for kind, (way, *_) in KINDS.items() if way != "space"}
    assert set(answered) >= asked_of_pipeline | {"space file"}
    for kind, counted in answered.items():
        assert sum(counted.values()) == counted["refused"] + counted["values"] + counted["silence"]
        assert bool(counted["refused"]) == KINDS[kind][2], kind
    assert (tmp_path / "long_run.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long_run.json", "long_run.png"]


class IdleLoad:
    """Asks nothing; after so many samples it is done for, or somebody interrupts."""

    name, answered, failures = "idle", 0, ()

    def __init__(self, most: int, interruption=None):
        self.sampled, self.most, self.interruption = 0, most, interruption

    def is_working(self) -> bool:
        return self.interruption is not None or self.sampled < self.most

    def sample(self) -> None:
        self.sampled += 1
        if self.sampled == self.most and self.interruption is not None:
            self.interruption.has_come = True


def test_it_ends_in_time_or_with_the_last_target_or_by_an_interruption():
    from robustness.long_run import Interruption, watch

    in_time, begun_s = IdleLoad(10**9), time.monotonic()
    watch([in_time], begun_s + 0.5, Interruption())
    assert 0.5 <= time.monotonic() - begun_s < 5 and 1 <= in_time.sampled <= 6
    failing, failing_later = IdleLoad(1), IdleLoad(3)
    watch([failing, failing_later], time.monotonic() + 100, Interruption())
    assert (failing.sampled, failing_later.sampled) == (3, 3)
    interruption = Interruption()
    interrupted = IdleLoad(2, interruption)
    watch([interrupted], time.monotonic() + 100, interruption)
    assert interrupted.sampled == 2


def test_what_leaks_is_noticed(monkeypatch, tmp_path):
    from robustness import steady_targets
    from robustness.growth import ALLOWED

    monkeypatch.setattr(steady_targets, "WORKER", "robustness.leaking_worker")
    with steady_targets.pipeline_load(tmp_path, 0, tmp_path / "files", ("stream",)) as load:
        load.start()
        end_s = time.monotonic() + 100
        while load.answered < 1500 and time.monotonic() < end_s:
            load.sample()
            time.sleep(0.01)
        load.stop()
        result = load.result()
    assert {name for name, growth in result["growth"].items() if growth["leaks"]} == set(ALLOWED)
    for name in ("rss_mb", "anonymous_mb"):
        assert result["growth"][name]["per_1000"] == pytest.approx(100, rel=0.15)
    for name in ("file_handles", "threads", "temporary_files"):
        assert result["growth"][name]["per_1000"] == pytest.approx(1000 / 7, rel=0.15)
    assert len(result["failures"]) == len(ALLOWED)
    assert result["failures"][0].startswith("rss_mb grows by ")


def test_a_target_that_dies_is_noticed(monkeypatch, tmp_path):
    from robustness import steady_targets

    monkeypatch.setattr(steady_targets, "WORKER", "robustness.leaking_worker")
    with steady_targets.pipeline_load(tmp_path, 0, tmp_path / "files", ("stream",)) as load:
        load.start()
        while load.answered < 10:
            time.sleep(0.01)
        os.kill(int(load._watch._proc.name), signal.SIGKILL)
        while load.is_working():
            load.sample()
            time.sleep(0.01)
        [failure] = load.result()["failures"]
    assert failure.endswith("RuntimeError: the process ended with status -9; see its messages above")


def test_a_target_that_is_dead_when_it_is_asked(monkeypatch, tmp_path):
    from robustness import steady_targets

    monkeypatch.setattr(steady_targets, "WORKER", "robustness.leaking_worker")
    with steady_targets.pipeline_load(tmp_path, 0, tmp_path / "files", ("stream",)) as load:
        process = int(load._watch._proc.name)
        os.kill(process, signal.SIGKILL)
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        with pytest.raises(RuntimeError, match="the process ended with status -9"):
            load._ask(0)


def test_a_target_that_hangs_is_noticed(monkeypatch, tmp_path):
    from robustness import steady_load
    from robustness.case import Case
    from robustness.mixture import Request
    from robustness.process_watch import ProcessWatch

    monkeypatch.setattr(steady_load, "REQUEST_S", 0.2)
    requests, watch = [Request("file", "pipeline", Case("a clip", lambda: None))], ProcessWatch(os.getpid(), tmp_path)
    load = steady_load.SteadyLoad("pipeline", requests, lambda number: time.sleep(5), watch, 0)
    load.start()
    while load.is_working():
        time.sleep(0.01)
    assert load.result()["failures"] == ["no answer within 0.2 s"]


@pytest.mark.parametrize(
    "told, outcome, fault",
    [
        ([1.0, 1.0], "values", ""),
        ([1.0, 1.5], "FAILED", "first 1.0, now 1.5"),
    ],
)
def test_an_answer_is_the_same_each_time(told, outcome, fault):
    from robustness.answers import Answer, Judge
    from robustness.case import Case
    from robustness.mixture import Request

    left = list(told)
    judge = Judge(lambda request: Answer("values", left.pop(0)))
    request = Request("file", "pipeline", Case("a clip", lambda: None))
    assert judge.judge(7, request) == ("values", "")
    assert judge.judge(7, request) == (outcome, fault and f"file, a clip: {fault}")


def test_what_must_be_refused_is_not_answered():
    from robustness.answers import Answer, Judge
    from robustness.case import Case
    from robustness.mixture import Request

    case = Case("a clip", lambda: None)
    told = Judge(lambda request: Answer("values", 1.0)).judge(0, Request("bad file", "pipeline", case, refused=True))
    assert told == ("FAILED", "bad file, a clip: must be refused, but: 1.0")
    told = Judge(lambda request: Answer("refused", "no")).judge(0, Request("file", "pipeline", case))
    assert told == ("FAILED", "file, a clip: must be answered, but: no")


def test_growth_of_a_line_of_peaks_and_of_a_level_reached():
    from robustness.growth import growth_of

    rng = np.random.default_rng(0)
    requests = list(range(0, 10_000, 10))
    peaks = 200.0 * (rng.uniform(size=1000) < 0.2)
    growing = growth_of(requests, list(500 + 0.01 * np.array(requests) + peaks), "rss_mb")
    assert growing.leaks and growing.per_1000 == pytest.approx(10, rel=0.05)
    assert growing.rise == pytest.approx(70, rel=0.05) and growing.requests == pytest.approx(7000, abs=30)
    flat = growth_of(requests, list(500 + peaks), "rss_mb")
    assert not flat.leaks and flat.per_1000 == pytest.approx(0, abs=1e-9)
    settled = growth_of(requests, list(500 + 100 * (1 - np.exp(-np.array(requests) / 700))), "rss_mb")
    assert not settled.leaks and settled.first > 590
    one_more = growth_of(requests, [9.0 + (count > 6000) for count in requests], "file_handles")
    assert not one_more.leaks and one_more.rise > 0.5
    assert growth_of(requests[:20], [1.0] * 20, "rss_mb") is None
    assert growth_of(list(range(100)), [1.0] * 100, "rss_mb") is None
    assert growth_of([], [], "rss_mb") is None


def test_a_mixture_is_the_same_each_time_and_all_of_it_is_asked(tmp_path):
    from robustness.mixture import KINDS, draw, make_mixture

    quick = ("stream", "space")
    first, second = (make_mixture(3, tmp_path / name, quick) for name in ("first", "second"))
    assert [(each.kind, each.case.what) for each in first] == [(each.kind, each.case.what) for each in second]
    for path in (tmp_path / "first").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "second" / path.relative_to(tmp_path / "first")).read_bytes()
    assert len(first) == sum(count for way, _, _, count, _ in KINDS.values() if way in quick)
    numbers = draw(np.random.default_rng(0), first)
    assert [next(numbers) for _ in first] == list(range(len(first)))
    drawn = [first[next(numbers)].kind for _ in range(3000)]
    assert drawn.count("space file") > 5 * drawn.count("space long file") > 0


def test_options_that_cannot_be():
    for arguments, message in (
        (["--minutes", "0"], "--minutes is 0; it must be above 0"),
        (["--seed", "-1"], "--seed is -1; it is at least 0"),
        (["--model", "nowhere"], "--model nowhere is no folder"),
        (["--targets", "moon"], "invalid choice"),
    ):
        done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)
        assert done.returncode == 2 and message in done.stderr
