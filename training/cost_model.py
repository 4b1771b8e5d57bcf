"""
What frames and training cost at scale, from measured throughput: hours and gigabytes, printed as a table.

    python training/cost_model.py --encoder_hours_per_hour 2000 --student_clips_per_s 3000 --output cost.json
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from frame_dataset import collate_frames
from transformers import WhisperConfig

from speech_affect import AffectEncoderConfig, AffectStudentConfig, AffectStudentModel
from speech_affect.encoder import SpeechEncoder


MEASURED_CLIPS, CLIP_S = 8, 5.4
FLOAT_BYTES = {"float16": 2, "float32": 4}


@dataclass(frozen=True)
class Workload:
    """
    Args:
        name: of the row.
        hours: of audio.
        clips: that they are cut into.
        epochs: of training on all of them.
    """

    name: str
    hours: float
    clips: int
    epochs: int


@dataclass(frozen=True)
class Assumptions:
    """
    What the table is computed from.

    Args:
        encoder_hours_per_hour: hours of audio that one device runs through the encoder in an hour.
        student_clips_per_s: clips that one device trains a student on in a second, from cached frames.
        encoder_width, encoder_hop_s: of the cached encoder frames, float16.
        mel_bins, mel_hop_s: of the cached filterbanks, float32.
        efficiency: share of each further device's throughput that is left when several work together.
        source: where the two throughputs are from.
    """

    encoder_hours_per_hour: float
    student_clips_per_s: float
    encoder_width: int = 1024
    encoder_hop_s: float = 0.02
    mel_bins: int = 40
    mel_hop_s: float = 0.01
    efficiency: float = 0.9
    source: str = "given"

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "source" and not value > 0:
                raise ValueError(f"{field.name} is {value}; give a number above 0")
        if self.efficiency > 1:
            raise ValueError(f"efficiency is {self.efficiency}; give a share, above 0 and up to 1")


MSP_PODCAST = Workload("MSP-Podcast 2.0", 400, 265_000, 50)
UNLABELLED = Workload("distillation on unlabelled speech", 1_000_000, 450_000_000, 1)  # pieces of 8 s


def cost(workload: Workload, devices: int, given: Assumptions) -> dict:
    """
    One row of the table.

    Returns:
        hours of extraction and of training on so many devices together, and gigabytes (1e9 bytes) of frames.
    """
    speed = 1 + (devices - 1) * given.efficiency
    seconds = workload.hours * 3600
    return {
        "workload": workload.name,
        "devices": devices,
        "extraction_h": workload.hours / given.encoder_hours_per_hour / speed,
        "training_h": workload.clips * workload.epochs / given.student_clips_per_s / 3600 / speed,
        "encoder_frames_gb": _frames_gb(seconds, given.encoder_width, given.encoder_hop_s, "float16"),
        "mel_frames_gb": _frames_gb(seconds, given.mel_bins, given.mel_hop_s, "float32"),
    }


def _frames_gb(seconds: float, width: int, hop_s: float, dtype: str) -> float:
    return seconds / hop_s * width * FLOAT_BYTES[dtype] / 1e9


def measure_encoder(encoder: AffectEncoderConfig, device: torch.device, seconds: float) -> float:
    """Hours of audio in an hour, of an encoder with random weights: their values do not change its speed."""
    model = SpeechEncoder(encoder, 16000).eval().to(device)
    audio = 0.1 * torch.randn(MEASURED_CLIPS, round(CLIP_S * 16000), device=device)
    lengths = torch.full((len(audio),), audio.shape[1], device=device)

    def run() -> float:
        with torch.no_grad():
            frames, _ = model(audio, lengths, ["last"])
        frames["last"].float().cpu()  # on a GPU this waits for the result
        return len(audio) * CLIP_S

    return _rate(run, seconds)


def measure_student(batch_size: int, device: torch.device, seconds: float) -> float:
    """Clips in a second that the default student learns from filterbanks: one forward pass, backward pass and step."""
    config = AffectStudentConfig()
    model = AffectStudentModel(config, with_front_end=False).train().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    generator = np.random.default_rng(0)
    width = config.branch_width(config.branches[0])
    clips = [
        {
            "frames": {config.branches[0].name: generator.standard_normal((round(CLIP_S * 100), width), np.float32)},
            "labels": generator.uniform(1, 7, 3),
        }
        for _ in range(batch_size)
    ]

    def run() -> float:
        batch = collate_frames(clips)
        inputs = {key: {k: v.to(device) for k, v in batch[key].items()} for key in ("frames", "frames_mask")}
        loss = model(**inputs, labels=batch["labels"].to(device)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        return batch_size

    return _rate(run, seconds)


def _rate(run, seconds: float) -> float:
    """Units per second of a function that returns how many it did, after one call to warm up."""
    run()
    done, started = 0.0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        done += run()
    return done / (time.perf_counter() - started)


def render(rows: list[dict], given: Assumptions) -> str:
    """The assumptions, one a line, and the table."""
    lines = ["Assumptions:", *(f"  {name}: {value}" for name, value in asdict(given).items())]
    lines += [f"  clips measured: {CLIP_S} s each; hours count no reading of audio and no evaluation", ""]
    names = list(rows[0])
    table = [names, *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    for line in table:
        lines.append("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return "\n".join(lines)


def _cell(value) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


def assumptions(arguments: argparse.Namespace) -> Assumptions:
    """Those given on the command line; what is not given of the two throughputs is measured here."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder_speed, student_speed, measured = arguments.encoder_hours_per_hour, arguments.student_clips_per_s, []
    if encoder_speed is None:
        tiny = WhisperConfig(
            d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536, decoder_layers=1
        )
        encoder_speed = measure_encoder(AffectEncoderConfig(backbone=tiny, pad_to_window=False), device, 15)
        measured.append("encoder: whisper-tiny without padding")
    if student_speed is None:
        student_speed = measure_student(64, device, 15)
        measured.append("student: filterbanks, batches of 64")
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    source = f"measured on one {device.type}{threads} ({'; '.join(measured)})" if measured else "given"
    return Assumptions(
        encoder_hours_per_hour=encoder_speed,
        student_clips_per_s=student_speed,
        encoder_width=arguments.encoder_width,
        encoder_hop_s=arguments.encoder_hop_s,
        efficiency=arguments.efficiency,
        source=source,
    )


def main(argv: list[str] | None = None) -> list[dict]:
    """Print the table, and write it where asked to; returns its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 8, 64], help="how many work together")
    parser.add_argument("--encoder_hours_per_hour", type=float, help="of one device; measured here without it")
    parser.add_argument("--student_clips_per_s", type=float, help="of one device; measured here without it")
    parser.add_argument("--encoder_width", type=int, default=1024, help="of cached frames; HuBERT-large's by default")
    parser.add_argument("--encoder_hop_s", type=float, default=0.02)
    parser.add_argument("--efficiency", type=float, default=0.9, help="share of each further device that is left")
    parser.add_argument("--output", type=Path, help="a JSON file")
    arguments = parser.parse_args(argv)
    if min(arguments.devices) < 1:
        parser.error(f"--devices are {arguments.devices}; give 1 or more")
    try:
        given = assumptions(arguments)
    except ValueError as error:
        parser.error(str(error))
    rows = [cost(workload, n, given) for workload in (MSP_PODCAST, UNLABELLED) for n in arguments.devices]
    print(render(rows, given))
    if arguments.output:
        content = {"assumptions": asdict(given), "workloads": [asdict(MSP_PODCAST), asdict(UNLABELLED)], "rows": rows}
        temporary = arguments.output.with_suffix(".tmp")
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(temporary, arguments.output)
    return rows


if __name__ == "__main__":
    main()
