"""A real encoder over a corpus: a plain loop over the clips, as transformers documents it, beside training/'s."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import shutil
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch

from .alternating import take_turns
from .models import TINY_EN, TOY, toy_whisper, whisper_config
from .operations import count_operations, parameter_bytes
from .report import Result
from .settings import Settings
from .speech import SAMPLING_RATE, read_clip
from .workers import Workers, cpu_timed


ENCODER = "openai/whisper-tiny.en"
ROUNDS, NUM_CLIPS, QUICK_CLIPS, BATCH_SIZE = 3, 48, 4, 8
PADDED = {"padded": True, "cut": False, "corpus": False}  # to 30 s
PROCESSES = {1: "1_process", 2: "2_processes"}
BRANCHES = [{"source": "whisper", "hidden_state": "last", "conv_kernel_size": 5, "conv_stride": 4}]


def run(settings: Settings, machine: dict) -> Result:
    """
    Rows `plain_loop_1_process`, `padded_1_process`, `cut_2_processes` and so on, of a part of the clips.

    cut: without padding to 30 s; `corpus_1_process` and `corpus_2_processes` do that to all clips, as these few are
    done in little more time than a process takes to load the encoder.
    """
    count = QUICK_CLIPS if settings.quick else NUM_CLIPS
    part = settings.files[:: max(1, len(settings.files) // count)][:count]
    clips = {"padded": part, "cut": part, "corpus": part if settings.quick else settings.files}
    seconds = {name: [len(read_clip(path)) / SAMPLING_RATE for path in files] for name, files in clips.items()}
    facts = {
        "encoder": ENCODER,
        "batch_size": BATCH_SIZE,
        "clips": {name: len(files) for name, files in clips.items()},
    }
    facts["audio_s"] = {name: sum(values) for name, values in seconds.items()}
    result = Result({**facts, "rounds": settings.rounds(ROUNDS)})
    try:
        encoder = encoder_folder(settings)
    except OSError as error:
        result.add_missing("plain_loop_1_process", str(error))
        return result
    with ExitStack() as stack:
        contenders = {}
        for processes, words in PROCESSES.items():
            if processes > len(settings.cores):
                result.add_missing(f"cut_{words}", f"needs {processes} cores")
                continue
            arguments = (encoder, clips, settings.folder / f"frames_{processes}", _free_port())
            group = stack.enter_context(Workers(_routes, settings.cores[:processes], *arguments))
            contenders |= {f"{name}_{words}": group.contender(name) for name in group.names}
        turns = take_turns(contenders, settings.rounds(ROUNDS))
    result.add_turns(turns)
    _add_floors(result, settings, seconds, machine)
    for name in PADDED:
        if name != "corpus":
            result.add_ratio(turns, "plain_loop_1_process", f"{name}_1_process")
        result.add_ratio(turns, f"{name}_1_process", f"{name}_2_processes")
    _add_targets(result)
    return result


def encoder_folder(settings: Settings) -> Path:
    """Of the encoder as it is on this machine; a toy in quick mode. `OSError` where it is not here."""
    from speech_affect_training.encoders.encoder_sources import resolve_encoder

    return toy_whisper(settings.folder / "whisper") if settings.quick else resolve_encoder(ENCODER).folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _routes(index: int, count: int, encoder: Path, clips: dict[str, list[Path]], root: Path, port: int) -> dict:
    """Turns of [`PADDED`] of this process's share of the clips, as `accelerate launch` gives it; and `plain_loop`."""
    if count > 1:
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        rank = {"RANK": str(index), "LOCAL_RANK": str(index), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
        os.environ.update(address | rank)
    from accelerate import PartialState

    PartialState(cpu=True)  # which joins the process group, once
    turns = {} if count > 1 else {"plain_loop": cpu_timed(_plain_loop(encoder, clips["padded"]))}
    for name, pad in PADDED.items():
        turns[name] = cpu_timed(_extraction(encoder, pad, clips[name], root / name))
    return turns


def _plain_loop(encoder: Path, files: list[Path]) -> Callable[[], None]:
    from transformers import AutoFeatureExtractor, WhisperModel

    @torch.no_grad()
    def call() -> None:
        extractor = AutoFeatureExtractor.from_pretrained(encoder)
        model = WhisperModel.from_pretrained(encoder).get_encoder().eval()
        frames = []
        for path in files:
            inputs = extractor(read_clip(path), sampling_rate=SAMPLING_RATE, return_tensors="pt")
            frames.append(model(inputs.input_features).last_hidden_state[0].half().numpy())

    return call


def _extraction(encoder: Path, pad: bool, files: list[Path], root: Path) -> Callable[[], None]:
    """The frames of all clips, made anew."""
    from accelerate import PartialState

    from speech_affect_training.encoders.library import EncoderLibrary
    from speech_affect_training.frames.speech_frames import extract_frames

    clips = {path.stem: {"path": str(path), "bytes": None} for path in files}
    numbers = itertools.count()

    def call() -> None:
        library = EncoderLibrary({"whisper": {"id": str(encoder), "pad_to_window": pad}}, BRANCHES, None)
        folder = root / str(next(numbers))  # what is on disk is not made again
        with contextlib.redirect_stderr(io.StringIO()):  # no progress bars
            [cache] = extract_frames(clips, BRANCHES, library, folder, BATCH_SIZE).values()
        if cache.missing(clips):
            raise RuntimeError("some of the clips have no frames")
        PartialState().wait_for_everyone()
        if PartialState().is_main_process:
            shutil.rmtree(folder)

    return call


def _add_floors(result: Result, settings: Settings, seconds: dict[str, list[float]], machine: dict) -> None:
    from speech_affect.encoder import SpeechEncoder

    for name, pad in PADDED.items():
        encoder = _counted_encoder(SpeechEncoder, settings, pad)
        operations = 0.0
        for duration_s in seconds[name]:
            samples = torch.zeros(1, round(duration_s * SAMPLING_RATE))
            lengths = torch.tensor([samples.shape[1]])
            operations += count_operations(
                encoder,
                lambda samples=samples, lengths=lengths, encoder=encoder: encoder(samples, lengths, ["last"]),
            )
        num_bytes = parameter_bytes(encoder) + 4 * SAMPLING_RATE * sum(seconds[name])
        for label, values in result.rows.items():
            if "missing" not in values and label.startswith(("padded", "plain") if pad else name):
                share = 2 if label.endswith("es") else 1
                result.add_floor(label, operations / share, num_bytes / share, machine)


def _counted_encoder(encoder_class, settings: Settings, pad: bool):
    from speech_affect import AffectEncoderConfig

    backbone = whisper_config(TOY if settings.quick else TINY_EN)
    return encoder_class(AffectEncoderConfig(backbone=backbone, pad_to_window=pad), SAMPLING_RATE).eval()


def _add_targets(result: Result) -> None:
    for name, words in (("padded", "padded to 30 s"), ("cut", "without padding to 30 s")):
        plain = result.ratio_median(f"plain_loop_1_process_over_{name}_1_process")
        result.add_target(f"{name}_speed", f"extraction {words}: times the plain loop", plain, at_least=2)
    for name, words in (("padded", "padded to 30 s"), ("corpus", "without padding, all clips")):
        two = result.ratio_median(f"{name}_1_process_over_{name}_2_processes")
        result.add_target(f"{name}_processes", f"extraction {words}: 2 processes to 1", two, at_least=1.7)
