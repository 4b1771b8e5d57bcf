"""A few hostile audio cases through all targets, and that the harness notices every kind of failure."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


pytest.importorskip("onnxruntime")
if not sys.platform.startswith("linux"):
    pytest.skip("time and memory are limited and measured as on Linux", allow_module_level=True)

HERE = Path(__file__).resolve().parent
CASES = 116
VALID = {"activation": 4.0, "valence": 1.0, "dominance": 7.0, "speech_ratio": 0.5}


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(HERE / "run.py"), *arguments], capture_output=True, text=True)


def test_hostile_audio_gives_values_or_errors_of_the_package(tmp_path):
    from robustness.cases import KINDS

    done = run("--cases", str(CASES), "--output", str(tmp_path / "result.json"))
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["failures"] == [] and result["cases"] == CASES
    assert "| five formats, cut or rearranged | " in done.stdout and "| lists | " in done.stdout
    assert list(result["counts"]) == list(KINDS)
    for by_target in result["counts"].values():
        assert [sum(counts.values()) for counts in by_target.values()] == [CASES / len(KINDS)] * 4
    total = np.array([[list(c.values()) for c in by.values()] for by in result["counts"].values()]).sum(axis=0)
    # neither refused wholesale nor accepted wholesale: values, silence, refused, failed
    assert (total[:, 0] > CASES / 6).all() and (total[:, 2] > CASES / 6).all() and (total[:, 3] == 0).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--cases", "0"], "argument --cases: it is 0; give a whole number, at least 1"),
        (["--model", "nowhere"], "argument --model: nowhere is not a folder"),
    ],
)
def test_command_line_errors(arguments, message):
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


def test_every_trouble_is_noticed_and_told_apart(tmp_path):
    from robustness.broken import TROUBLES, BrokenTargets, make_trouble
    from robustness.supervisor import run_cases

    reported = []
    verdicts = run_cases(
        tmp_path / "model",
        0,
        range(len(TROUBLES)),
        ["extractor"],
        report=reported.append,
        load=BrokenTargets,
        make=make_trouble,
    )
    assert reported == verdicts
    messages = {name: (verdict.outcome, verdict.message) for name, verdict in zip(TROUBLES, verdicts, strict=True)}
    expected = {
        "values": ("values", ""),
        "refused": ("refused", "audio has NaN or infinite samples"),
        "KeyError": ("FAILED", "KeyError: 'absent' (broken.py:"),
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


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"valence": float("nan")}, "valence is nan"),
        ({"valence": 7.5}, "valence is 7.5"),
        ({"error": "the file cannot be read as any audio"}, "speech_ratio is 0.5 with the error"),
        ({"error": "the file cannot be read as any audio", "speech_ratio": None}, "values without any speech"),
        ({"valence": None}, "valence is None"),
        ({"speech_ratio": 1.5}, "speech_ratio is 1.5"),
        ({"speech_ratio": 0.0}, "values without any speech"),
        ({"emotions": {"anger": 0.5, "joy": 0.4}}, "probabilities of emotions sum to 0.9"),
        ({"uncertainty": {"valence": float("inf")}}, "uncertainty of valence is inf"),
    ],
)
def test_invalid_results_are_faults(change, fault):
    from robustness.verdict import Fault, check_result

    with pytest.raises(Fault, match=fault):
        check_result([{**VALID, **change}], (1, 7))


def test_values_and_silence_are_valid_results():
    from robustness.verdict import check_result

    assert check_result(VALID, (1, 7)) == "values"
    silent = {**dict.fromkeys(VALID), "speech_ratio": 0.0}
    assert check_result(silent, (1, 7)) == check_result([VALID, silent], (1, 7)) == "silence"
    failed = {**dict.fromkeys(VALID), "error": "the file cannot be read as any audio"}
    assert check_result(failed, (1, 7)) == check_result([VALID, silent, failed], (1, 7)) == "refused"


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
def test_invalid_batches_are_faults(values, mask, fault):
    from robustness.verdict import Fault, check_inputs

    with pytest.raises(Fault, match=fault):
        check_inputs({"input_values": values, "attention_mask": mask.astype("i4")})


def test_two_results_must_be_alike():
    from robustness.verdict import Fault, check_alike

    check_alike([VALID, {**VALID, "valence": 1.0005}])
    with pytest.raises(Fault, match="1.1 where the pipeline has 1.0"):
        check_alike([VALID, {**VALID, "valence": 1.1}])
    with pytest.raises(Fault, match="another form of result"):
        check_alike([VALID, [VALID, VALID]])


def test_growth_and_disagreement_are_failures():
    from robustness.report import audio_result, audio_table, growth_bytes_per_call
    from robustness.supervisor import Verdict

    def verdicts(slope: int) -> list:
        return [Verdict(n, "lists", "onnx", "values", held_bytes=10**8 + slope * n) for n in range(4000)]

    assert growth_bytes_per_call(verdicts(700)) == pytest.approx(700)
    assert growth_bytes_per_call(verdicts(700)[:1000]) is None
    assert audio_result(verdicts(1000), 0, 1, 1.0)["failures"] == []
    assert audio_result(verdicts(40_000), 0, 1, 1.0)["failures"] == [{"message": "memory grows by 39 kB a call"}]
    result = audio_result(
        [Verdict(5, "lists", "pipeline", "refused"), Verdict(5, "lists", "onnx", "values")], 0, 1, 1.0
    )
    [failure] = result["failures"]
    assert failure["message"].startswith("values, where the pipeline's outcome is refused")
    assert audio_table(result).splitlines()[2] == "| lists | 1 | 0 | 1 | 0 |"
