"""The benchmarks run in toy sizes, and write what the tables of tests/README.md need."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "tests" / "benchmarks"
QUANTITIES = ("median", "q25", "q75", "n")
PASSED = ("seconds", "files_per_s", "audio_s_per_s")
HELD = ("cpu_seconds", "peak_mb_above_import")
STARTED = ("seconds", "import_seconds", "load_seconds", "first_call_seconds")
LATENCY_ROWS = (
    *("student_onnx", "student_onnx_session", "student_model", "student_pipeline", "nano_onnx", "nano_int8_onnx"),
    *("teacher_pipeline", "teacher_onnx", "wav2vec2_12_layers_onnx", "hubert_large_model"),
)
# benchmark -> row -> its quantities
ROWS = {
    "latency": {f"{name}_10s": ("seconds", "cpu_seconds") for name in LATENCY_ROWS},
    "folder": dict.fromkeys(("onnx_batch1_1_process", "pipeline_batch8_1_process"), PASSED),
    "long_audio": dict.fromkeys(("onnx_estimate_1h", "onnx_curve_10h"), HELD),
    "cold_start": dict.fromkeys(("onnx_light", "pipeline"), STARTED),
    "extraction": dict.fromkeys(("plain_loop_1_process", "padded_1_process", "cut_1_process"), ("seconds",)),
    "training": dict.fromkeys(("cached_padded", "encoder_in_loop_padded"), ("seconds",)),
    "encoder_share": dict.fromkeys(("whisper_encoder", "whisper_extraction_16khz", "hubert_extraction_44khz"), ()),
    "export_size": dict.fromkeys(("student_fp32", "student_int8", "nano_fp32", "nano_int8"), ()),
}
RATIOS = {
    "latency": ["wav2vec2_12_layers_onnx_10s_over_student_onnx_10s", "student_pipeline_10s_over_student_onnx_10s"],
    "folder": ["pipeline_batch1_1_process_over_onnx_batch1_1_process"],
    "cold_start": ["pipeline_over_onnx_light"],
    "extraction": ["plain_loop_1_process_over_cut_1_process"],
    "encoder_share": ["hubert_encoder_over_hubert_extraction_44khz_cpu"],
    "training": ["encoder_in_loop_padded_over_cached_padded"],
}


def run_benchmarks(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(BENCHMARKS / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=BENCHMARKS)


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """Modules are imported as `benchmarks.NAME`, as run.py imports them."""
    monkeypatch.syspath_prepend(str(BENCHMARKS.parent))


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory) -> tuple[Path, str]:
    """All benchmarks in toy sizes: the folder of their results, and what they printed."""
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("results")
    done = run_benchmarks("--quick", "--output", str(folder))
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.mark.timeout(1200)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("name", ROWS)
def test_a_quick_run_writes_all_rows(name, quick_run):
    folder, printed = quick_run
    written = json.loads((folder / f"{name}.json").read_text())
    assert written["schema_version"] == 1
    assert written["benchmark"] == name
    assert written["quick"] is True
    machine = written["machine"]
    assert machine["threads"] == 1
    assert machine["gemm_gflops"] > 0 and machine["bandwidth_gb_per_s"] > 0
    assert len(machine["load_average"]) == 3 and machine["processor"] and machine["date"]
    for row, quantities in ROWS[name].items():
        for quantity in quantities:
            value = written["rows"][row][quantity]
            assert set(value) == set(QUANTITIES)
            assert 0 <= value["q25"] <= value["median"] <= value["q75"]
        if quantities:
            floor = written["rows"][row]["floor"]
            assert floor["floor_s"] > 0 and floor["times_floor"] > 0
        assert row in printed
    for ratio in RATIOS.get(name, ()):
        assert written["ratios"][ratio]["n"] >= 1
    for target in written["targets"].values():
        assert ("at_least" in target) != ("at_most" in target)
        assert target["met"] in (True, False, None)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["latancy"], "no benchmark is called latancy; there are latency, folder"),
        (["latency", "--audio", "nowhere"], "--audio nowhere is not a folder"),
    ],
)
def test_command_line_errors(arguments, message):
    done = run_benchmarks(*arguments)
    assert done.returncode == 2 and message in done.stderr


def test_ratio_is_the_median_over_rounds():
    from benchmarks.report import Result

    result = Result({})
    slow = [{"seconds": s} for s in (10.0, 40.0, 90.0)]
    fast = [{"seconds": s} for s in (1.0, 2.0, 30.0)]
    result.add_ratio({"slow": slow, "fast": fast}, "slow", "fast")
    ratio = result.ratios["slow_over_fast"]
    # 10, 20 and 3 by round; the ratio of the medians would be 20
    assert (ratio["of"], ratio["to"], ratio["median"], ratio["n"]) == ("slow", "fast", 10, 3)


def test_summary_by_hand():
    from benchmarks.measuring import summary

    assert summary([5.0, 1.0, 2.0, 4.0, 3.0]) == {"median": 3, "q25": 2, "q75": 4, "n": 5}
    assert summary([7.0]) == {"median": 7, "q25": 7, "q75": 7, "n": 1}


def test_operations_by_hand():
    import torch
    from benchmarks.machine import count_operations

    gru = torch.nn.GRU(4, 8, num_layers=2, batch_first=True)
    # three gates, each from the input and from the state before
    expected = 7 * (2 * 3 * 8 * (4 + 8) + 2 * 3 * 8 * (8 + 8))
    assert count_operations(lambda: gru(torch.zeros(1, 7, 4))) == expected
    query = torch.zeros(1, 2, 5, 8)  # batch, heads, time, width: scores, and the weighted sum
    attention = torch.nn.functional.scaled_dot_product_attention
    assert count_operations(lambda: attention(query, query, query)) == 2 * (2 * 2 * 5 * 5 * 8)


def test_floor_is_the_slower_of_the_two_bounds():
    from benchmarks.machine import floor

    machine = {"gemm_gflops": 100.0, "bandwidth_gb_per_s": 10.0}
    assert floor(2e9, 1e6, machine)["floor_s"] == pytest.approx(0.02)
    assert floor(2e9, 1e6, machine)["bound_by"] == "operations"
    assert floor(2e6, 1e9, machine)["floor_s"] == pytest.approx(0.1)
    assert floor(2e6, 1e9, machine)["bound_by"] == "bytes"


def test_a_target_knows_whether_it_was_met():
    from benchmarks.report import Result

    result = Result({})
    result.add_target("fast", "times as fast", 401.0, at_least=400)
    result.add_target("small", "bytes", 101, at_most=100)
    result.add_target("open", "not measured", None, at_most=100)
    assert [target["met"] for target in result.targets.values()] == [True, False, None]


def test_recordings_have_the_length_asked_for(tmp_path):
    import numpy as np
    import soundfile
    from benchmarks.speech import speech_files, waveform, write_recording

    made = tmp_path / "made"
    made.mkdir()
    soundfile.write(made / "clip.wav", np.full(16000, 0.25), 16000)
    words, files = speech_files(made, tmp_path / "unused")
    assert words == "1 clips of made"
    assert len(waveform(files, 2.5)) == 40000
    assert soundfile.info(write_recording(tmp_path / "long.wav", files, 2.25)).frames == 36000
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="has no .wav files; give a folder of 16 kHz speech"):
        speech_files(empty, tmp_path / "unused")


def test_no_summary_of_nothing_or_of_quick_runs(tmp_path):
    from benchmarks.summary import read_results

    with pytest.raises(ValueError, match=r"has no results; run python tests/benchmarks/run\.py first"):
        read_results(tmp_path)
    (tmp_path / "latency.json").write_text('{"quick": true}')
    with pytest.raises(ValueError, match="latency in .* came from --quick; run without it"):
        read_results(tmp_path)


def test_the_figure_is_drawn(tmp_path):
    from benchmarks.summary import RESULTS, draw_latency

    draw_latency(json.loads((RESULTS / "latency.json").read_text()), tmp_path / "latency.png")
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")


def test_the_memory_of_the_command_is_measured_while_it_works(capsys):
    from benchmarks.memory import main

    found = main(["--files", "40"])
    early, late = found["first_tenth_mb"], found["rest_mb"]
    assert early > 50 and 50 < late < early + 200
    assert f"40 recordings: first_tenth_mb {early:.1f}, rest_mb {late:.1f}\n" in capsys.readouterr().out
