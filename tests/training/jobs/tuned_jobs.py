"""Jobs that train tiny encoders end to end, on noise; other processes train them too."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from accelerate import PartialState
from trained_jobs import SETTINGS, SIZES, clip_table
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from speech_affect_training.corpora.clip_table import ClipTable
from speech_affect_training.corpora.stream_sources import open_sources
from speech_affect_training.corpora.unlabelled import unlabelled_pieces
from speech_affect_training.encoders.library import EncoderLibrary
from speech_affect_training.files import clip_fingerprint, write_json
from speech_affect_training.frames.speech_stream import StreamBatches
from speech_affect_training.jobs.data_splits import DEVELOPMENT, TRAIN, DataSplits
from speech_affect_training.jobs.distilled_encoder import make_encoders
from speech_affect_training.jobs.initial_weights import resolve_checkpoints
from speech_affect_training.jobs.job import Job
from speech_affect_training.jobs.plan import make_jobs as plan_jobs
from speech_affect_training.jobs.plan import prepare_frames
from speech_affect_training.jobs.train_job import run_job
from speech_affect_training.settings.recipe import parse_arguments
from speech_affect_training.settings.split_key import SplitKey


TEST = SplitKey("test1")
WHISPER = {"source": "whisper", "hidden_state": 2, "conv_kernel_size": 3, "conv_stride": 2}
CONVOLUTIONS = {"conv_dim": (8, 8), "conv_kernel": (10, 8), "conv_stride": (20, 16), "num_feat_extract_layers": 2}
SPEECH = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
SPEECH |= {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "feat_extract_norm": "layer"}
STILL = {f"{name}_dropout": 0.0 for name in ("hidden", "attention", "activation", "feat_proj", "final")}

NARROW = {"d_model": 8, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 8}


def write_encoders(folder: Path) -> dict[str, dict]:
    """Write a tiny Whisper, wav2vec 2.0 and WavLM, without dropout, and return them as a recipe has them."""
    torch.manual_seed(0)
    sizes = {"d_model": 16, "encoder_layers": 3, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    sizes |= {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 50}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1, "dropout": 0.0}
    models = {
        "whisper": WhisperModel(WhisperConfig(**sizes, **tokens)),
        "wav2vec2": Wav2Vec2Model(Wav2Vec2Config(**SPEECH, **CONVOLUTIONS, **STILL)),
        "wavlm": WavLMModel(WavLMConfig(**SPEECH, **CONVOLUTIONS, **STILL)),
    }
    for name, model in models.items():
        if not (folder / name / "preprocessor_config.json").is_file():
            model.save_pretrained(folder / name)
            extractor = WhisperFeatureExtractor if name == "whisper" else Wav2Vec2FeatureExtractor
            extractor().save_pretrained(folder / name)
    return {name: {"id": str(folder / name), "pad_to_window": False} for name in models}


def write_clips(folder: Path, table: ClipTable, shortest: int = 4800) -> dict[str, dict]:
    """Write noise, each clip 137 samples longer than the last, and return the audio of each by its fingerprint."""
    folder.mkdir(exist_ok=True)
    for index, fingerprint in enumerate(table.fingerprints):
        if not (folder / f"{fingerprint}.wav").is_file():
            noise = np.random.default_rng(index).standard_normal(shortest + 137 * index)
            soundfile.write(folder / f"{fingerprint}.wav", 0.1 * noise, 16000)
    return {name: {"bytes": None, "path": str(folder / f"{name}.wav")} for name in table.fingerprints}


def write_shards(folder: Path, shards: int = 4, each: int = 3) -> list[str]:
    """Write tar files of noise, 0.5 to 0.8 s long, and return the contents of their clips."""
    folder.mkdir(exist_ok=True)
    contents = []
    for shard in range(shards):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for index in range(each):
                noise = np.random.default_rng([shard, index]).standard_normal(8000 + 411 * (shard * each + index))
                file = io.BytesIO()
                soundfile.write(file, 0.1 * noise, 16000, format="WAV")
                contents.append(file.getvalue())
                member = tarfile.TarInfo(f"{index}.wav")
                member.size = len(file.getvalue())
                tar.addfile(member, io.BytesIO(file.getvalue()))
    return contents


def streamed_jobs(folder: Path, *arguments: str) -> dict[str, Job]:
    """A teacher with an encoder, and a student that hears tar files with it, which are written once."""
    with PartialState().main_process_first():
        if not (folder / "shards" / "3.tar").is_file():
            folder.mkdir(exist_ok=True)
            write_shards(folder / "shards")
    systems = {
        "teacher": {"role": "teacher", "branches": ["mfb", WHISPER], "training": {"num_train_epochs": 1}},
        "student": {"role": "student", "teacher": "teacher", "unlabelled": True},
    }
    stream = ("--unlabelled_stream", str(folder / "shards" / "*.tar"), "--unlabelled_share", "0.5")
    return make_jobs(folder, systems, *stream, "--extraction_batch_size", "3", *arguments)


def train_streamed(folder: Path, *arguments: str) -> Job:
    """Train that student, and write beside its job which pieces each process heard, a batch a line."""
    jobs = streamed_jobs(folder, *arguments)
    run_job(jobs["teacher"], 8)
    job, heard, draw = jobs["student"], [], StreamBatches.__next__

    def noting(self):
        batch = draw(self)
        heard.append(batch["fingerprints"])
        return batch

    StreamBatches.__next__ = noting
    try:
        run_job(job, 8)
    finally:
        StreamBatches.__next__ = draw
        write_json(folder / f"heard_{PartialState().process_index}.json", heard)
    return job


def make_jobs(folder: Path, systems: dict, *arguments: str, shared: Path | None = None) -> dict[str, Job]:
    """The job of each system, on 24 clips of two speakers; encoders, audio and frames lie in `shared`."""
    output, folder = folder, shared or folder
    folder.mkdir(exist_ok=True)
    table = replace(clip_table(0), speakers=["a", "b"] * 12)
    with PartialState().main_process_first():
        encoders, audio = write_encoders(folder), write_clips(folder / "audio", table)
    given = {"systems": systems, "encoders": encoders, "head": {**SIZES, "dropout": 0.0}}
    settings = [text for name, value in given.items() for text in (f"--{name}", json.dumps(value))]
    run, training = parse_arguments([*settings, *SETTINGS, "--output_dir", str(output), *arguments])
    splits = DataSplits("", {TRAIN: table, DEVELOPMENT: clip_table(2), TEST: table}, audio)
    branches = [branch for spec in run.systems.values() for branch in spec.cached_branches]
    library = EncoderLibrary(run.encoders, branches, folder)
    caches = prepare_frames(run, [splits], [], library, folder / "frames")
    checkpoints = resolve_checkpoints(run.systems, folder)
    stream = open_sources(run.unlabelled_stream)
    jobs = plan_jobs(run, training, splits, [], caches, library, (1.0, 7.0), None, checkpoints, stream)
    return {name: seeds[0] for name, seeds in jobs.items()}


def train_heard(folder: Path, *arguments: str) -> Job:
    """Train an encoder beside filterbanks, on copies that are drawn in each epoch."""
    system = {"role": "teacher", "branches": ["mfb", WHISPER], "augmented": True, "auxiliary": {"speaker": {}}}
    system["train_encoders"] = {"whisper": {"learning_rate": 1e-3, "layer_decay": 0.5}}
    job = make_jobs(folder, {"heard": system}, "--augmentation_copies", "2", *arguments)["heard"]
    run_job(job, 8)
    return job


def make_encoder(
    folder: Path, *arguments: str, shared: Path | None = None, steps: int = 4, clips=range(0), **settings
) -> Path:
    """The folder of an encoder that learns in `folder` from one of those in `shared`, on the 24 clips there but
    for those of these numbers, which are clips of the corpus.
    """
    output, folder = folder, shared or folder
    folder.mkdir(exist_ok=True)
    with PartialState().main_process_first():
        encoders, audio = write_encoders(folder), write_clips(folder / "speech", clip_table(0), 8000)
    training = {"max_steps": steps, "learning_rate": 0.01}
    small = {"distilled_from": "whisper", "hidden_states": [1, 3], "config": NARROW, "training": training, **settings}
    systems = {"small": {"role": "single", "branches": [{"source": "small"}]}}
    given = {"systems": systems, "encoders": {**encoders, "small": small}}
    options = [text for name, value in given.items() for text in (f"--{name}", json.dumps(value))]
    options += [*SETTINGS, "--output_dir", str(output), "--unlabelled_dir", str(folder / "speech")]
    run, arguments = parse_arguments([*options, *arguments])
    corpus = {clip_fingerprint(list(audio.values())[number]): None for number in clips}
    splits = [DataSplits("", {}, corpus)]
    made = make_encoders(run, arguments, unlabelled_pieces(run.unlabelled_dir), splits, output / "cache")
    return Path(made.encoders["small"]["id"])
