"""Speaker-disjoint splits: leave-speakers-out cross-validation, corpora left out one by one, and train, development
and test1 of a table.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import datasets

from ..settings.checks import check_names
from ..settings.labels import LEARNT_FROM, MIN_FOLDS, TEST_SPLIT, UNKNOWN
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
    speakers = pooled["speaker"][:]
    unknown = sum(speaker in (None, UNKNOWN) for speaker in speakers)
    if unknown:
        raise CorpusError(f"{corpus.name}: {unknown} clips have no speaker; folds by speaker need one for every clip.")
    corpora = pooled["corpus"][:] if "corpus" in pooled.column_names else [""] * len(pooled)
    group_of = deal_groups(speakers, pooled["gender"][:], folds, corpora)
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


def deal_groups(
    speakers: Sequence[str], genders: Sequence[str | None], groups: int, corpora: Sequence[str] | None = None
) -> dict[str, int]:
    """Deal speakers into groups so that each has about as many of each gender, and about as many clips.

    Corpus by corpus and gender by gender, the speaker with the most clips goes to the group with the fewest speakers
    of that corpus and gender; of those to the one with the fewest of that corpus, then with the fewest speakers, and
    of those to the one with the fewest clips. The result depends on the clips alone, not on their order.

    Args:
        speakers: The speaker of each clip.
        genders: The gender of each clip's speaker.
        groups: Number of groups.
        corpora: The corpus of each clip; None where there is one.

    Returns:
        Speaker -> group, from 0.

    Raises:
        CorpusError: Fewer speakers than groups.
    """
    clips = Counter(speakers)
    if len(clips) < groups:
        raise CorpusError(f"{groups} folds need at least as many speakers; there are {len(clips)}.")
    kind_of: dict[str, tuple[str, str]] = {}
    for speaker, *kind in sorted(set(zip(speakers, corpora or [""] * len(speakers), map(str, genders), strict=True))):
        kind_of.setdefault(speaker, tuple(kind))
    dealt: dict[str, int] = {}
    clips_in, speakers_in, alike_in = [0] * groups, [0] * groups, defaultdict(lambda: [0] * groups)
    for speaker in sorted(clips, key=lambda name: (kind_of[name], -clips[name], name)):
        alike, of_corpus = alike_in[kind_of[speaker]], alike_in[kind_of[speaker][0]]
        group = min(range(groups), key=lambda g: (alike[g], of_corpus[g], speakers_in[g], clips_in[g], g))
        dealt[speaker] = group
        for counts in (alike, of_corpus, speakers_in):
            counts[group] += 1
        clips_in[group] += clips[speaker]
    return dealt


def without_tests(corpus: Corpus) -> Corpus:
    """Move the clips of the test splits into the train split."""
    train = [rows for split, rows in corpus.splits.items() if split != "development"]
    splits = {"train": datasets.concatenate_datasets(train), "development": corpus.splits["development"]}
    return replace(corpus, splits=datasets.DatasetDict(splits))


def without_corpora(corpus: Corpus, names: Sequence[str]) -> dict[str, Corpus]:
    """Leave corpora out one by one: all clips of each are tested, by what all clips of the others train.

    Args:
        corpus: Labelled clips of several corpora.
        names: The corpora to leave out; `["all"]` for each.

    Returns:
        Corpus left out -> the splits train (of the others, with their test splits), development (of the others) and
        test1.

    Raises:
        ValueError: There are no several corpora, none has this name, or the others have no development split.
    """
    splits = corpus.splits.values()
    known = sorted({name for rows in splits if "corpus" in rows.column_names for name in rows.unique("corpus")})
    if len(known) < 2:
        raise CorpusError(f"leave_out is {', '.join(names)}, but {corpus.name} is one corpus; give several (corpora).")
    names = known if list(names) == ["all"] else names
    check_names("leave_out", names, known, "corpus")
    return {name: across_corpora(corpus, [other for other in known if other != name], [name]) for name in names}


def across_corpora(corpus: Corpus, train_on: Sequence[str], test_on: Sequence[str], trains: bool = True) -> Corpus:
    """Train and develop on corpora, and test on every clip of others.

    Args:
        corpus: Labelled clips, of several corpora or of one alone.
        train_on: Names of corpora; none for all that are not tested on.
        test_on: Names of corpora; none for all that are not trained on, `["all"]` for every clip.
        trains: Whether anything is trained; if not, nothing but test clips is needed.

    Returns:
        The splits train (of the former, with their test splits), development (of the former) and test1; without the
        clips of corpora in neither.

    Raises:
        ValueError: None has this name, or there are no clips to train, to develop or to test on.
    """
    pooled = datasets.concatenate_datasets(list(corpus.splits.values()))
    owners = pooled["corpus"][:] if "corpus" in pooled.column_names else [""] * len(pooled)
    known = sorted(set(owners))
    if known == [""] and list(test_on) != ["all"]:
        raise CorpusError(f"train_on and test_on name corpora, but {corpus.name} is one; give several (data_dir).")
    for setting, names in (("train_on", train_on), ("test_on", [] if list(test_on) == ["all"] else test_on)):
        check_names(setting, names, [name for name in known if name], "corpus")
    tested = known if list(test_on) == ["all"] else test_on or [name for name in known if name not in train_on]
    trained = train_on or [name for name in known if name not in tested]
    rows: dict[str, list[int]] = {"train": [], "development": [], TEST_SPLIT: []}
    places = [split for split, clips in corpus.splits.items() for _ in range(len(clips))]
    for index, (split, own) in enumerate(zip(places, owners, strict=True)):
        if own in tested:
            rows[TEST_SPLIT].append(index)
        elif own in trained:
            rows["development" if split == "development" else "train"].append(index)
    for needed in (*LEARNT_FROM, TEST_SPLIT) if trains else (TEST_SPLIT,):
        if not rows[needed]:
            raise CorpusError(
                f"with {', '.join(tested)} to test on, {corpus.name} has no clips in split {needed!r}; name other "
                "corpora (leave_out, train_on, test_on)."
            )
    splits = {split: pooled.select(indices) for split, indices in rows.items() if indices}
    return replace(corpus, splits=datasets.DatasetDict(splits))


def deal_speakers(speakers: Sequence[str], seed: int) -> dict[str, str]:
    """Deal speakers out to train, development and test1, 60/20/20 by number of speakers, at least one each.

    Of two speakers one is to train and one to test, and one alone is to train.

    Args:
        speakers: The speaker of each row.
        seed: Of the random order; the same speakers and seed give the same splits, whatever the order of the rows.

    Returns:
        Speaker -> split.
    """
    names = sorted(set(speakers))
    random.Random(seed).shuffle(names)
    held_out = max(1, round(HELD_OUT_SHARE * len(names)))
    splits = ["development"] * (held_out if len(names) > 2 else 0) + [TEST_SPLIT] * (held_out if names[1:] else 0)
    return dict(zip(names, splits + ["train"] * (len(names) - len(splits)), strict=True))
