"""Tables of clips: read from a corpus, chosen, joined, identified."""

from dataclasses import fields, replace

import numpy as np

from speech_affect_training.corpora.clip_table import (
    ClipTable,
    clip_table,
    join_tables,
    listened,
    listened_labels,
    table_fingerprint,
    unlabelled_table,
)


def grade(emotion: str | None, activation, valence=4.0, dominance=None, worker="w") -> dict:
    ratings = {"activation": activation, "valence": valence, "dominance": dominance}
    return {"worker": worker, **ratings, "emotion": emotion, "emotion_secondary": "Amused"}


def same(a: ClipTable, b: ClipTable) -> bool:
    columns = [(getattr(a, field.name), getattr(b, field.name)) for field in fields(ClipTable)]
    return all(len(x) == len(y) and all(map(np.array_equal, x, y)) for x, y in columns)


def test_a_split_as_a_table(make_corpus):
    graders = [grade("Angry", 2.0), grade("Other-Curious", 5.0), grade("Angry", 5.0, None)]
    first = {"file": "a", "activation": 4.0, "valence": 2.5, "dominance": 1.0, "emotion": "A", "graders": graders}
    second = {"file": "b", "valence": 7.0, "speaker": "Unknown", "gender": "Male", "graders": [grade(None, 3.0)]}
    rows = make_corpus({"train": [first, second, {"file": "c"}]}).splits["train"]
    table = clip_table(rows, ["1", "2", "3"])
    assert len(table) == 3 and table.files == ["a", "b", "c"] and table.fingerprints == ["1", "2", "3"]
    np.testing.assert_array_equal(table.labels, [[4, 2.5, 1], [4, 7, 4], [4, 4, 4]])
    # 2, 5, 5 about their mean 4: (4 + 1 + 1) / 3; two equal grades; no grade; a single grade has no variance
    nan = np.nan
    np.testing.assert_allclose(table.rating_variances, [[2, 0, nan], [nan, nan, nan], [nan, nan, nan]], atol=1e-15)
    # all three by one grader, whose grades are averaged
    np.testing.assert_array_equal(table.grades[0], [[4, 4, nan]])
    np.testing.assert_array_equal(table.grades[1], [[3, 4, nan]])
    assert table.grades[2].shape == (0, 3)
    assert table.emotions == ["A", None, None]
    assert table.votes == [("A", "O", "A"), (), ()]
    assert table.speakers == ["1", "Unknown", "1"] and table.genders == [None, "Male", None]
    assert len(clip_table(rows.select([]), [])) == 0
    assert table.corpora == table.rating_scales == ["", "", ""] and table.languages == [None, None, None]


def test_a_split_of_several_corpora(make_corpus):
    rows = make_corpus({"train": [{"file": "a"}, {"file": "b"}]}).splits["train"]
    for name, values in (("corpus", ["x", "y"]), ("language", ["de", None]), ("rating_scale", ["x", "word"])):
        rows = rows.add_column(name, values)
    table = clip_table(rows, ["1", "2"])
    assert table.corpora == ["x", "y"] and table.languages == ["de", None] and table.rating_scales == ["x", "word"]


def test_each_grader_has_one_grade(make_corpus):
    graders = [grade(None, 2.0, None, worker="x"), grade(None, 5.0, 1.0, 7.0), grade(None, 3.0, 6.0, worker="x")]
    table = clip_table(make_corpus({"train": [{"file": "a", "graders": graders}]}).splits["train"], ["1"])
    np.testing.assert_array_equal(table.grades[0], [[2.5, 6, np.nan], [5, 1, 7]])
    np.testing.assert_allclose(table.rating_variances, [[14 / 9, 6.25, np.nan]])  # of single grades


def test_graders_words_are_classes(make_corpus):
    words = {name: name[0] for name in ("Angry", "Happy", "Sad", "Neutral", "Fear", "Disgust", "Contempt", "Other")}
    words |= {"Surprise": "U", "Other-Curious": "O", "Other-angry": "O", "X": "X", "bewildered": "", "": "", None: ""}
    rows = [{"file": f"a{index}", "graders": [grade(word, 1.0)]} for index, word in enumerate(words)]
    votes = clip_table(make_corpus({"train": rows}).splits["train"], list(words)).votes
    assert votes == [tuple(codes) for codes in words.values()]


def test_rows_are_chosen_in_order(make_table):
    table = make_table(4, emotions=["A", "H", None, "S"], votes=[("A",), (), ("N", "N"), ("S",)])
    taken = table.take([3, 0, 0])
    assert taken.files == ["clip3.wav", "clip0.wav", "clip0.wav"] and taken.emotions == ["S", "A", "A"]
    assert taken.votes == [("S",), ("A",), ("A",)]
    np.testing.assert_array_equal(taken.labels, table.labels[[3, 0, 0]])
    assert taken.rating_variances.shape == (3, 3)
    assert len(table.take([])) == 0 and table.take([]).labels.shape == (0, 3)


def test_joining_undoes_choosing(make_table):
    table = make_table(5, speakers=list("abcde"), votes=[("A",), (), (), ("H",), ()])
    assert same(join_tables([table.take([0, 1]), table.take([]), table.take([2, 3, 4])]), table)


def test_of_unrated_clips_nothing_is_known(make_table):
    table = unlabelled_table(["x.wav", "y.wav"], ["1", "2"])
    assert table.files == ["x.wav", "y.wav"] and table.fingerprints == ["1", "2"]
    assert table.labels.shape == (2, 3) and np.isnan(table.labels).all() and np.isnan(table.rating_variances).all()
    for name in ("emotions", "speakers", "genders"):
        assert getattr(table, name) == [None, None]
    assert table.votes == [(), ()]
    assert len(join_tables([make_table(3), table])) == 5


def test_identity_is_of_all_that_is_learnt(make_table):
    table = make_table(3)
    identity = table_fingerprint(table)
    assert table_fingerprint(make_table(3)) == identity
    assert table_fingerprint(replace(table, files=list("xyz"), speakers=list("xyz"))) == identity
    labels = table.labels.copy()
    labels[1, 1] += 1e-9
    changes = [
        {"labels": labels},
        {"rating_variances": labels},
        {"fingerprints": ["0", "1", "3"]},
        {"emotions": [None, None, "A"]},
        {"votes": [("A",), (), ()]},
        {"votes": [(), ("A",), ()]},
        {"genders": ["Male", None, None]},
    ]
    found = {identity, *(table_fingerprint(replace(table, **change)) for change in changes)}
    found |= {table_fingerprint(table.take(rows)) for rows in ([0, 1], [1, 0, 2], [])}
    assert len(found) == 11


def test_what_listeners_rated(make_table):
    labels = make_table(4).labels
    labels[1, 0] = np.nan
    table = make_table(4, labels=labels, corpora=["a", "a", "b", "a"], rating_scales=["a", "a", "b", "word"])
    heard = listened(table, {"a": ["dominance"]})
    assert heard.tolist() == [[True, True, False], [False, True, False], [True] * 3, [False] * 3]
    assert listened(make_table(2), {}).all() and listened(make_table(2), {"": ["valence"]})[:, 1].sum() == 0
    assert listened(make_table(0), {}).shape == (0, 3)
    # by word alone where no listener rated the dimension
    chosen = listened_labels(make_table(2, corpora=["a", "b"]), {"a": ["valence", "dominance"], "b": ["dominance"]})
    np.testing.assert_array_equal(np.isnan(chosen), [[False, True, False], [False] * 3])
    np.testing.assert_array_equal(chosen[~np.isnan(chosen)], make_table(2).labels[~np.isnan(chosen)])
