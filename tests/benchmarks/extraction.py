"""Benchmark `encoder_share`: how much of extraction is the encoder's own forward pass, the rest being loading."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor, WhisperModel

from .contenders import LARGE, TINY_EN, TOY_LARGE, TOY_WHISPER, whisper_config
from .frames import BATCH_SIZE, extract_clips, some_files
from .machine import Settings
from .measuring import cpu_timed, take_turns
from .report import Result
from .speech import SAMPLING_RATE, read_clip


ROUNDS, LEAST_SHARE = 3, 0.9
SMALL = LARGE | {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536, "num_hidden_layers": 6}
HIGH_RATE = 44100


def run_encoder_share(settings: Settings, machine: dict) -> Result:
    """Rows `whisper_encoder`, `hubert_extraction_16khz` and so on, of encoders with random weights on one core.

    `encoder` is a loop over the very batches that its forward pass gets; `extraction` decodes them from 16-bit files
    at 16 kHz or from FLAC at 44.1 kHz, computes the encoder's input, and writes its frames.
    """
    files = {"16khz": some_files(settings), "44khz": []}
    for path in files["16khz"]:
        clip = read_clip(path)
        times = np.arange(len(clip) * HIGH_RATE // SAMPLING_RATE) * SAMPLING_RATE / HIGH_RATE
        files["44khz"].append(settings.folder / f"{path.stem}.flac")
        soundfile.write(files["44khz"][-1], np.interp(times, np.arange(len(clip)), clip), HIGH_RATE)
    result = Result({"clips": len(files["16khz"]), "batch_size": BATCH_SIZE, "rounds": settings.rounds(ROUNDS)})
    contenders = {}
    for name, folder in _write_encoders(settings).items():
        contenders[f"{name}_encoder"] = cpu_timed(_forward_alone(name, folder, files["16khz"]))
        for rate, of_rate in files.items():
            call = _extraction(name, folder, of_rate, settings.folder / "frames")
            contenders[f"{name}_extraction_{rate}"] = cpu_timed(call)
    turns = take_turns(contenders, settings.rounds(ROUNDS))
    result.add_turns(turns)
    for label in [label for label in contenders if "_extraction_" in label]:
        encoder = f"{label.partition('_')[0]}_encoder"
        result.add_ratio(turns, encoder, label, "cpu_seconds")
        share = result.ratio_median(f"{encoder}_over_{label}_cpu")
        result.add_target(label, f"{label}: share of the encoder's forward pass", share, at_least=LEAST_SHARE)
    return result


def _write_encoders(settings: Settings) -> dict[str, Path]:
    torch.manual_seed(0)
    hubert = HubertConfig(**(TOY_LARGE | {"num_hidden_layers": 1} if settings.quick else SMALL))
    models = {
        "whisper": (WhisperModel(whisper_config(TOY_WHISPER if settings.quick else TINY_EN)), WhisperFeatureExtractor),
        "hubert": (HubertModel(hubert), Wav2Vec2FeatureExtractor),
    }
    folders = {name: settings.folder / f"random_{name}" for name in models}
    for name, (model, extractor) in models.items():
        model.save_pretrained(folders[name])
        extractor().save_pretrained(folders[name])
    return folders


def _library(name: str, folder: Path):
    from speech_affect_training.encoders.library import EncoderLibrary

    return EncoderLibrary({name: {"id": str(folder)}}, [{"source": name}], None)


def _forward_alone(name: str, folder: Path, files: list[Path]) -> Callable[[], None]:
    from speech_affect_training.audio.clip_loading import clip_duration_s, load_batches
    from speech_affect_training.frames.extraction import length_batches
    from speech_affect_training.frames.speech_frames import load_front_end

    clips = {str(path): {"path": str(path), "bytes": None} for path in files}
    batches = length_batches({key: clip_duration_s(clip) for key, clip in clips.items()}, BATCH_SIZE)
    front_end = load_front_end([{"source": name}], _library(name, folder))
    backbone, calls = front_end.encoders[name].backbone, []
    keep = backbone.register_forward_pre_hook(lambda _, *inputs: calls.append(inputs), with_kwargs=True)
    with torch.no_grad():
        for inputs in load_batches([[clips[key] for key in batch] for batch in batches]):
            front_end(**inputs)
    keep.remove()

    @torch.no_grad()
    def call() -> None:
        for arguments, options in calls:
            backbone(*arguments, **options)

    return call


def _extraction(name: str, folder: Path, files: list[Path], root: Path) -> Callable[[], None]:
    numbers = itertools.count()

    def call() -> None:
        made = root / f"{files[0].suffix}{next(numbers)}"  # frames on disk are not made again
        extract_clips(files, [{"source": name}], _library(name, folder), made)
        shutil.rmtree(made)

    return call
