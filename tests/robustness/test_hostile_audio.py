"""Hostile audio, a few hundred cases of it; `run.py` has as many as one likes. And what watches over them notices."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest


pytest.importorskip("onnxruntime")
pytest.importorskip("resource", reason="time and memory are limited as Unix does it")

HERE = Path(__file__).resolve().parent
CASES = 290
PROMISED = {"activation": 4.0, "valence": 1.0, "dominance": 7.0, "speech_ratio": 0.5}


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """`robustness.NAME`, as run.py has them."""
    monkeypatch.syspath_prepend(str(HERE.parent))


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(HERE / "run.py"), *arguments], capture_output=True, text=True)


def test_hostile_audio_gives_values_or_is_refused(tmp_path):
    from robustness.cases import KINDS

    done = run("--cases", str(CASES), "--output", str(tmp_path / "result.json"))
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["failures"] == [] and result["cases"] == CASES
    assert list(result["counts"]) == list(KINDS)
    for kind, by_target in result["counts"].items():
        assert kind in done.stdout
        for counts in by_target.values():
            assert sum(counts.values()) == CASES / len(KINDS)
    total = np.array([[list(c.values()) for c in by.values()] for by in result["counts"].values()]).sum(axis=0)
    # neither refused out of hand nor let pass: values, silence, refused, failed
    assert (total[:, 0] > CASES / 5).all() and (total[:, 2] > CASES / 5).all() and (total[:, 3] == 0).all()


def test_options_that_cannot_be():
    for arguments, message in (
        (["--cases", "0"], "--cases is 0; it is at least 1"),
        (["--model", "nowhere"], "--model nowhere is no folder"),
    ):
        done = run(*arguments)
        assert done.returncode == 2 and message in done.stderr


def test_a_case_is_the_same_each_time(tmp_path):
    from robustness.cases import KINDS, make_case

    for index in range(len(KINDS)):
        made = []
        for attempt in ("first", "second"):
            folder = tmp_path / f"{index}_{attempt}"
            folder.mkdir()
            case = make_case(3, index, folder)
            plain = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
            for path in plain:
                path.chmod(0o600)
            files = {path.name: path.read_bytes() for path in plain}
            made.append((case.what.split(" at 0x")[0], str(case.options), files))
        assert made[0] == made[1]


def test_every_trouble_is_noticed_and_told_apart(monkeypatch, tmp_path):
    from robustness import supervisor
    from robustness.broken_worker import TROUBLES

    monkeypatch.setattr(supervisor, "WORKER", "robustness.broken_worker")
    told = []
    verdicts = supervisor.run_cases(tmp_path, 0, range(len(TROUBLES)), ["extractor"], 1, told.append)
    assert sorted(told, key=lambda verdict: verdict.index) == verdicts
    messages = {name: (verdict.outcome, verdict.message) for name, verdict in zip(TROUBLES, verdicts, strict=True)}
    expected = {
        "values": ("values", ""),
        "refused": ("refused", "audio has NaN or infinite samples; repair or drop the clip"),
        "KeyError": ("FAILED", "KeyError: 'absent' (broken_worker.py:"),
        "foreign": ("FAILED", "raised by no statement of this package, ValueError: invalid literal"),
        "crash": ("FAILED", "the process died of SIGABRT"),
        "segfault": ("FAILED", "the process died of SIGSEGV"),
        "exit": ("FAILED", "the process ended with status 3"),
        "spin": ("FAILED", "took more than 5 s of processor time"),
        "wait": ("FAILED", "waited 120 s"),
        "memory": ("FAILED", "took 1"),
        "file": ("FAILED", "leaves 1 file handles"),
        "temporary": ("FAILED", "leaves temporary files ["),
        "values again": ("FAILED", "leaves temporary files ["),
    }
    for name, (outcome, message) in expected.items():
        assert messages[name][0] == outcome and messages[name][1].startswith(message), (name, messages[name])


def test_a_worker_that_is_dead_when_it_is_given_a_task():
    from robustness import supervisor

    worker = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with worker:
        assert worker.stdout.read() == "" and worker.wait() == 0
        assert not supervisor._give(worker, (0, "extractor"))
        assert not supervisor._give(worker, (1, "extractor"))  # and leaving it raises nothing


def test_a_peak_is_that_of_the_process_itself():
    held = np.ones(25_000_000)  # 200 MB, which a child has no part in
    code = "from robustness.limits import peak_bytes; print(peak_bytes())"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE.parent, capture_output=True, text=True, check=True)
    assert 1e6 < int(done.stdout) < 1e8 < held.nbytes


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"valence": float("nan")}, "valence is nan"),
        ({"valence": 7.5}, "valence is 7.5"),
        ({"valence": None}, "valence is None"),
        ({"speech_ratio": 1.5}, "speech_ratio is 1.5"),
        ({"speech_ratio": 0.0}, "values without any speech"),
        ({"emotions": {"anger": 0.5, "joy": 0.4}}, "probabilities of emotions sum to 0.9"),
        ({"uncertainty": {"valence": float("inf")}}, "uncertainty of valence is inf"),
    ],
)
def test_results_that_must_not_be(change, fault):
    from robustness.verdict import Fault, check_result

    with pytest.raises(Fault, match=fault):
        check_result([{**PROMISED, **change}], (1, 7))


def test_results_that_may_be():
    from robustness.verdict import check_result

    assert check_result(PROMISED, (1, 7)) == "values"
    silent = {**dict.fromkeys(PROMISED), "speech_ratio": 0.0}
    assert check_result(silent, (1, 7)) == check_result([PROMISED, silent], (1, 7)) == "silence"


@pytest.mark.parametrize(
    "values, mask, fault",
    [
        (np.zeros((1, 1599), "f4"), np.ones((1, 1599)), "1599 samples are less than 0.1 s"),
        (np.zeros((1, 1600)), np.ones((1, 1600)), "float64"),
        (np.full((1, 1600), np.nan, "f4"), np.ones((1, 1600)), "not finite"),
        (np.full((1, 1600), 1.5, "f4"), np.ones((1, 1600)), "reach 1.5"),
        (np.zeros((1, 1700), "f4"), np.arange(1700)[None] < 1650, "does not mark every sample"),
    ],
)
def test_inputs_that_must_not_be(values, mask, fault):
    from robustness.verdict import Fault, check_inputs

    with pytest.raises(Fault, match=fault):
        check_inputs({"input_values": values, "attention_mask": mask.astype("i4")})


def test_two_answers_must_be_alike():
    from robustness.verdict import Fault, check_alike

    check_alike([PROMISED, {**PROMISED, "valence": 1.0005}])
    with pytest.raises(Fault, match="1.1 where the pipeline has 1.0"):
        check_alike([PROMISED, {**PROMISED, "valence": 1.1}])
    with pytest.raises(Fault, match="another form of result"):
        check_alike([PROMISED, [PROMISED, PROMISED]])


def test_growth_and_disagreement_are_told():
    from robustness.report import result_of
    from robustness.summary import growth_bytes_per_call, table
    from robustness.supervisor import Verdict

    def verdicts(slope: int) -> list:
        return [Verdict(n, "lists", "onnx", "values", held_bytes=10**8 + slope * n) for n in range(4000)]

    assert growth_bytes_per_call(verdicts(700)) == pytest.approx(700)
    assert growth_bytes_per_call(verdicts(700)[:1000]) is None
    assert result_of(verdicts(1000), 0, 1, 1.0)["failures"] == []
    assert result_of(verdicts(40_000), 0, 1, 1.0)["failures"] == [{"message": "memory grows by 39 kB a call"}]
    two = [Verdict(5, "lists", "pipeline", "refused"), Verdict(5, "lists", "onnx", "values")]
    [failure] = result_of(two, 0, 1, 1.0)["failures"]
    assert failure["message"].startswith("values, where the pipeline's outcome is refused")
    lists, total = table(two).splitlines()[2:]
    assert lists.split() == ["lists", ".", ".", "1", ".", "1", ".", ".", "."]
    assert total.split() == ["all", *lists.split()[1:]]


def test_a_stream_is_cut_into_all_of_its_samples():
    from robustness.targets import _cut

    for samples in (np.arange(100), np.arange(200).reshape(2, 100), list(range(100))):
        for seed in range(5):
            pieces = list(_cut(samples, np.random.default_rng(seed)))
            np.testing.assert_array_equal(np.concatenate(pieces, axis=-1), samples)
    odd = SimpleNamespace(shape=(3,))
    assert list(_cut(odd, np.random.default_rng(0))) == [odd]
