"""Make the encoders of a run that learn from larger ones: on unlabelled speech, before any frame is extracted."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from accelerate import PartialState
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, TrainingArguments, set_seed

from speech_affect import AffectFusionConfig
from speech_affect.front_end import AffectFrontEnd
from speech_affect.losses import mean_over_clips

from ..corpora.clip_table import unlabelled_table
from ..corpora.segments import Piece, file_fingerprint
from ..encoders.library import DISTILLATION, EncoderLibrary
from ..files import write_json, write_text
from ..frames.audio_dataset import AudioDataset
from ..frames.frame_dataset import collate_frames
from ..settings.checks import check_names
from ..settings.distilled_encoder import DistilledEncoder, is_distilled
from ..settings.run_settings import RunSettings
from ..settings.systems import encoder_settings
from .data_splits import DataSplits
from .job import DECISIVE_ARGUMENTS
from .resuming import delete_incomplete_checkpoints, train_or_resume
from .trained_encoders import check_not_sharded, frame_statistics, freeze_unreached
from .trainer import FrameTrainer, show_progress


logger = logging.getLogger(__name__)

SEED = 0  # an encoder is made once, for all seeds of the systems
CARD = """---
{license}library_name: transformers
---

# {name}

A speech encoder of {millions:.2f} M parameters in the manner of `{id}` ({revision}): {learnt}.

Weights that began as those of `{id}`: {copied}.
"""


def make_encoders(
    run: RunSettings,
    training: TrainingArguments,
    unlabelled: Sequence[Piece],
    all_splits: Sequence[DataSplits],
    cache_dir: Path,
) -> RunSettings:
    """Return a run whose encoders all can be fetched: in place of those it makes are folders, in `cache_dir`.

    An encoder is made once per settings, source and audio. An interrupted run continues with the same output folder.

    Args:
        run: Whose systems and probes need its encoders.
        training: Arguments of the run.
        unlabelled: The speech that encoders learn from, but for files that are clips of the corpus.
        all_splits: Have all of these.
        cache_dir: Of the run.

    Raises:
        ValueError: The source reads text or lacks a hidden state, or a setting of its configuration is not allowed.
    """
    known = {file_fingerprint(clip) for data_splits in all_splits for clip in data_splits.audio}
    pieces = {piece.fingerprint: piece for piece in unlabelled if file_fingerprint(piece.fingerprint) not in known}
    made = {}
    for name in run.encoders_read:
        if is_distilled(run.encoders[name]):
            spec = DistilledEncoder(**run.encoders[name])
            source = run.encoders[spec.distilled_from]
            with PartialState().main_process_first():
                library = EncoderLibrary({spec.distilled_from: source}, spec.branches, cache_dir)
            try:
                encoder = SmallEncoder(name, spec, library, training, dict(sorted(pieces.items())), cache_dir)
                made[name] = {**source, "id": str(encoder.make()), "revision": None}
            except ValueError as error:
                raise ValueError(f"encoder {name!r}: {error}") from error
    return replace(run, encoders={**run.encoders, **made})


class SmallEncoder:
    """An encoder that learns from a larger one.

    Args:
        name: In the recipe.
        spec: Its settings there.
        library: Has its source.
        training: Arguments of the run.
        pieces: The speech by its fingerprint, in a fixed order.
        cache_dir: Where its folder is kept.
    """

    def __init__(
        self,
        name: str,
        spec: DistilledEncoder,
        library: EncoderLibrary,
        training: TrainingArguments,
        pieces: dict[str, Piece],
        cache_dir: Path,
    ):
        self.name, self.spec, self.library = name, spec, library
        self.pieces = pieces if spec.max_steps else {}
        self.source = library.sources[spec.distilled_from]
        self.arguments = _arguments(spec, training)
        identity = {
            "settings": {key: value for key, value in asdict(spec).items() if key != "training"},
            "source": library.identity(spec.distilled_from),
            "max_steps": spec.max_steps,
        }
        if spec.max_steps:
            decisive = [key for key in DECISIVE_ARGUMENTS if not key.startswith(("eval", "metric"))]
            identity["training"] = {key: getattr(self.arguments, key) for key in decisive}
            identity["audio"], identity["processes"] = list(self.pieces), PartialState().num_processes
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()
        self.folder = cache_dir / "encoders" / f"{name}-{digest[:8]}"
        self.arguments.output_dir = str(Path(training.output_dir) / "jobs" / f".encoder-{self.folder.name}")

    def make(self) -> Path:
        """Return the encoder's folder, as transformers has them; it is made if it is not there."""
        state = PartialState()
        found = self.folder.is_dir()
        state.wait_for_everyone()
        if found:
            return self.folder
        check_not_sharded("it is made in this run")
        source = self._source()
        set_seed(SEED)
        small = self._small()
        (own,), (theirs,) = small.encoders.values(), source.encoders.values()
        if own.hop != theirs.hop:
            raise ValueError(
                f"its frames are {own.hop} samples apart, those of its source {theirs.hop}; give the same"
            )
        copied = copy_fitting(own.backbone, theirs.backbone)
        logger.info("%s: %d weights begin as those of %s", self.name, len(copied), self.source.name)
        freeze_unreached(small.eval())
        history = self._learn(source, small) if self.spec.max_steps else []
        if state.is_main_process:
            self._save(own.backbone.cpu(), copied, history)
            shutil.rmtree(self.arguments.output_dir, ignore_errors=True)
        state.wait_for_everyone()
        return self.folder

    def _source(self) -> AffectFrontEnd:
        """Return the encoder that is learnt from, with the hidden states that are predicted as its branches."""
        name = self.spec.distilled_from
        config = self.library.configs[name]
        if config.is_text:
            raise ValueError(f"distilled_from {name!r} reads text; name an encoder of speech")
        source = _front_end(self.spec.branches, name, config.to_dict())
        source.encoders[name].backbone.load_state_dict(self.library.backbone(name).state_dict())
        return source.eval().to(self.arguments.device)

    def _small(self) -> AffectFrontEnd:
        """Return the new encoder, all of it trained, with its output as the only branch."""
        whole = AutoConfig.from_pretrained(self.source.folder)
        check_names("config", self.spec.config, [*whole.to_dict(), *whole.attribute_map])
        decoder = {"decoder_layers": 0} if whole.is_encoder_decoder else {}  # no branch reads it
        config = copy.deepcopy(self.library.configs[self.spec.distilled_from])
        try:
            config.backbone = type(whole).from_dict({**whole.to_dict(), **decoder, **self.spec.config})
        except (StrictDataclassError, TypeError, ValueError) as error:
            raise ValueError(f"config {self.spec.config} is not allowed: {' '.join(str(error).split())}") from error
        return _front_end([{"source": self.name}], self.name, encoder_settings(config, trained=True))

    def _learn(self, source: AffectFrontEnd, small: AffectFrontEnd) -> list[dict]:
        """Train the small encoder, and return what was logged."""
        if not self.pieces:
            raise ValueError("unlabelled_dir has no speech that is no clip of the corpus; give other folders")
        table = unlabelled_table([piece.path for piece in self.pieces.values()], list(self.pieces))
        config = AffectFusionConfig()  # nothing but the audio is read
        dataset = AudioDataset(table, {}, config, audio=self.pieces)
        logger.info("%s: learning from %s on %d clips", self.name, self.source.name, len(dataset))
        model = StatePredictor(small, frame_statistics(source, dataset), self.spec.cosine_weight)
        if PartialState().is_main_process:
            checkpoints = Path(self.arguments.output_dir)
            checkpoints.mkdir(parents=True, exist_ok=True)
            delete_incomplete_checkpoints(checkpoints, PartialState().num_processes)
        PartialState().wait_for_everyone()
        trainer = EncoderTrainer(
            source=source, model=model, args=self.arguments, train_dataset=dataset, data_collator=collate_frames
        )
        show_progress(trainer, enabled=not self.arguments.disable_tqdm)
        train_or_resume(trainer)
        return trainer.state.log_history

    def _save(self, backbone: nn.Module, copied: list[str], history: list[dict]) -> None:
        """Write the folder, whole or not at all."""
        origin = {
            "id": self.source.name,
            "revision": self.source.revision,
            "license": self.source.license,
            "hidden_states": self.spec.hidden_states,
            "steps": self.spec.max_steps,
            "hours": sum(piece.duration_s for piece in self.pieces.values()) / 3600,
            "parameters": sum(weight.numel() for weight in backbone.parameters()),
            "copied": copied,
        }
        partial = self.folder.with_name(f".{self.folder.name}-{uuid.uuid4().hex}")
        try:
            _save_backbone(backbone, partial)
            AutoFeatureExtractor.from_pretrained(self.source.folder).save_pretrained(partial)
            write_json(partial / DISTILLATION, origin)
            write_json(partial / "training_history.json", history)
            write_text(partial / "README.md", _card(self.folder.name, origin))
            os.replace(partial, self.folder)
        except OSError:
            if not self.folder.is_dir():  # another run was first
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _arguments(spec: DistilledEncoder, training: TrainingArguments) -> TrainingArguments:
    arguments = copy.copy(training)
    for name, value in spec.training.items():
        setattr(arguments, name, value)
    arguments.seed, arguments.gradient_checkpointing = SEED, False
    arguments.push_to_hub, arguments.hub_token = False, None
    # there is nothing to develop on: the last state is kept
    arguments.eval_strategy, arguments.load_best_model_at_end, arguments.metric_for_best_model = "no", False, None
    return arguments


def _front_end(branches: list[dict], name: str, encoder: dict) -> AffectFrontEnd:
    return AffectFrontEnd(AffectFusionConfig(branches=branches, encoders={name: encoder}))


@torch.no_grad()
def copy_fitting(model: nn.Module, source: nn.Module) -> list[str]:
    """Give a model the weights of another that have the same name and shape, whole; return their names."""
    theirs, fitting = source.state_dict(), []
    for name, values in model.state_dict().items():
        if name in theirs and theirs[name].shape == values.shape:
            values.copy_(theirs[name])
            fitting.append(name)
    return fitting


def _save_backbone(backbone: nn.Module, folder: Path) -> None:
    """Save an encoder as `AutoModel` loads it: one that has a decoder too by the names that it has in the whole."""
    if not backbone.config.is_encoder_decoder:
        backbone.save_pretrained(folder)
        return
    whole = AutoModel.from_config(backbone.config)
    whole.get_encoder().load_state_dict(backbone.state_dict())
    weights = {name: values for name, values in whole.state_dict().items() if name.startswith("encoder.")}
    whole.save_pretrained(folder, state_dict=weights)


def _card(name: str, origin: dict) -> str:
    states = ", ".join(map(str, origin["hidden_states"]))
    learnt = (
        f"it learnt to predict hidden states {states} of it on {origin['hours']:.1f} h of unlabelled speech "
        f"({origin['steps']} updates)"
    )
    values = {
        **origin,
        "name": name,
        "license": f"license: {origin['license']}\n" if origin["license"] else "",
        "millions": origin["parameters"] / 1e6,
        "learnt": learnt if origin["steps"] else "its weights are new, and nothing was learnt",
        "copied": ", ".join(f"`{weight}`" for weight in origin["copied"]) or "none",
    }
    return CARD.format(**values)


def frame_losses(predicted: torch.Tensor, target: torch.Tensor, cosine_weight: float) -> torch.Tensor:
    """Compute `mean |predicted - target| - cosine_weight * log sigmoid(cosine)` of (..., width): one per frame."""
    distance = (predicted - target).abs().mean(dim=-1)
    return distance - cosine_weight * F.logsigmoid(F.cosine_similarity(predicted, target, dim=-1))


class StatePredictor(nn.Module):
    """An encoder, and for each hidden state of the source a linear layer that predicts it from the encoder's output.

    Args:
        front_end: Of one branch, the encoder's output.
        statistics: By branch of the source the mean and standard deviation (width,) of its frames, by which they are
            standardised.
        cosine_weight: As [`frame_losses`] takes it.
    """

    def __init__(
        self, front_end: AffectFrontEnd, statistics: dict[str, tuple[torch.Tensor, torch.Tensor]], cosine_weight: float
    ):
        super().__init__()
        self.front_end, self.cosine_weight = front_end, cosine_weight
        (encoder,) = front_end.encoders.values()
        width = encoder.backbone.config.hidden_size
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(mean)) for name, (mean, _) in statistics.items()})
        for name, (mean, std) in statistics.items():
            self.heads[name].register_buffer("mean", mean)
            self.heads[name].register_buffer("std", torch.where(std > 1e-5, std, torch.ones_like(std)))

    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor,
        targets: dict[str, torch.Tensor],
        masks: dict[str, torch.Tensor],
    ) -> torch.Tensor:
        """Compute the mean of [`frame_losses`] over the valid frames of all clips, averaged over the hidden states.

        Args:
            input_values: (batch, samples).
            attention_mask: (batch, samples), 1 where valid.
            targets: (batch, frames, width) of the source, raw, by branch.
            masks: (batch, frames) of each, True where valid; valid frames come first.

        Returns:
            A scalar, in training that of the batches of all processes as one.
        """
        frames, own = self.front_end(input_values=input_values, attention_mask=attention_mask)
        (hidden,), (mask,) = frames.values(), own.values()
        losses = []
        for name, head in self.heads.items():
            count = min(hidden.shape[1], targets[name].shape[1])  # of other convolutions there may be one more
            valid = mask[:, :count] & masks[name][:, :count]
            wanted = (targets[name][:, :count].float() - head.mean) / head.std
            values = frame_losses(head(hidden[:, :count]).float(), wanted, self.cosine_weight)
            losses.append(mean_over_clips(values.flatten(), valid.flatten(), self.training))
        return torch.stack(losses).mean()


class EncoderTrainer(FrameTrainer):
    """Train a [`StatePredictor`] on what its source makes of the same audio, in each step anew.

    Args:
        args, kwargs: As [`FrameTrainer`] takes them.
        source: On the trainer's device, in evaluation mode; its branches are the targets.
    """

    def __init__(self, *args, source: AffectFrontEnd, **kwargs):
        super().__init__(*args, **kwargs)
        self.source = source

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        audio = {name: inputs[name] for name in ("input_values", "attention_mask")}
        with torch.no_grad():
            targets, masks = self.source(**audio)
        return model(**audio, targets=targets, masks=masks)
