"""Plan a run: the frames that its systems read, and its jobs in order."""

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from transformers import TrainingArguments

from speech_affect import DIMENSIONS, AffectBranchConfig

from ..corpora.clip_table import ClipTable, listened, unlabelled_table
from ..corpora.segments import Piece
from ..corpora.stream_sources import StreamSource
from ..encoders.encoder_sources import EncoderSource, resolve_encoder
from ..encoders.library import EncoderLibrary
from ..frames.frame_cache import FrameCache
from ..frames.speech_frames import extract_frames
from ..frames.text_frames import clip_transcripts, extract_text_frames
from ..settings.distilled_encoder import fetched
from ..settings.labels import UNLABELLED
from ..settings.pretraining import frames_per_output
from ..settings.run_settings import RunSettings
from ..settings.systems import SystemSpec, build_config, with_needed
from .auxiliary import auxiliary_targets
from .data_splits import DEVELOPMENT, TRAIN, DataSplits
from .job import ClipAudio, FrameTargets, Job
from .streamed_speech import StreamedSpeech


logger = logging.getLogger(__name__)


def systems_of(run: RunSettings, data_splits: DataSplits) -> dict[str, SystemSpec]:
    """Return the systems to train: all of them on the given splits; on folds those of `cross_validated`."""
    if not data_splits.name:
        return run.systems
    names = with_needed([name for name in run.cross_validated if name in run.systems], run.systems)
    return {name: spec for name, spec in run.systems.items() if name in names}


def leave_out_unreachable(run: RunSettings, cache_dir: Path) -> RunSettings:
    """Return the run without optional systems that lack an encoder or checkpoint, and those that need them."""
    specs = dict(run.systems)
    for name, spec in run.systems.items():
        sources = {branch["source"] for branch in spec.cached_branches} & set(run.encoders)
        try:
            for source in sources if spec.optional else ():
                entry = fetched(source, run.encoders)
                resolve_encoder(entry["id"], revision=entry.get("revision"), cache_dir=cache_dir)
            if spec.optional and spec.init_from and spec.init_from not in run.systems:
                resolve_encoder(spec.init_from, cache_dir=cache_dir)
        except OSError as error:
            logger.warning("system %s is left out: %s", name, error)
            del specs[name]
    for name, spec in list(specs.items()):
        missing = [needed for needed in spec.needed(run.systems) if needed not in specs]
        if missing:
            logger.warning("system %s is left out with %s, which it needs", name, missing[0])
            del specs[name]
    kept = {**specs, **run.checkpoints}
    cross_validated = [name for name in run.cross_validated if name in kept]
    degraded = [name for name in run.degraded_systems if name in kept]
    return replace(run, systems=specs, cross_validated=cross_validated, degraded_systems=degraded)


def prepare_frames(
    run: RunSettings,
    all_splits: Sequence[DataSplits],
    unlabelled: Sequence[Piece],
    library: EncoderLibrary,
    root: Path,
) -> dict[str, FrameCache]:
    """Make every frame that a job will read; systems that read the same clips share an encoder's pass.

    Raises:
        ValueError: A student is to be pre-trained on frames that do not fit its own.
    """
    caches: dict[str, FrameCache] = {}
    pretrained = [spec for spec in run.systems.values() if spec.pretraining]
    for spec in pretrained:
        _frames_per_output(spec, library)

    def extract(branches: list[dict], clips: dict) -> None:
        if branches and clips:
            size, dtype = run.extraction_batch_size, run.extraction_dtype
            caches.update(extract_frames(clips, branches, library, root, size, dtype))

    _check_systems(run, all_splits, library)
    everywhere = [branch for spec in run.systems.values() for branch in spec.frozen_branches]
    extract(everywhere, {f: a for data_splits in all_splits for f, a in data_splits.audio.items()})
    for spec in pretrained:
        learnt = [data_splits for data_splits in all_splits if spec.name in systems_of(run, data_splits)]
        clips = {f: each.audio[f] for each in learnt for f in each.tables[TRAIN].fingerprints}
        extract([spec.pretraining.branch], clips)
    extracted: set[str] = set()
    for part in (all_splits[:1], all_splits[1:]):  # no system reads copies in folds alone
        copies = {copy.fingerprint: copy for data_splits in part for copy in data_splits.copies}
        specs = systems_of(run, part[0]) if part else {}
        augmented = [spec for spec in specs.values() if spec.augmented and not spec.train_encoders]
        branches = [branch for spec in augmented for branch in spec.cached_branches] + _of_teachers(augmented, specs)
        extract(branches, {fingerprint: copy for fingerprint, copy in copies.items() if fingerprint not in extracted})
        extracted |= copies.keys()
    for data_splits in all_splits:
        degraded = {clip.fingerprint: clip for clips in data_splits.conditions.values() for clip in clips}
        tested = [run.systems[name] for name in run.degraded_systems if name in run.systems]
        extract([branch for spec in tested for branch in spec.frozen_branches], degraded)
    students = [spec for spec in run.systems.values() if spec.unlabelled]
    branches = [branch for spec in students for branch in spec.branch_settings] + _of_teachers(students, run.systems)
    branches += [b for spec in pretrained if spec.pretraining.unlabelled for b in spec.cached_branches]
    extract(branches, {piece.fingerprint: piece for piece in unlabelled})
    if library.text_names:
        caches |= extract_text_frames(transcripts_of(all_splits), everywhere, library, root, run.extraction_batch_size)
    return caches


def _check_systems(run: RunSettings, all_splits: Sequence[DataSplits], library: EncoderLibrary) -> None:
    """Refuse, before any frame is made, an encoder of text that is trained, and what too few clips have."""
    for spec in run.systems.values():
        for name in spec.train_encoders:
            if library.configs[name].is_text:
                raise ValueError(
                    f"system {spec.name!r} trains the encoder {name!r}, which reads text; train those of speech"
                )
        for branch in _of_teachers([spec], run.systems) if spec.unlabelled and run.unlabelled_stream else ():
            if branch["source"] in library.text_names:
                raise ValueError(
                    f"system {spec.name!r} hears unlabelled_stream, which has no transcripts, and a teacher of it "
                    "reads text; give teachers that read audio alone"
                )
    for data_splits in all_splits:
        for spec in systems_of(run, data_splits).values():
            _dimensions(data_splits, spec, run.systems, {})
            auxiliary_targets(spec, data_splits.seen_by(spec).tables[TRAIN])


def transcripts_of(all_splits: Sequence[DataSplits]) -> dict[str, str]:
    """Map the fingerprint of every clip, augmented copy and degraded clip to its transcript."""
    texts = clip_transcripts(all_splits[0].tables)
    for data_splits in all_splits:
        for clips in data_splits.conditions.values():
            texts |= {clip.fingerprint: texts[clip.source.fingerprint] for clip in clips}
        for copy in data_splits.copies:
            sources = [copy.source, copy.partner] if copy.joined else [copy.source]
            texts[copy.fingerprint] = " ".join(texts[source.fingerprint] for source in sources)
    return texts


def _of_teachers(students: list[SystemSpec], specs: dict[str, SystemSpec]) -> list[dict]:
    """Return the branches of the students' teachers, which predict the same clips."""
    return [branch for spec in students for teacher in spec.teachers for branch in specs[teacher].frozen_branches]


def make_jobs(
    run: RunSettings,
    training: TrainingArguments,
    data_splits: DataSplits,
    unlabelled: Sequence[Piece],
    caches: dict[str, FrameCache],
    library: EncoderLibrary,
    label_range: tuple[float, float],
    by_word: Mapping[str, Collection[str]] | None = None,
    checkpoints: Mapping[str, EncoderSource] | None = None,
    stream: Sequence[StreamSource] = (),
) -> dict[str, list[Job]]:
    """Return per system its jobs on these data splits, one per seed, teachers first.

    Args:
        run, training, data_splits, unlabelled, caches, library: Of the run.
        label_range: Lowest and highest label.
        by_word: As [`listened`] takes it: what listeners rated, if anything, chooses the epoch and calibrates the
            uncertainty.
        checkpoints: By system, what those start from that start from no system of the run.
        stream: What students with `unlabelled` hear while they train.
    """
    audio = ClipAudio(data_splits.every_clip(unlabelled), library, run.augmentation_copies, run.augmentation)
    jobs: dict[str, list[Job]] = {}
    for name, spec in systems_of(run, data_splits).items():
        own = data_splits.seen_by(spec)
        train = own.tables[TRAIN]
        dimensions, averaged = _dimensions(data_splits, spec, run.systems, by_word or {})
        genders = [gender for gender in train.genders if gender is not None]
        emotions = _emotions(spec, train)
        config = build_config(spec, library.configs, run.head, label_range, emotions, genders, dimensions)
        tables = {**own.tables, TRAIN: own.training_table(spec, unlabelled)}
        targets = _frame_targets(spec, own, unlabelled, caches, library)
        if name in run.degraded_systems:
            tables |= data_splits.condition_tables()
        jobs[name] = [
            Job(
                spec=spec,
                seed=seed,
                config=config,
                tables=tables,
                caches={b.name: caches[b.name] for b in config.branches if b.source not in spec.train_encoders},
                emotion_codes=spec.emotion_codes(emotions),
                arguments=training,
                patience=run.early_stopping_patience or None,
                folder=Path(training.output_dir) / "jobs" / name / data_splits.name / f"seed{seed}",
                averaged=averaged,
                by_word=by_word or {},
                evaluated_as=data_splits.evaluated_as,
                shares=training_shares(tables[TRAIN], run.corpora_shares, run.unlabelled_share),
                teachers=[jobs[teacher][index] for teacher in spec.teachers],
                frame_targets=targets,
                audio=audio if spec.train_encoders else None,
                auxiliary=auxiliary_targets(spec, tables[TRAIN]),
                stream=_streamed(spec, run, data_splits, stream, library),
                initial=jobs[spec.init_from][index] if spec.init_from in jobs else (checkpoints or {}).get(name),
            )
            for index, seed in enumerate(run.seeds)
        ]
    return jobs


def _dimensions(
    data_splits: DataSplits,
    spec: SystemSpec,
    systems: Mapping[str, SystemSpec],
    by_word: Mapping[str, Collection[str]],
) -> tuple[list[str], list[str]]:
    """Return the dimensions that a system learns, and of these those whose CCC chooses the epoch.

    Two training clips were rated in each of them, with labels that the system, or a teacher whose outputs it learns,
    is shown.
    """
    own = data_splits.seen_by(spec)
    teachers = spec.teachers if spec.distillation and spec.distillation.output_weight else ()
    seen = [own, *(data_splits.seen_by(systems[name]) for name in teachers)]
    rated = [each.tables[TRAIN].rated_clips() for each in seen]
    dimensions = [dimension for dimension in DIMENSIONS if any(clips[dimension] > 1 for clips in rated)]
    if not dimensions:
        raise ValueError(
            f"{data_splits.name or 'the corpus'} has no dimension that two training clips were rated in, of what "
            f"system {spec.name!r} learns"
        )
    heard = listened(own.tables[DEVELOPMENT], by_word).sum(axis=0)
    averaged = [d for d, clips in zip(DIMENSIONS, heard, strict=True) if d in dimensions and clips > 1]
    return dimensions, averaged or dimensions


def training_shares(
    table: ClipTable, corpora: Mapping[str, float], unlabelled: float | None = None
) -> dict[str, float]:
    """Return the share of each corpus of a table, and of its unlabelled speech, in training batches.

    Args:
        table: The training clips.
        corpora: Name -> share among labelled clips; empty where corpora have as many as they have clips.
        unlabelled: Share of the unlabelled speech; None where it has as many as it has clips.

    Returns:
        Name -> share, with a sum of 1; empty where all clips are drawn alike.
    """
    clips = Counter(table.corpora)
    speech = clips.pop(UNLABELLED, 0)
    if not corpora and (unlabelled is None or not speech):
        return {}
    rest = 1.0
    shares = {name: corpora[name] if corpora else float(count) for name, count in clips.items()}
    if speech:
        rest -= speech / len(table) if unlabelled is None else unlabelled
    total = sum(shares.values())
    found = {name: rest * share / total for name, share in shares.items()}
    return {**found, UNLABELLED: 1 - rest} if speech else found


def _streamed(
    spec: SystemSpec,
    run: RunSettings,
    data_splits: DataSplits,
    stream: Sequence[StreamSource],
    library: EncoderLibrary,
) -> StreamedSpeech | None:
    if not (spec.unlabelled and stream):
        return None
    held_out = frozenset(data_splits.held_out())
    hearing = (library, run.extraction_batch_size, run.teacher_dtype, run.teacher_device)
    return StreamedSpeech(stream, run.unlabelled_share, held_out, *hearing)


def _frame_targets(
    spec: SystemSpec,
    data_splits: DataSplits,
    unlabelled: Sequence[Piece],
    caches: dict[str, FrameCache],
    library: EncoderLibrary,
) -> FrameTargets | None:
    if spec.pretraining is None:
        return None
    table = data_splits.training_table(replace(spec, unlabelled=spec.pretraining.unlabelled), unlabelled)
    cache = caches[AffectBranchConfig(**spec.pretraining.branch).name]
    audio = unlabelled_table(table.files, table.fingerprints)
    return FrameTargets(audio, cache, _frames_per_output(spec, library))


def _frames_per_output(spec: SystemSpec, library: EncoderLibrary) -> int:
    place = f"pretraining of system {spec.name!r}"
    return frames_per_output(place, spec.pretraining, spec.branch_settings[0], library.configs)


def _emotions(spec: SystemSpec, train: ClipTable) -> list[str]:
    """Return the classes of the training clips; if votes are learnt, those of a clip that has any are its votes."""
    emotions = []
    for emotion, votes in zip(train.emotions, train.votes, strict=True):
        emotions += votes if votes and spec.emotions == "votes" else [emotion]
    return [emotion for emotion in emotions if emotion is not None]
