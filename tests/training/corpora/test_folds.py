"""Speaker-disjoint splits: each clip tested once, no speaker on two sides, both genders in every group."""

import random
from collections import Counter
from dataclasses import replace

import datasets
import pytest

from speech_affect_training.corpora.corpus import FEATURES, Corpus, CorpusError, check_disjoint
from speech_affect_training.corpora.folds import (
    across_corpora,
    deal_groups,
    deal_speakers,
    speaker_folds,
    without_corpora,
    without_tests,
)


def clips_of(counts: dict[tuple[str, str], int]) -> list[tuple[str, str, str]]:
    """So many clips of each (speaker, gender)."""
    return [(f"{who}-{i}", who, gender) for (who, gender), count in counts.items() for i in range(count)]


TEN = {(f"w{i}", "Female"): 4 + i for i in range(5)} | {(f"m{i}", "Male"): 9 - i for i in range(5)}


def corpus_of(splits: dict[str, list[tuple]]) -> Corpus:
    """A corpus without audio, out of (file, speaker, gender) per split."""
    empty = {**dict.fromkeys(FEATURES), "graders": []}
    made = {}
    for split, rows in splits.items():
        filled = [{**empty, "file": file, "speaker": speaker, "gender": gender} for file, speaker, gender in rows]
        made[split] = datasets.Dataset.from_list(filled, features=FEATURES)
    return Corpus("made up", datasets.DatasetDict(made), (1, 7), "")


@pytest.fixture
def corpus():
    rows = clips_of(TEN)
    return corpus_of({"train": rows[:40], "development": rows[40:50], "test1": rows[50:]})


def dealt(rows: list[tuple], groups: int) -> dict[str, int]:
    return deal_groups([who for _, who, _ in rows], [gender for _, _, gender in rows], groups)


@pytest.mark.parametrize("folds", [3, 5, 10])
def test_every_clip_is_tested_once_and_no_speaker_is_on_two_sides(corpus, folds):
    made = speaker_folds(corpus, folds)
    assert len(made) == folds
    everything = sorted(file for rows in corpus.splits.values() for file in rows["file"])
    assert sorted(file for fold in made for file in fold.splits["test1"]["file"]) == everything
    assert sorted(file for fold in made for file in fold.splits["development"]["file"]) == everything
    for fold in made:
        assert list(fold.splits) == ["train", "development", "test1"]
        assert sorted(file for rows in fold.splits.values() for file in rows["file"]) == everything
        assert all(len(rows) for rows in fold.splits.values())
        check_disjoint(fold, audio=False)
        assert (fold.name, fold.label_range, fold.note) == (corpus.name, corpus.label_range, corpus.note)


def test_a_fold_develops_on_what_the_next_one_tests(corpus):
    made = speaker_folds(corpus, 5)
    for fold, following in zip(made, [*made[1:], made[0]], strict=True):
        assert fold.splits["development"]["file"][:] == following.splits["test1"]["file"][:]


def test_without_tests_all_but_development_is_trained_on():
    rows = clips_of(TEN)
    corpus = corpus_of({"train": rows[:20], "development": rows[20:40], "test1": rows[40:50], "test3": rows[50:]})
    made = without_tests(corpus)
    assert list(made.splits) == ["train", "development"]
    assert made.splits["train"]["file"][:] == [file for file, *_ in rows[:20] + rows[40:]]
    assert made.splits["development"]["file"][:] == [file for file, *_ in rows[20:40]]


def test_one_of_each_gender_per_group_where_there_are_as_many():
    group_of = dealt(clips_of(TEN), 5)
    for group in range(5):
        assert sorted(who[0] for who in group_of if group_of[who] == group) == ["m", "w"]


def test_the_longest_is_dealt_first_and_to_the_shortest_group():
    # women of 8, 4, 2 clips go to groups 0, 1, 2; then men of 9, 6, 3, each to the group that is shortest by then
    clips = {("a", "f"): 2, ("b", "f"): 8, ("c", "f"): 4, ("d", "m"): 3, ("e", "m"): 6, ("f", "m"): 9}
    assert dealt(clips_of(clips), 3) == {"b": 0, "c": 1, "a": 2, "f": 2, "e": 1, "d": 0}


@pytest.mark.parametrize(
    ("women", "men", "expected"),
    [
        # a gender that goes round: the fourth woman joins the third, and a man too
        ((10, 9, 8, 7), (1, 1, 1), [{"w": 1, "m": 1}, {"w": 1, "m": 1}, {"w": 2, "m": 1}]),
        # two men: not for the group with two women, though it has the fewest clips
        ((10, 10, 3, 1), (9, 2), [{"w": 1, "m": 1}, {"w": 1, "m": 1}, {"w": 2}]),
    ],
)
def test_groups_have_as_many_speakers_of_each_gender_as_can_be(women, men, expected):
    counts = {(f"w{i}", "Female"): count for i, count in enumerate(women)}
    counts |= {(f"m{i}", "Male"): count for i, count in enumerate(men)}
    group_of = dealt(clips_of(counts), 3)
    found = [Counter(who[0] for who in group_of if group_of[who] == group) for group in range(3)]
    assert found == expected


def test_the_order_of_rows_does_not_matter():
    rows = clips_of(TEN)
    expected = dealt(rows, 4)
    for seed in range(5):
        random.Random(seed).shuffle(rows)
        assert dealt(rows, 4) == expected


def test_speakers_are_dealt_within_each_corpus():
    """Women of x and y, a man of x: a corpus of two speakers has them in two groups, whoever else is there."""
    clips = {("x1", "f"): 9, ("x2", "f"): 8, ("x3", "m"): 7, ("y1", "f"): 2, ("y2", "f"): 1, ("z1", "f"): 5}
    rows = clips_of(clips)
    speakers, genders = [who for _, who, _ in rows], [gender for _, _, gender in rows]
    found = deal_groups(speakers, genders, 3, [who[0] for who in speakers])
    # x fills each group once; y goes to the groups with the fewest clips, z to the one that has one speaker
    assert found == {"x1": 0, "x2": 1, "x3": 2, "y1": 2, "y2": 1, "z1": 0}
    assert deal_groups(speakers[::-1], genders[::-1], 3, [who[0] for who in speakers][::-1]) == found
    assert deal_groups(speakers, genders, 3, ["x"] * len(rows)) == dealt(rows, 3) != found


@pytest.fixture
def three_corpora(make_corpus, of_corpora):
    """Clips of a, b and c in all splits; c has none to develop on."""
    places = {"train": "aabc", "development": "ab", "test1": "abc", "test2": "a"}
    rows = {
        split: [{"file": f"{own}-{split}{index}", "speaker": f"{own}-{split}"} for index, own in enumerate(owns)]
        for split, owns in places.items()
    }
    return of_corpora(make_corpus(rows), lambda file: file[0])


def test_corpora_are_left_out_one_by_one(three_corpora):
    found = without_corpora(three_corpora, ["all"])
    assert list(found) == ["a", "b", "c"]
    files = {split: rows["file"][:] for split, rows in found["a"].splits.items()}
    assert files == {
        "train": ["b-train2", "c-train3", "b-test11", "c-test12"],
        "development": ["b-development1"],
        "test1": ["a-train0", "a-train1", "a-development0", "a-test10", "a-test20"],
    }
    assert found["c"].splits["test1"]["file"][:] == ["c-train3", "c-test12"]
    for part in found.values():
        check_disjoint(part, audio=False)
        assert sum(map(len, part.splits.values())) == 10
    assert list(without_corpora(three_corpora, ["c", "a"])) == ["c", "a"]


def test_corpora_that_cannot_be_left_out(three_corpora, corpus):
    with pytest.raises(ValueError, match="leave_out has an unknown corpus 'd'; .*allowed are a, b, c"):
        without_corpora(three_corpora, ["a", "d"])
    with pytest.raises(CorpusError, match="leave_out is all, but made up is one corpus; give several"):
        without_corpora(corpus, ["all"])
    rows = three_corpora.splits.items()
    alone = {split: part.filter(lambda own: own != "b", input_columns="corpus") for split, part in rows}
    message = "with a to test on, made up has no clips in split 'development'; name other corpora"
    with pytest.raises(CorpusError, match=message):
        without_corpora(replace(three_corpora, splits=datasets.DatasetDict(alone)), ["a"])


def test_some_corpora_train_and_others_are_tested_on(three_corpora, corpus):
    def files(*given, **more):
        return {split: rows["file"][:] for split, rows in across_corpora(three_corpora, *given, **more).splits.items()}

    everything = [file for rows in three_corpora.splits.values() for file in rows["file"][:]]
    assert files(["b"], ["c"]) == {
        "train": ["b-train2", "b-test11"],
        "development": ["b-development1"],
        "test1": ["c-train3", "c-test12"],  # those of a are left out
    }
    assert files(["b", "c"], []) == files([], ["a"]) == files(["b", "c"], ["a"])
    assert files(["b", "c"], ["a"])["test1"] == [file for file in everything if file[0] == "a"]
    assert files([], ["all"], trains=False) == {"test1": everything}
    assert list(files(["c"], ["a"], trains=False)) == ["train", "test1"]
    whole = across_corpora(corpus, [], ["all"], trains=False).splits
    assert list(whole) == ["test1"] and len(whole["test1"]) == sum(map(len, corpus.splits.values()))
    for given, message in (
        ((["d"], []), "train_on has an unknown corpus 'd'; .*allowed are a, b, c"),
        (([], ["a", "all"]), "test_on has an unknown corpus 'all'"),
        ((["c"], ["a"]), "with a to test on, made up has no clips in split 'development'; name other corpora"),
        ((["a", "b", "c"], []), "made up has no clips in split 'test1'"),
    ):
        with pytest.raises(ValueError, match=message):
            across_corpora(three_corpora, *given)
    with pytest.raises(CorpusError, match="train_on and test_on name corpora, but made up is one; give several"):
        across_corpora(corpus, ["a"], [])


def test_folds_of_several_corpora(three_corpora):
    groups = [set(fold.splits["test1"].unique("corpus")) for fold in speaker_folds(three_corpora, 3)]
    assert all("a" in group for group in groups) and sum("c" in group for group in groups) == 2


def test_a_speaker_of_two_genders_is_dealt_once():
    rows = [("", "a", "Male"), ("", "a", "Female"), ("", "b", "Male"), ("", "c", "Female")]
    assert dealt(rows, 3) == dealt(rows[::-1], 3) == {"a": 0, "c": 1, "b": 2}


def test_speakers_of_a_table_are_dealt_out_by_number():
    speakers = [f"s{index % 10}" for index in range(50)]
    split_of = deal_speakers(speakers, seed=0)
    assert Counter(split_of.values()) == {"train": 6, "development": 2, "test1": 2} and set(split_of) == set(speakers)
    assert deal_speakers(speakers[::-1], seed=0) == split_of != deal_speakers(speakers, seed=1)
    for names, splits in (("abc", ["development", "test1", "train"]), ("ab", ["test1", "train"]), ("a", ["train"])):
        assert sorted(deal_speakers(list(names), seed=5).values()) == splits


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (2, "folds is 2; cross-validation needs at least 3: to test, develop"),
        (-3, "folds is -3; cross-validation needs at least 3"),
        (11, "11 folds need at least as many speakers; there are 10"),
    ],
)
def test_too_few_folds_or_speakers(corpus, folds, message):
    with pytest.raises(CorpusError, match=message):
        speaker_folds(corpus, folds)


def test_clips_without_a_speaker():
    corpus = corpus_of({"train": [("a", "1", None), ("b", "Unknown", None)], "test1": [("c", None, None)]})
    with pytest.raises(
        CorpusError, match="made up: 2 clips have no speaker; folds by speaker need one for every clip"
    ):
        speaker_folds(corpus, 3)
