"""Models of every class on a device against the CPU, and training steps under accelerate's configurations."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn.utils.rnn import pad_sequence
from transformers import BertConfig, HubertConfig, Wav2Vec2Config, WhisperConfig

from speech_affect import AffectFusionConfig, AffectFusionModel, AffectStudentConfig, AffectStudentModel


ROOT = Path(__file__).resolve().parents[2]
TOLERANCES = {"float32": 1e-4, "bfloat16": 2e-2}  # of the largest value of an output, or of 1 if that is less
GRADIENT_TOLERANCE = STEPS_TOLERANCE = 1e-3
SPEECH = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
TOKENS = {"vocab_size": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
DECODER = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16}
DECODER |= {"suppress_tokens": None, "begin_suppress_tokens": None, **TOKENS}
WHISPER = {"d_model": 32, "encoder_layers": 3, "encoder_attention_heads": 2, "encoder_ffn_dim": 64, **DECODER}
WORDS = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
TASKS = {"emotion_names": ["A", "H", "N"], "gender_names": ["Female", "Male"], "predict_uncertainty": True}
SIZES = {"conv_channels": 16, "gru_hidden_size": 16, "embedding_size": 16, "dropout": 0.0}
ENCODERS = {
    "hubert": lambda: {"backbone": HubertConfig(**SPEECH), "do_normalize": True},
    "wav2vec2": lambda: {"backbone": Wav2Vec2Config(**SPEECH), "do_normalize": True},
    "whisper": lambda: {"backbone": WhisperConfig(**WHISPER), "pad_to_window": False},
    "whisper_30s": lambda: {"backbone": WhisperConfig(**WHISPER)},
    "words": lambda: {"backbone": BertConfig(vocab_size=20, max_position_embeddings=8, **WORDS)},
}
TEXT = {"source": "words", "conv_kernel_size": 3, "conv_stride": 1}
# kind of model -> branches and settings
FUSIONS = {
    "fusion_embedding": (
        [{"source": "mfb"}, {"source": "hubert", "hidden_state": "weighted_sum"}, {"source": "whisper"}],
        {},
    ),
    "fusion_frame": ([{"source": "mfb"}, {"source": "whisper_30s"}], {"fusion_level": "frame"}),
    "fusion_tasks": ([{"source": "wav2vec2", "hidden_state": 2}], TASKS),
    "fusion_text": ([{"source": "mfb"}, {"source": "whisper"}, TEXT], {}),
}
STUDENTS = {"student": ("mfb", {}), "student_tasks": ("mfb_f0", TASKS)}
KINDS = [*FUSIONS, *STUDENTS]
LAUNCHES = {"cuda": ("ddp", "fsdp"), "cpu": ("ddp_cpu",)}


def make_model(kind: str):
    """A small model in evaluation mode, with the same weights at every call."""
    torch.manual_seed(0)
    if kind in STUDENTS:
        source, settings = STUDENTS[kind]
        branch = {"source": source, "normalization": "running"}
        model = AffectStudentModel(AffectStudentConfig(branch=branch, **SIZES, **settings))
    else:
        branches, settings = FUSIONS[kind]
        encoders = {b["source"]: ENCODERS[b["source"]]() for b in branches if b["source"] in ENCODERS}
        model = AffectFusionModel(AffectFusionConfig(branches=branches, encoders=encoders, **SIZES, **settings))
    for name, part in model.regressor.inputs.items():
        mean = torch.full_like(part.frame_mean, -6.0 if name.startswith("mfb") and kind not in STUDENTS else 0.1)
        model.regressor.set_frame_statistics(name, mean, torch.full_like(mean, 3.0))
    return model.eval()


def make_inputs(model) -> dict[str, torch.Tensor]:
    """Four clips of 0.3 to 1.1 s with labels, and the transcripts and other targets that the model reads."""
    generator = torch.Generator().manual_seed(7)
    clips = []
    for index, seconds in enumerate((1.1, 0.3, 0.7, 0.9)):
        times = torch.arange(round(seconds * 16000)) / 16000
        tone = 0.3 * torch.sin(2 * torch.pi * (110 + 50 * index) * times)
        clips.append(tone + 0.05 * torch.randn(len(times), generator=generator))
    lengths = torch.tensor([[len(clip)] for clip in clips])
    labels = 1 + 6 * torch.rand(4, 3, generator=generator)
    labels[2, 1] = torch.nan
    inputs = {
        "input_values": pad_sequence(clips, batch_first=True),
        "attention_mask": (torch.arange(int(lengths.max())) < lengths).long(),
        "labels": labels,
    }
    if model.config.reads_text:
        inputs["input_ids"] = torch.tensor([[5, 6, 7, 8], [9, 0, 0, 0], [10, 11, 0, 0], [12, 13, 14, 0]])
        inputs["text_attention_mask"] = (inputs["input_ids"] > 0).long()
    if model.config.predict_uncertainty:
        inputs["emotion_targets"] = torch.tensor([0, 2, -100, 1])
        inputs["gender_targets"] = torch.tensor([1, 0, 0, -100])
        inputs["rating_variances"] = torch.full((4, 3), 0.25)
    return inputs


def difference(values: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, as a share of the largest value or of 1; infinite where shapes or NaNs differ."""
    values, expected = values.detach().cpu().double(), expected.detach().cpu().double()
    if values.shape != expected.shape or not torch.equal(values.isnan(), expected.isnan()):
        return float("inf")
    values, expected = values.nan_to_num(), expected.nan_to_num()
    return float((values - expected).abs().max() / expected.abs().max().clamp(min=1)) if values.numel() else 0.0


def _outputs(model, device: str, train: bool = False) -> dict[str, torch.Tensor]:
    inputs = {name: values.to(device) for name, values in make_inputs(model).items()}
    more = {} if model.config.reads_text else {"output_frame_logits": True}
    output = model.train(train)(**inputs, **more, output_hidden_states=True)
    flat = {}
    for name, values in output.items():
        if isinstance(values, dict):
            flat |= {f"{name}.{key}": value for key, value in values.items()}
        elif isinstance(values, tuple):
            flat |= {f"{name}.{index}": value for index, value in enumerate(values)}
        else:
            flat[name] = values
    return flat


@torch.no_grad()
def compare_outputs(kind: str, device: str, dtype: str) -> dict:
    """Outputs and losses of a model on a device in a number format against the CPU in float32.

    Returns:
        Per output its `difference`, and whether all are `within` the tolerance.
    """
    expected = _outputs(make_model(kind), "cpu")
    got = _outputs(make_model(kind).to(device=device, dtype=getattr(torch, dtype)), device)
    found = {name: difference(got[name], values) for name, values in expected.items()}
    limit = TOLERANCES[dtype]
    return {
        "differences": found,
        "tolerance": limit,
        "within": max(found.values()) <= limit and set(got) == set(expected),
    }


def compare_gradients(kind: str, device: str) -> dict:
    """Gradients of the loss in float32 against the CPU, each as a share of the largest gradient of all."""
    gradients = []
    for place in ("cpu", device):
        model = make_model(kind).to(place)
        _outputs(model, place, train=True)["loss"].backward()
        gradients.append({name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None})
    expected, got = gradients
    largest = max(float(values.abs().max()) for values in expected.values())
    found = max(float((got[name] - values).abs().max()) / largest for name, values in expected.items())
    return {"difference": found, "tolerance": GRADIENT_TOLERANCE, "within": found <= GRADIENT_TOLERANCE}


def compare_steps(config: str, device: str, folder: Path, timeout_s: float = 240) -> dict:
    """Train a teacher and its student under `training/launch/<config>.yaml` in one process, and on the CPU without it.

    Returns:
        The largest `differences` of a loss or CCC, and of a weight; `launched`, which kind of training it was.
    """
    launch = ["-m", "accelerate.commands.launch", "--config_file", str(ROOT / f"training/launch/{config}.yaml")]
    launch += ["--num_processes", "1", "--main_process_port", str(_free_port())]
    notes = {
        "alone": _train([], folder / "alone", "cpu", timeout_s),
        "launched": _train(launch, folder / config, device, timeout_s),
    }
    measured, weights = 0.0, 0.0
    for job in ("teacher", "student"):
        one, other = (folder / name / "jobs" / job for name in ("alone", config))
        pairs = zip(_history(one), _history(other), strict=True)
        measured = max(measured, *(abs(a - b) for left, right in pairs for a, b in zip(left, right, strict=True)))
        one, other = (load_file(path / "model" / "model.safetensors") for path in (one, other))
        weights = max(weights, *(difference(other[name], values) for name, values in one.items()))
    within = measured <= STEPS_TOLERANCE and weights <= STEPS_TOLERANCE
    differences = {"losses_and_ccc": measured, "weights": weights}
    return {"differences": differences, "tolerance": STEPS_TOLERANCE, "within": within, **notes}


def _train(launch: list[str], folder: Path, device: str, timeout_s: float) -> dict:
    """What the script noted of its last training."""
    if not (folder / "noted.json").is_file():
        alone = {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"} if device == "cpu" else {}
        environment = {**os.environ, "NVIDIA_TF32_OVERRIDE": "0", **alone}
        command = [sys.executable, *launch, str(Path(__file__).with_name("steps.py")), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment)
        if done.returncode:
            raise RuntimeError(f"training ended with status {done.returncode}: {done.stderr[-1500:]}")
    return json.loads((folder / "noted.json").read_text())


def _history(folder: Path) -> list[list[float]]:
    entries = [entry for path in sorted(folder.glob("*history.json")) for entry in json.loads(path.read_text())]
    return [[value for key, value in entry.items() if key.startswith(("loss", "eval_ccc"))] for entry in entries]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
