"""Speaker-disjoint splits: leave-speakers-out cross-validation, and train, development and test1 of a table."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import datasets

from ..settings.labels import MIN_FOLDS, TEST_SPLIT, UNKNOWN
from .corpus import Corpus, CorpusError


HELD_OUT_SHARE = 0.2  # of the speakers, to develop on and to test on each


def speaker_folds(corpus: Corpus, folds: int) -> list[Corpus]:
    """Pool all splits and deal the speakers into groups: fold k tests group k and develops on group k + 1.

    Args:
        corpus: Labelled clips; every one needs a speaker.
        folds: Number of groups, at least `MIN_FOLDS`.

    Returns:
        One corpus per fold with the splits train, development and test1; speaker-disjoint by construction.

    Raises:
        CorpusError: Fewer than 3 folds, a clip without a speaker, or fewer speakers than folds.
    """
    if folds < MIN_FOLDS:
        raise CorpusError(
            f"folds is {folds}; cross-validation needs at least {MIN_FOLDS}: to test, develop and train."
        )
    pooled = datasets.concatenate_datasets(list(corpus.splits.values()))
    speakers = pooled["speaker"]
    unknown = sum(speaker in (None, UNKNOWN) for speaker in speakers)
    if unknown:
        raise CorpusError(f"{corpus.name}: {unknown} clips have no speaker; folds by speaker need one for every clip.")
    group_of = deal_groups(speakers, pooled["gender"], folds)
    groups = [group_of[speaker] for speaker in speakers]
    result = []
    for test in range(folds):
        held_out = {test: TEST_SPLIT, (test + 1) % folds: "development"}
        rows: dict[str, list[int]] = {"train": [], "development": [], TEST_SPLIT: []}
        for index, group in enumerate(groups):
            rows[held_out.get(group, "train")].append(index)
        splits = datasets.DatasetDict({split: pooled.select(indices) for split, indices in rows.items()})
        result.append(replace(corpus, splits=splits))
    return result


def deal_groups(speakers: Sequence[str], genders: Sequence[str | None], groups: int) -> dict[str, int]:
    """Deal speakers into groups so that each has about as many of each gender, and about as many clips.

    Gender by gender, the speaker with the most clips goes to the group with the fewest speakers of that gender; of
    those to the one with the fewest speakers, and of those to the one with the fewest clips. The result depends on
    the clips alone, not on their order.

    Args:
        speakers: The speaker of each clip.
        genders: The gender of each clip's speaker.
        groups: Number of groups.

    Returns:
        Speaker -> group, from 0.

    Raises:
        CorpusError: Fewer speakers than groups.
    """
    clips = Counter(speakers)
    if len(clips) < groups:
        raise CorpusError(f"{groups} folds need at least as many speakers; there are {len(clips)}.")
    gender_of: dict[str, str] = {}
    for speaker, gender in sorted(set(zip(speakers, map(str, genders), strict=True))):
        gender_of.setdefault(speaker, gender)
    dealt: dict[str, int] = {}
    clips_in, speakers_in, of_gender_in = [0] * groups, [0] * groups, defaultdict(lambda: [0] * groups)
    for speaker in sorted(clips, key=lambda name: (gender_of[name], -clips[name], name)):
        of_gender = of_gender_in[gender_of[speaker]]
        group = min(range(groups), key=lambda g: (of_gender[g], speakers_in[g], clips_in[g], g))
        dealt[speaker] = group
        of_gender[group] += 1
        speakers_in[group] += 1
        clips_in[group] += clips[speaker]
    return dealt


def deal_speakers(speakers: Sequence[str], seed: int) -> dict[str, str]:
    """Deal speakers out to train, development and test1, 60/20/20 by number of speakers, at least one each.

    Args:
        speakers: The speaker of each row.
        seed: Of the random order; the same speakers and seed give the same splits, whatever the order of the rows.

    Returns:
        Speaker -> split.

    Raises:
        CorpusError: Fewer than three speakers.
    """
    names = sorted(set(speakers))
    if len(names) < 3:
        raise CorpusError(
            f"speaker-disjoint splits need at least 3 speakers; the table has {len(names)} ("
            f"{', '.join(names)}). Give a split_column instead."
        )
    random.Random(seed).shuffle(names)
    held_out = max(1, round(HELD_OUT_SHARE * len(names)))
    splits = ["development"] * held_out + [TEST_SPLIT] * held_out
    return dict(zip(names, splits + ["train"] * (len(names) - len(splits)), strict=True))
