"""What gpu/run.py does: on a GPU if there is one; and on the CPU, that its parts find what they are to find."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch


GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"))
KINDS = ("fusion_embedding", "fusion_frame", "fusion_tasks", "fusion_text", "student", "student_tasks")
SCRIPT = Path(__file__).with_name("run.py")


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """Modules are imported as `gpu.NAME`, as run.py imports them; without TF32."""
    monkeypatch.syspath_prepend(str(SCRIPT.parents[1]))
    settings = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [each.allow_tf32 for each in settings]
    for each in settings:
        each.allow_tf32 = False
    yield
    for each, value in zip(settings, before, strict=True):
        each.allow_tf32 = value


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_those_of_the_cpu(kind, device):
    from gpu import comparing

    assert set(KINDS) == set(comparing.KINDS)
    full, half = (comparing.compare_outputs(kind, device, dtype) for dtype in ("float32", "bfloat16"))
    assert full["within"] and half["within"], (full, half)
    # all is compared, and bfloat16 is another format
    tasks = {"emotion_logits", "gender_logits", "uncertainty", "loss_parts.emotion"}
    assert {"logits", "embedding", "loss", "hidden_states.0", "loss_parts.valence"} <= set(half["differences"])
    assert (tasks <= set(half["differences"])) == kind.endswith("tasks")
    assert ("frame_logits" in half["differences"]) == (kind != "fusion_text")
    assert max(half["differences"].values()) > 1e-4


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_gradients_are_those_of_the_cpu(device):
    from gpu import comparing

    assert all(comparing.compare_gradients(kind, device)["within"] for kind in ("fusion_tasks", "student"))


def test_a_wrong_weight_is_found(monkeypatch):
    from gpu import comparing

    make, made = comparing.make_model, []

    def changed(kind):
        made.append(make(kind))
        with torch.no_grad():
            next(made[-1].regressor.parameters()).add_(0.003 * (len(made) - 1))
        return made[-1]

    monkeypatch.setattr(comparing, "make_model", changed)
    assert not comparing.compare_outputs("student", "cpu", "float32")["within"]
    assert not comparing.compare_gradients("student", "cpu")["within"]


def test_a_difference_by_hand():
    from gpu.comparing import difference

    one, nan = torch.tensor([1.0, -8.0, 2.0]), torch.tensor([1.0, torch.nan, 2.0])
    assert difference(one + torch.tensor([0.0, 0.0, 0.4]), one) == pytest.approx(0.4 / 8)
    assert difference(0.1 * one + 0.05, 0.1 * one) == pytest.approx(0.05)
    assert difference(nan, nan) == 0
    assert difference(nan, one) == difference(one, nan) == difference(one[:2], one) == float("inf")


@pytest.mark.parametrize("name", ["whisper_base", "hubert_large"])
def test_extraction_is_measured(name, tmp_path):
    from gpu import speed

    clips = speed.write_clips(tmp_path / "clips", 1.5, 0.5, 1.5)
    encoder = speed.write_encoder(name, tmp_path / "encoder", quick=True)
    found = speed.measure_extraction(name, encoder, clips, tmp_path / "made", "cpu", "float32", 1e9)
    assert found["audio_hours"] == pytest.approx(2 / 3600, rel=0.5) and found["batches"] == 1
    assert found["encoder_hours_per_second"] == pytest.approx(found["audio_hours"] / found["encoder_seconds"])
    # more operations than those of the layers' weights for each frame; attention and convolutions come on top
    frames = 1500 * len(clips) if name == "whisper_base" else 45 * 1.5
    assert found["operations"] > 2 * frames * 3 * (4 * 32 * 32 + 2 * 32 * 64)
    assert found["encoder_share_of_peak"] == pytest.approx(found["operations"] / found["encoder_seconds"] / 1e9)


def test_a_part_that_fails_is_told_and_none_is_begun_too_late():
    from gpu.run import guarded

    failed = guarded(lambda: {}["nothing"], float("inf"))
    assert failed["error"] == "KeyError: 'nothing'" and "guarded" in failed["traceback"] and "seconds" in failed
    assert guarded(lambda: {"within": True}, float("inf"))["within"]
    assert guarded(lambda: pytest.fail("begun"), 0.0) == {"error": "not begun: no time was left"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured(tmp_path, capsys, monkeypatch):
    from gpu.run import main

    monkeypatch.setattr("os.environ", {})
    assert main(["--output", str(tmp_path / "results.json")]) == 2
    assert "nothing is measured" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_everything_runs_on_a_gpu(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick", "--output", str(tmp_path / "results.json")],
        capture_output=True,
        text=True,
    )
    result = json.loads((tmp_path / "results.json").read_text())
    assert done.returncode == 0 and result["failed"] == [], done.stdout + done.stderr
    assert result["card"] == torch.cuda.get_device_name(0) and result["driver"]
    assert {"steps/ddp", "steps/fsdp"} <= set(result["parts"])
    assert result["parts"]["steps/fsdp"]["launched"]["sharded"]
