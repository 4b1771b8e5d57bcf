"""Benchmarks `extraction` (a real encoder over a corpus) and `training` (an epoch on frames made once)."""

import contextlib
import io
import itertools
import os
import shutil
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from .contenders import TINY_EN, TOY_WHISPER, toy_whisper, whisper_config
from .machine import Settings, count_operations, parameter_bytes
from .measuring import Workers, cpu_timed, take_turns, timed
from .report import Result
from .speech import SAMPLING_RATE, read_clip


ENCODER = "openai/whisper-tiny.en"
ROUNDS, NUM_CLIPS, QUICK_CLIPS, BATCH_SIZE = 3, 48, 2, 8
PADDED = {"padded": True, "cut": False, "corpus": False}  # to 30 s
PROCESSES = {1: "1_process", 2: "2_processes"}
BRANCHES = [{"source": "whisper", "hidden_state": "last", "conv_kernel_size": 5, "conv_stride": 4}]
ALL_BRANCHES = [{"source": "mfb"}, *BRANCHES]
LEAST_TIMES_CACHED = 20


def some_files(settings: Settings) -> list[Path]:
    """Clips of the length and number that a round takes."""
    count = QUICK_CLIPS if settings.quick else NUM_CLIPS
    return settings.files[:: max(1, len(settings.files) // count)][:count]


def _encoder_folder(settings: Settings) -> Path:
    """The encoder's folder on this machine, or of a toy in quick mode; raises `OSError` if it is not there."""
    from speech_affect_training.encoders.encoder_sources import resolve_encoder

    return toy_whisper(settings.folder / "whisper") if settings.quick else resolve_encoder(ENCODER).folder


def run_extraction(settings: Settings, machine: dict) -> Result:
    """Rows `plain_loop_1_process`, `padded_1_process`, `cut_2_processes` and so on.

    `plain_loop` is the loop over clips of transformers' documentation. `cut` does without padding to 30 s;
    `corpus_1_process` and `corpus_2_processes` do that with all clips, since the others take little longer than a
    process takes to load the encoder.
    """
    part = some_files(settings)
    clips = {"padded": part, "cut": part, "corpus": part if settings.quick else settings.files}
    seconds = {name: [len(read_clip(path)) / SAMPLING_RATE for path in files] for name, files in clips.items()}
    facts = {
        "encoder": ENCODER,
        "batch_size": BATCH_SIZE,
        "clips": {name: len(files) for name, files in clips.items()},
        "audio_s": {name: sum(values) for name, values in seconds.items()},
    }
    result = Result({**facts, "rounds": settings.rounds(ROUNDS)})
    try:
        encoder = _encoder_folder(settings)
    except OSError as error:
        result.add_missing("plain_loop_1_process", str(error))
        return result
    with ExitStack() as stack:
        contenders = {}
        for processes, words in PROCESSES.items():
            if processes > len(settings.cores[: 1 if settings.quick else None]):
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
    for name, words in (("padded", "padded to 30 s"), ("cut", "without padding to 30 s")):
        plain = result.ratio_median(f"plain_loop_1_process_over_{name}_1_process")
        result.add_target(f"{name}_speed", f"extraction {words}: times the plain loop", plain, at_least=2)
    for name, words in (("padded", "padded to 30 s"), ("corpus", "without padding, all clips")):
        two = result.ratio_median(f"{name}_1_process_over_{name}_2_processes")
        result.add_target(f"{name}_processes", f"extraction {words}: 2 processes to 1", two, at_least=1.7)
    return result


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _routes(index: int, count: int, encoder: Path, clips: dict[str, list[Path]], root: Path, port: int) -> dict:
    """Turns of [`PADDED`] over this process's share of the clips, as under `accelerate launch`; and `plain_loop`."""
    if count > 1:
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        rank = {"RANK": str(index), "LOCAL_RANK": str(index), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
        os.environ.update(address | rank)
    from accelerate import PartialState

    PartialState(cpu=True)  # joins the process group
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


def _library(encoder: Path, pad: bool, branches: list[dict]):
    from speech_affect_training.encoders.library import EncoderLibrary

    return EncoderLibrary({"whisper": {"id": str(encoder), "pad_to_window": pad}}, branches, None)


def extract_clips(files: list[Path], branches: list[dict], library, folder: Path) -> dict:
    """Extract the frames of these files; returns their caches by the branch's name."""
    from speech_affect_training.frames.speech_frames import extract_frames

    clips = {path.stem: {"path": str(path), "bytes": None} for path in files}
    with contextlib.redirect_stderr(io.StringIO()):  # no progress bars
        caches = extract_frames(clips, branches, library, folder, BATCH_SIZE)
    if any(cache.missing(clips) for cache in caches.values()):
        raise RuntimeError("some of the clips have no frames")
    return caches


def _extraction(encoder: Path, pad: bool, files: list[Path], root: Path) -> Callable[[], None]:
    from accelerate import PartialState

    numbers = itertools.count()

    def call() -> None:
        folder = root / str(next(numbers))  # frames on disk are not made again
        extract_clips(files, BRANCHES, _library(encoder, pad, BRANCHES), folder)
        PartialState().wait_for_everyone()
        if PartialState().is_main_process:
            shutil.rmtree(folder)

    return call


def _add_floors(result: Result, settings: Settings, seconds: dict[str, list[float]], machine: dict) -> None:
    from speech_affect import AffectEncoderConfig
    from speech_affect.encoder import SpeechEncoder

    backbone = whisper_config(TOY_WHISPER if settings.quick else TINY_EN)
    for name, pad in PADDED.items():
        encoder = SpeechEncoder(AffectEncoderConfig(backbone=backbone, pad_to_window=pad), SAMPLING_RATE).eval()
        operations = 0.0
        for duration_s in seconds[name]:
            samples = torch.zeros(1, round(duration_s * SAMPLING_RATE))
            inputs = (samples, torch.tensor([samples.shape[1]]), ["last"])
            operations += count_operations(lambda inputs=inputs, encoder=encoder: encoder(*inputs))
        num_bytes = parameter_bytes(encoder) + 4 * SAMPLING_RATE * sum(seconds[name])
        for label, values in result.rows.items():
            if "missing" not in values and label.startswith(("padded", "plain") if pad else name):
                share = 2 if label.endswith("es") else 1
                result.add_floor(label, operations / share, num_bytes / share, machine)


def run_training(settings: Settings, machine: dict) -> Result:
    """Rows `cached_padded`, `encoder_in_loop_padded`, and both `_cut` (without padding to 30 s)."""
    files = some_files(settings)
    facts = {"encoder": ENCODER, "clips": len(files), "batch_size": BATCH_SIZE, "rounds": settings.rounds(ROUNDS)}
    result = Result(facts)
    try:
        encoder = _encoder_folder(settings)
    except OSError as error:
        result.add_missing("cached_padded", str(error))
        return result
    contenders, operations = {}, {}
    for name, pad in (("padded", True), ("cut", False)):
        model, library = _model(encoder, pad)
        dataset = _dataset(files, library, settings.folder / f"frames_{name}", model.config)
        contenders[f"cached_{name}"] = timed(_cached_epoch(model, dataset), 0)
        contenders[f"encoder_in_loop_{name}"] = timed(_encoding_epoch(model, files), 0)
        operations[name] = _operations(model, dataset, files)
    turns = take_turns(contenders, settings.rounds(ROUNDS))
    result.add_turns(turns)
    for name, (head, whole) in operations.items():
        result.add_floor(f"cached_{name}", *head, machine)
        result.add_floor(f"encoder_in_loop_{name}", *whole, machine)
        result.add_ratio(turns, f"encoder_in_loop_{name}", f"cached_{name}")
        what = f"an epoch on cached frames ({name}): times as fast as with the encoder in the loop"
        value = result.ratio_median(f"encoder_in_loop_{name}_over_cached_{name}")
        result.add_target(f"cached_{name}", what, value, at_least=LEAST_TIMES_CACHED)
    return result


def _model(encoder: Path, pad: bool):
    """A fusion model with the encoder's weights inside, and the library that they are from."""
    from speech_affect import AffectFusionConfig, AffectFusionModel

    library = _library(encoder, pad, ALL_BRANCHES)
    torch.manual_seed(0)
    config = AffectFusionConfig(branches=ALL_BRANCHES, encoders={"whisper": library.configs["whisper"].to_dict()})
    model = AffectFusionModel(config, with_front_end=False)
    model.attach_front_end({"whisper": library.backbone("whisper")})
    return model.train(), library


def _dataset(files: list[Path], library, root: Path, config):
    from speech_affect_training.corpora.clip_table import unlabelled_table
    from speech_affect_training.frames.frame_dataset import FrameDataset

    names = [path.stem for path in files]
    table = replace(unlabelled_table(names, names), labels=_labels(len(files)).numpy())
    return FrameDataset(table, extract_clips(files, ALL_BRANCHES, library, root), config)


def _labels(count: int) -> torch.Tensor:
    return 1 + 6 * torch.rand(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _cached_epoch(model, dataset) -> Callable[[], None]:
    from speech_affect_training.frames.frame_dataset import collate_frames

    return _epoch(model, DataLoader(dataset, BATCH_SIZE, shuffle=True, collate_fn=collate_frames))


def _encoding_epoch(model, files: list[Path]) -> Callable[[], None]:
    from speech_affect import AffectFeatureExtractor

    extractor, labels = AffectFeatureExtractor(), _labels(len(files)).float()

    def collate(indices: list[int]) -> dict:
        audio = [{"array": read_clip(files[index]), "sampling_rate": SAMPLING_RATE} for index in indices]
        return {**extractor(audio, return_tensors="pt"), "labels": labels[indices]}

    return _epoch(model, DataLoader(range(len(files)), BATCH_SIZE, shuffle=True, collate_fn=collate))


def _epoch(model, batches: DataLoader) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.regressor.parameters(), lr=1e-3)

    def epoch() -> None:
        for batch in batches:
            model(**batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return epoch


def _operations(model, dataset, files: list[Path]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Operations and bytes of an epoch, of the head alone and with the encoder; a step backwards is two forwards."""
    from speech_affect_training.frames.frame_dataset import collate_frames

    head = encoder = frame_bytes = audio_bytes = 0.0
    for index, path in enumerate(files):
        item = dataset[index]
        batch = collate_frames([item])
        head += 3 * count_operations(lambda batch=batch: model(**batch))
        frame_bytes += sum(frames.nbytes for frames in item["frames"].values())
        samples = torch.from_numpy(read_clip(path))[None]
        encoder += count_operations(lambda samples=samples: model.front_end(samples, None, None, None))
        audio_bytes += samples.nbytes
    return (head, frame_bytes), (head + encoder, audio_bytes)
