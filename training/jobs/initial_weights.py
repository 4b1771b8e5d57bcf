"""Start a system from a checkpoint, or from another system of the run: what fits is taken, what is new starts anew."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import AutoConfig

from speech_affect import (
    AffectBranchConfig,
    AffectFusionConfig,
    AffectFusionModel,
    AffectStudentConfig,
    AffectStudentModel,
)

from ..encoders.encoder_sources import EncoderSource, resolve_encoder
from ..settings.systems import SystemSpec
from .job import Job


logger = logging.getLogger(__name__)

MODELS = {AffectFusionConfig: AffectFusionModel, AffectStudentConfig: AffectStudentModel}


def resolve_checkpoints(systems: Mapping[str, SystemSpec], cache_dir: Path) -> dict[str, EncoderSource]:
    """Find the checkpoints, folders or Hub ids, that systems start from; by the system's name.

    Raises:
        ValueError: One is no checkpoint of this package.
        OSError: One cannot be found.
    """
    found = {}
    for name, spec in systems.items():
        if spec.init_from and spec.init_from not in systems:
            found[name] = resolve_encoder(spec.init_from, cache_dir=cache_dir)
            config = AutoConfig.from_pretrained(found[name].folder)
            if type(config) not in MODELS:
                raise ValueError(
                    f"system {name!r} has init_from: {spec.init_from}, a model of type {config.model_type!r}; "
                    "give a checkpoint that this package has written, or a system of the recipe"
                )
    return found


def start(job: Job, model) -> list[str]:
    """Give a job's untrained model the weights that the job starts from, as [`take_weights`] does, and log the rest.

    Returns:
        Names of what starts anew.

    Raises:
        ValueError: No branch fits.
    """
    if isinstance(job.initial, Job):
        source = job.initial.model()
    else:
        config = AutoConfig.from_pretrained(job.initial.folder)
        trained = any(not encoder.frozen for encoder in config.encoders.values())
        source = MODELS[type(config)].from_pretrained(job.initial.folder, with_front_end=trained)
    place = f"system {job.spec.name!r} has init_from: {job.spec.init_from}"
    new = take_weights(place, model, source)
    logger.info("%s starts from %s; anew: %s", job.label, job.initial_name, ", ".join(new) or "nothing")
    return new


@torch.no_grad()
def take_weights(place: str, model, source) -> list[str]:
    """Give a model the weights of another that fit, frame statistics included.

    The weights of a branch fit if its settings, its encoder and the sizes of the head are the same; those of an output
    or a class if it has the same name. Outputs are computed in unit scale: on another label range the model starts
    with the same values, moved linearly to it.

    Args:
        place: What the messages begin with.
        model: Whose weights are set.
        source: Where they come from.

    Returns:
        Names of what is not in `source`.

    Raises:
        ValueError: No branch fits, or the source has trained the encoder of one that fits.
    """
    ours, theirs = model.regressor, source.regressor
    taken = {}  # number of each TC-GRU that fits -> its number in the source
    known = [(_identity(source.config, branches), branches) for branches in _joined(source.config)]
    for number, branches in enumerate(_joined(model.config)):
        for other, (identity, sources) in enumerate(known):
            if identity == _identity(model.config, branches) and _sizes(model, number) == _sizes(source, other):
                taken[number] = other
                for branch, old in zip(branches, sources, strict=True):
                    _take_encoder(place, model, source, branch, old)
                    ours.inputs[branch.name].load_state_dict(theirs.inputs[old.name].state_dict())
    if not taken:
        raise ValueError(
            f"{place}, of which no branch fits: it has {', '.join(theirs.names)}, this system "
            f"{', '.join(ours.names)}; give it branches with the same settings and encoders, and a head of the same "
            "sizes"
        )
    ours.embedding.bias.copy_(theirs.embedding.bias)
    width = model.config.gru_hidden_size
    for number, other in taken.items():
        ours.tc_grus[number].load_state_dict(theirs.tc_grus[other].state_dict())
        columns, old = (slice(at * width, (at + 1) * width) for at in (number, other))
        ours.embedding.weight[:, columns] = theirs.embedding.weight[:, old]
    joined = enumerate(_joined(model.config))
    new = [f"branch {branch.name}" for number, branches in joined if number not in taken for branch in branches]
    return new + _take_outputs(model, source)


def _take_outputs(model, source) -> list[str]:
    """Copy the rows of outputs and classes that both models have, and return the names of the others."""
    new = []
    for head, setting in (
        ("output", "id2label"),
        ("uncertainty_output", "id2label"),
        ("emotion_output", "emotion_names"),
        ("gender_output", "gender_names"),
    ):
        ours, theirs = getattr(model.regressor, head), getattr(source.regressor, head)
        known = [] if theirs is None else source.config.outputs[setting]
        for row, name in enumerate([] if ours is None else model.config.outputs[setting]):
            if name not in known:
                new.append(f"{head} {name}")
                continue
            old = known.index(name)
            ours.weight[row], ours.bias[row] = theirs.weight[old], theirs.bias[old]
            if head == "uncertainty_output":
                model.regressor.uncertainty_scale[row] = source.regressor.uncertainty_scale[old]
    return new


def _joined(config) -> list[list[AffectBranchConfig]]:
    """Return the branches of each TC-GRU."""
    return [list(config.branches)] if config.fusion_level == "frame" else [[branch] for branch in config.branches]


def _identity(config, branches: Sequence[AffectBranchConfig]) -> list[tuple]:
    """Return what the weights after these branches depend on; recipes may name one encoder differently."""
    parts = []
    for branch in branches:
        settings, encoder = branch.to_dict(), ()
        del settings["transformers_version"]
        if not branch.is_acoustic:
            del settings["source"]
            used = config.encoders[branch.source]
            encoder = (used.backbone.model_type, used.backbone.name_or_path, used.do_normalize, used.pad_to_window)
        parts.append((settings, encoder))
    return parts


def _sizes(model, number: int) -> list[tuple]:
    """Return the shapes of the weights that a TC-GRU has a part in."""
    shapes = {name: tuple(value.shape) for name, value in model.regressor.tc_grus[number].state_dict().items()}
    return [*sorted(shapes.items()), (model.config.embedding_size,)]


def _take_encoder(place: str, model, source, branch: AffectBranchConfig, old: AffectBranchConfig) -> None:
    """Give the encoder of a branch the weights of the source's, if that has trained them."""
    if branch.is_acoustic or source.config.encoders[old.source].frozen:
        return
    if model.config.encoders[branch.source].frozen:
        raise ValueError(f"{place}, which has trained its encoder {old.source!r}; this system reads it frozen")
    ours, theirs = (each.front_end.encoders[name] for each, name in ((model, branch.source), (source, old.source)))
    # one of them may have layers that no branch of its run reads
    ours.backbone.load_state_dict(theirs.backbone.state_dict(), strict=False)
