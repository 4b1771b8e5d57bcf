"""What a run does: which frames its systems need, and its stages, in order."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from clip_table import ClipTable
from division import Division
from encoder_sources import resolve_encoder
from frame_cache import FrameCache
from recipe import RunArguments
from representations import EncoderLibrary, extract_frames
from stage import Stage
from systems import SystemSpec, build_config
from text_representations import clip_transcripts, extract_text_frames
from transformers import TrainingArguments

from corpora.unlabelled import Piece


logger = logging.getLogger(__name__)


def systems_of(run: RunArguments, division: Division) -> dict[str, SystemSpec]:
    """The systems trained in a division: all in the given splits; in folds those that `cross_validated` names."""
    if not division.name:
        return run.specs
    names = set(run.cross_validated) | {t for n in run.cross_validated for t in run.specs[n].teachers}
    return {name: spec for name, spec in run.specs.items() if name in names}


def leave_out_unreachable(run: RunArguments, cache_dir: Path) -> None:
    """Take optional systems with an encoder that cannot be found out of the run, and the students of such teachers."""
    for name, spec in list(run.specs.items()):
        sources = {branch["source"] for branch in spec.branch_settings} & set(run.encoders)
        try:
            for source in sources if spec.optional else ():
                entry = run.encoders[source]
                resolve_encoder(entry["id"], revision=entry.get("revision"), cache_dir=cache_dir)
        except OSError as error:
            logger.warning("system %s is left out: %s", name, error)
            del run.specs[name]
    for name, spec in list(run.specs.items()):
        missing = [teacher for teacher in spec.teachers if teacher not in run.specs]
        if missing:
            logger.warning("system %s is left out with its teacher %s", name, missing[0])
            del run.specs[name]
    run.cross_validated = [name for name in run.cross_validated if name in run.specs]
    run.degraded_systems = [name for name in run.degraded_systems if name in run.specs]


def prepare_frames(
    run: RunArguments, divisions: Sequence[Division], unlabelled: Sequence[Piece], library: EncoderLibrary, root: Path
) -> dict[str, FrameCache]:
    """Every frame that a stage will read, made once; systems that hear the same clips share an encoder's pass."""
    caches: dict[str, FrameCache] = {}

    def extract(specs: Iterable[SystemSpec], clips: dict) -> None:
        branches = [branch for spec in specs for branch in spec.branch_settings]
        if branches and clips:
            caches.update(extract_frames(clips, branches, library, root, run.extraction_batch_size))

    extract(run.specs.values(), {f: a for division in divisions for f, a in division.audio.items()})
    heard: set[str] = set()
    for together in (divisions[:1], divisions[1:]):  # in folds no system hears what none hears in the given splits
        copies = {copy.fingerprint: copy for division in together for copy in division.copies}
        specs = _hearing(systems_of(run, together[0]), "augmented") if together else []
        extract(specs, {fingerprint: copy for fingerprint, copy in copies.items() if fingerprint not in heard})
        heard |= copies.keys()
    for division in divisions:
        degraded = {clip.fingerprint: clip for clips in division.conditions.values() for clip in clips}
        extract([run.specs[name] for name in run.degraded_systems], degraded)
    extract(_hearing(run.specs, "unlabelled"), {piece.fingerprint: piece for piece in unlabelled})
    if library.text_names:
        branches = [branch for spec in run.specs.values() for branch in spec.branch_settings]
        caches |= extract_text_frames(_spoken(divisions), branches, library, root, run.extraction_batch_size)
    return caches


def _spoken(divisions: Sequence[Division]) -> dict[str, str]:
    """What is said in every clip, altered copy and degraded clip, by fingerprint."""
    given = divisions[0]
    said = clip_transcripts({s: (t.fingerprints, given.transcripts[s]) for s, t in given.tables.items()})
    for division in divisions:
        for clips in division.conditions.values():
            said |= {clip.fingerprint: said[clip.source.fingerprint] for clip in clips}
        for copy in division.copies:
            sources = [copy.source, copy.partner] if copy.joined else [copy.source]
            said[copy.fingerprint] = " ".join(said[source.fingerprint] for source in sources)
    return said


def _hearing(specs: dict[str, SystemSpec], what: str) -> list[SystemSpec]:
    """The systems that hear copies or unlabelled audio, and the teachers that say what it is worth."""
    hearing = [spec for spec in specs.values() if getattr(spec, what)]
    return hearing + [specs[teacher] for spec in hearing for teacher in spec.teachers]


def make_stages(
    run: RunArguments,
    training: TrainingArguments,
    division: Division,
    unlabelled: Sequence[Piece],
    caches: dict[str, FrameCache],
    library: EncoderLibrary,
    label_range: tuple[float, float],
) -> dict[str, list[Stage]]:
    """Per system of a division its stages, one per seed, teachers first."""
    train = division.tables["train"]
    genders = [gender for gender in train.genders if gender is not None]
    evaluated = {split: table for split, table in division.tables.items() if split != "train"}
    stages: dict[str, list[Stage]] = {}
    for name, spec in systems_of(run, division).items():
        emotions = _emotions(spec, train)
        config = build_config(spec, library.configs, run.head, label_range, emotions, genders)
        tables = {"train": division.training_table(spec, unlabelled), **evaluated}
        if name in run.degraded_systems:
            tables |= division.condition_tables()
        stages[name] = [
            Stage(
                spec=spec,
                seed=seed,
                config=config,
                tables=tables,
                caches={branch.name: caches[branch.name] for branch in config.branches},
                emotion_codes=spec.emotion_codes(emotions),
                arguments=training,
                patience=run.early_stopping_patience or None,
                folder=Path(training.output_dir) / "stages" / name / division.name / f"seed{seed}",
                teachers=[stages[teacher][index] for teacher in spec.teachers],
            )
            for index, seed in enumerate(run.seeds)
        ]
    return stages


def _emotions(spec: SystemSpec, train: ClipTable) -> list[str]:
    """The classes that training clips have; where votes are learnt, those of a clip that has any are its votes."""
    emotions = []
    for emotion, votes in zip(train.emotions, train.votes, strict=True):
        emotions += votes if votes and spec.emotions == "votes" else [emotion]
    return [emotion for emotion in emotions if emotion is not None]
