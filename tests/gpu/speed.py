"""How fast frames are made and streamed speech is heard, beside what the device can compute at most."""

from __future__ import annotations

import io
import itertools
import sys
import tarfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import torch
from accelerate import PartialState
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    HubertConfig,
    HubertModel,
    Wav2Vec2FeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from speech_affect_training.audio.clip_loading import clip_duration_s, load_batches, loading_workers
from speech_affect_training.encoders.library import EncoderLibrary
from speech_affect_training.frames import speech_frames
from speech_affect_training.frames.extraction import length_batches

from .comparing import DECODER, SPEECH, WHISPER


SAMPLING_RATE, FILE_S = 16000, 900  # seconds of distinct audio; more is the same files again
BASE = {"d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048, **DECODER}
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
ENCODERS = ("whisper_base", "hubert_large")
BATCH_SIZE = 8


def write_encoder(name: str, folder: Path, quick: bool) -> Path:
    """Write an encoder of this shape with random weights, of toy size if quick."""
    if not (folder / "preprocessor_config.json").is_file():
        torch.manual_seed(0)
        if name == "whisper_base":
            model, extractor = WhisperModel(WhisperConfig(**(WHISPER if quick else BASE))), WhisperFeatureExtractor()
        else:
            model, extractor = HubertModel(HubertConfig(**(SPEECH if quick else LARGE))), Wav2Vec2FeatureExtractor()
        model.save_pretrained(folder)
        extractor.save_pretrained(folder)
    return folder


def write_clips(folder: Path, audio_s: float, shortest_s: float = 2.0, longest_s: float = 30.0) -> dict[str, dict]:
    """Write 16-bit files of noise of mixed lengths, and return clips of them, of so many seconds in all at least."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    noise = (0.1 * generator.standard_normal(round(longest_s * SAMPLING_RATE))).astype(np.float32)
    files, written = [], 0.0
    while written < min(audio_s, FILE_S):
        seconds = generator.uniform(shortest_s, longest_s)
        files.append((folder / f"{len(files):04d}.wav", seconds))
        soundfile.write(files[-1][0], noise[: round(seconds * SAMPLING_RATE)], SAMPLING_RATE)
        written += seconds
    clips, total = {}, 0.0
    for number, (path, seconds) in enumerate(itertools.cycle(files)):
        if total >= audio_s:
            return clips
        clips[f"{number:06d}"] = {"path": str(path), "bytes": None}
        total += seconds
    return clips


def synchronize(device: str) -> None:
    """Wait until the device has done all."""
    if device == "cuda":
        torch.cuda.synchronize()


def matrix_peak(device: str, dtype: str, size: int = 8192, tries: int = 20) -> float:
    """Operations per second of a large matrix product, the best of several."""
    left, right = (torch.randn(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    seconds = []
    for _ in range(tries + 3):
        synchronize(device)
        start = time.perf_counter()
        torch.mm(left, right)
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds[3:])


@contextmanager
def utilization(device: str, every_s: float = 0.2):
    """A dictionary that has the mean `percent` of time in which the device was busy, at the end; None if not known."""
    found, stop, values = {"percent": None}, threading.Event(), []

    def sample() -> None:
        while not stop.wait(every_s):
            try:
                values.append(torch.cuda.utilization())
            except Exception:  # no pynvml, or it may not ask
                return

    thread = threading.Thread(target=sample, daemon=True)
    if device == "cuda":
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        if device == "cuda":
            thread.join(5)
        found["percent"] = float(np.mean(values)) if values else None


def measure_extraction(
    name: str, encoder: Path, clips: dict, folder: Path, device: str, dtype: str, peak: float
) -> dict:
    """Frames of clips from files, and the encoder's own forward pass over the same batches, which are on the device.

    Extraction is run over a tenth of the clips too: the rate between the two leaves out loading the encoder.
    """
    if PartialState().device.type != device:
        raise ValueError(f"this process extracts on {PartialState().device}, not on {device}")
    branches = [{"source": name}]
    library = EncoderLibrary({name: {"id": str(encoder)}}, branches, None)
    part = dict(list(clips.items())[::10])
    hours, seconds = [], []
    for label, of in (("part", part), ("all", clips)):
        start = time.perf_counter()
        with utilization(device) as busy:
            speech_frames.extract_frames(of, branches, library, folder / f"frames_{dtype}_{label}", BATCH_SIZE, dtype)
        seconds.append(time.perf_counter() - start)
        hours.append(sum(map(clip_duration_s, of.values())) / 3600)
    batches = _ready_batches(clips, device)
    front_end = speech_frames.load_front_end(branches, library).to(device)
    for each in front_end.encoders.values():
        each.backbone.to(getattr(torch, dtype))
    alone_s = _forward_seconds(front_end, batches, device)
    operations = _operations(front_end, batches)
    steady_s = (seconds[1] - seconds[0]) / (hours[1] - hours[0]) * hours[1]
    return {
        "dtype": dtype,
        "clips": len(clips),
        "batches": len(batches),
        "loading_workers": loading_workers(),
        "audio_hours": hours[1],
        "extraction_seconds": seconds[1],
        "extraction_hours_per_second": hours[1] / steady_s if steady_s > 0 else None,
        "encoder_seconds": alone_s,
        "encoder_hours_per_second": hours[1] / alone_s,
        "share_of_the_encoder_alone": alone_s / steady_s if steady_s > 0 else None,
        "operations": operations,
        "matrix_peak_per_second": peak,
        "encoder_share_of_peak": operations / alone_s / peak,
        "extraction_share_of_peak": operations / steady_s / peak if steady_s > 0 else None,
        "utilization_percent": busy["percent"],
    }


def _ready_batches(clips: dict, device: str) -> list:
    whole_s = speech_frames.WINDOW_S if device == speech_frames.GPU else None
    keys = length_batches({key: clip_duration_s(clip) for key, clip in clips.items()}, BATCH_SIZE, whole_s)
    return [inputs.to(device) for inputs in load_batches([[clips[key] for key in batch] for batch in keys])]


@torch.no_grad()
def _forward_seconds(front_end, batches: list, device: str) -> float:
    for inputs in (batches[0], batches[-1]):  # the first calls choose kernels
        front_end(**inputs)
    synchronize(device)
    start = time.perf_counter()
    for inputs in batches:
        front_end(**inputs)
    synchronize(device)
    return time.perf_counter() - start


@torch.no_grad()
def _operations(front_end, batches: list) -> float:
    # the other kernels of attention are not all counted
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        for inputs in batches:
            front_end(**inputs)
    return float(counter.get_total_flops())


def measure_streamed(
    encoder: Path, clips: dict, folder: Path, device: str, dtype: str, steps: int, batch: int
) -> dict:
    """Distil a student on streamed speech that a teacher with this encoder hears; hours of audio per second."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training" / "jobs"))
    import tuned_jobs

    from speech_affect_training.frames.speech_stream import StreamBatches
    from speech_affect_training.jobs.train_job import run_job

    _write_shards(folder / "shards", clips)
    branch = {"source": "whisper", "conv_kernel_size": 5, "conv_stride": 4}
    before = tuned_jobs.write_encoders, tuned_jobs.WHISPER, StreamBatches.__next__
    heard: list[tuple[float, float]] = []

    def noting(self):
        found = before[2](self)
        heard.append((time.perf_counter(), float(found["attention_mask"].sum()) / SAMPLING_RATE))
        return found

    tuned_jobs.write_encoders = lambda _: {"whisper": {"id": str(encoder)}}
    tuned_jobs.WHISPER = branch
    StreamBatches.__next__ = noting
    try:
        sizes = ("--per_device_train_batch_size", str(batch), "--extraction_batch_size", str(batch))
        options = ("--unlabelled_share", "0.75", "--teacher_dtype", dtype, "--max_steps", str(steps))
        for what in ("eval", "save"):  # once, at the end
            options += (f"--{what}_strategy", "steps", f"--{what}_steps", str(steps))
        jobs = tuned_jobs.streamed_jobs(folder, *sizes, *options)
        jobs["teacher"].spec.training["max_steps"] = 2
        run_job(jobs["teacher"], 8)
        with utilization(device) as busy:
            run_job(jobs["student"], 8)
    finally:
        tuned_jobs.write_encoders, tuned_jobs.WHISPER, StreamBatches.__next__ = before
    first = len(heard) // 5  # until the loader is ahead
    seconds = heard[-1][0] - heard[first][0]
    hours = sum(audio_s for _, audio_s in heard[first:-1]) / 3600
    return {
        "dtype": dtype,
        "pieces_per_step": round(0.75 * batch),
        "steps": len(heard) - 1 - first,
        "audio_hours": hours,
        "hours_per_second": hours / seconds,
        "utilization_percent": busy["percent"],
    }


def _write_shards(folder: Path, clips: dict, shards: int = 16) -> None:
    """Tar files of the clips, in WebDataset format."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True)
    paths = sorted({clip["path"] for clip in clips.values()})
    for shard in range(shards):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for number, path in enumerate(paths[shard % len(paths) :: shards]):
                # content of its own: the same audio is heard once
                content = Path(path).read_bytes() + bytes([shard, number % 256])
                member = tarfile.TarInfo(f"{shard}_{number}.wav")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
