"""Several corpora in one: labels on one range, ratings of words, names, origins, splits within each corpus."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_affect_training.corpora.clip_table import clip_table
from speech_affect_training.corpora.corpus import CorpusError, check_disjoint
from speech_affect_training.corpora.several import load_run_corpus, shares_of
from speech_affect_training.corpora.table import load_table_corpus
from speech_affect_training.settings.arguments import RUN_ARGUMENTS
from speech_affect_training.settings.recipe import parse_arguments
from speech_affect_training.settings.run_settings import run_settings


REAL = (Path(__file__).resolve().parents[3] / "../shared/corpora").resolve()
RATED = "audio,activation,valence,who,feeling,part"
RATED_ROWS = ["a.wav,0,50,1,happy,train", "b.wav,100,,2,other,dev", "c.wav,25,75,,,test"]
WORDS = "wav,of,in,who,feeling"
WORD_ROWS = [
    *(f"x{who}{take}.wav,x,en,{who},{word}" for who in "123" for take, word in enumerate(("anger", "calm"))),
    "y1.wav,y,,1,bored",
    "y2.wav,y,,2,neutral",
    "z1.wav,z,pl,1,sadness",
    "z2.wav,z,pl,1,other",
    "z3.wav,z,pl,1,contempt",
]
FACTS = {"labels": "Ours.", "license": "Ours", "terms": "Ask us."}
RATED_ENTRY = {
    "corpus": "table",
    "data_dir": "rated/ratings.csv",
    "corpus_options": {
        "label_range": [0, 100],
        "speaker_column": "who",
        "emotion_column": "feeling",
        "split_column": "part",
    },
}
BY_WORD = {
    "label_range": [1, 7],
    "audio_column": "wav",
    "corpus_column": "of",
    "language_column": "in",
    "speaker_column": "who",
    "emotion_column": "feeling",
    "ratings": "emotion",
}
WORDS_ENTRY = {"corpus": "table", "data_dir": "words/clips.csv", "corpus_options": BY_WORD}
BOTH = {"rated": RATED_ENTRY, "words": WORDS_ENTRY}


def write_table(path, header, rows):
    """A CSV file, and beside it noise for each row."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    for row in rows:
        name = row.split(",")[0]
        noise = np.random.default_rng(list(name.encode())).uniform(-0.5, 0.5, 3200)
        soundfile.write(path.parent / name, noise, 16000)
    return path


@pytest.fixture
def folder(tmp_path):
    """Two tables: one that people rated, one by word that holds x (three speakers), y (two) and z (one)."""
    write_table(tmp_path / "rated" / "ratings.csv", RATED, RATED_ROWS)
    write_table(tmp_path / "words" / "clips.csv", WORDS, WORD_ROWS)
    return tmp_path


@pytest.fixture
def load(folder):
    """Loads corpora by their entries."""
    defaults = {name: value for group in RUN_ARGUMENTS for name, value in vars(group()).items()}

    def make(corpora=BOTH, **settings):
        given = {"systems": {"mfb": {"role": "baseline"}}, "corpora": corpora, "data_dir": [str(folder)], **settings}
        return load_run_corpus(run_settings(defaults | given), folder / "cache")

    return make


def rows_of(corpus):
    """File -> row, of all splits."""
    return {row["file"]: {**row, "split": split} for split, rows in corpus.splits.items() for row in rows}


def labels_of(corpus, file):
    row = rows_of(corpus)[file]
    return [row["activation"], row["valence"], row["dominance"]]


def changed(entry, **options):
    return {**entry, "corpus_options": {**entry["corpus_options"], **options}}


def test_labels_are_moved_to_the_range_of_the_first_corpus_or_of_the_run(load):
    corpus, origins = load()
    assert corpus.label_range == (0, 100)
    assert labels_of(corpus, "rated/a.wav") == [0, 50, None] and labels_of(corpus, "rated/b.wav") == [100, None, None]
    # anger is .59 -.51 .25: 1 + 6 * 1.59 / 2 = 5.77 of 1..7, 79.5 of 0..100
    assert labels_of(corpus, "x/x10.wav") == pytest.approx([79.5, 24.5, 62.5], abs=1e-12)
    assert [origin.label_range for origin in origins.values()] == [(0, 100)] + [(1, 7)] * 3
    corpus, _ = load(label_range=[-1, 1])
    assert labels_of(corpus, "rated/c.wav") == [-0.5, 0.5, None]
    assert labels_of(corpus, "x/x11.wav") == pytest.approx([-0.46, 0.68, 0.2], abs=1e-12)  # calm
    corpus, _ = load({"words": WORDS_ENTRY, "rated": RATED_ENTRY})
    assert corpus.label_range == (1, 7) and labels_of(corpus, "rated/c.wav") == [2.5, 5.5, None]
    assert labels_of(corpus, "y/y1.wav") == pytest.approx([4 - 3 * 0.62, 4 - 3 * 0.65, 4 - 3 * 0.33], abs=1e-12)


def test_names_tell_corpora_apart_and_each_clip_knows_its_origin(load):
    corpus, origins = load({"rated": {**RATED_ENTRY, "language": "de"}, "words": {**WORDS_ENTRY, "language": "fr"}})
    assert list(origins) == ["rated", "x", "y", "z"] and corpus.name == "rated, x, y, z"
    rows = rows_of(corpus)
    known = {
        file: tuple(row[name] for name in ("speaker", "corpus", "language", "rating_scale", "split"))
        for file, row in rows.items()
        if file[:2] not in ("x/", "y/")
    }
    assert known == {
        "rated/a.wav": ("rated/1", "rated", "de", "rated", "train"),
        "rated/b.wav": ("rated/2", "rated", "de", "rated", "development"),
        "rated/c.wav": ("Unknown", "rated", "de", "rated", "test1"),
        "z/z1.wav": ("z/1", "z", "pl", "word", "train"),
    }
    assert {rows[file]["language"] for file in rows if file[0] == "y"} == {"fr"}
    for split, part in corpus.splits.items():
        table = clip_table(part, part["file"][:])
        assert [name.split("/")[0] for name in table.files] == table.corpora
        assert table.rating_scales == ["rated" if name == "rated" else "word" for name in table.corpora], split
    check_disjoint(corpus)


def test_splits_are_dealt_out_within_each_corpus(load):
    counts = Counter((row["corpus"], row["split"]) for row in rows_of(load()[0]).values())
    assert counts == {
        **{("x", split): 2 for split in ("train", "development", "test1")},
        ("y", "train"): 1,
        ("y", "test1"): 1,
        ("z", "train"): 1,
        **{("rated", split): 1 for split in ("train", "development", "test1")},
    }


def test_a_class_that_means_something_else_in_a_corpus(load):
    corpus, _ = load(
        {"rated": {**RATED_ENTRY, "emotions": {"O": "B"}}, "words": {**WORDS_ENTRY, "emotions": {"O": "K"}}}
    )
    assert [rows_of(corpus)[f"rated/{name}.wav"]["emotion"] for name in "abc"] == ["H", "B", None]
    assert labels_of(corpus, "rated/b.wav") == [100, None, None]  # what listeners said stays
    # z2, whose word said nothing, has the ratings of calm
    assert labels_of(corpus, "z/z2.wav") == pytest.approx([27, 84, 60], abs=1e-12)
    assert "z/z3.wav" not in rows_of(corpus)  # contempt has no ratings


def test_grades_are_moved_and_their_classes_renamed(load, make_release, folder):
    make_release("1.6")
    entry = {"corpus": "msp_podcast", "data_dir": "release", "emotions": {"O": "B"}}
    corpus, _ = load({"msp": entry}, label_range=[0, 3])
    row = rows_of(corpus)["msp/MSP-PODCAST_0001_0008.wav"]
    first, second = row["graders"]
    assert [first[d] for d in ("activation", "valence", "dominance")] == [0, 1.5, 0]
    assert [second[d] for d in ("activation", "valence", "dominance")] == pytest.approx([1.2, 1.5, 1.6])
    assert [first["emotion"], second["emotion"]] == ["Neutral", "boredom"]
    assert clip_table(corpus.splits["test1"], ["0"]).votes == [("N", "B")]
    assert row["activation"] == pytest.approx(0.6) and row["audio"]["path"].endswith("_0001_0008.wav")


def test_segments_beside_whole_files(load, folder):
    header, path = RATED + ",start,end", folder / "rated" / "ratings.csv"
    write_table(path, header, [f"{RATED_ROWS[0]},0.05,0.2", *(f"{row},," for row in RATED_ROWS[1:])])
    rows = rows_of(load()[0])
    assert (rows["rated/a.wav#t=0.05"]["start"], rows["rated/a.wav#t=0.05"]["end"]) == (0.05, None)
    assert {(row["start"], row["end"]) for file, row in rows.items() if "#" not in file} == {(None, None)}


def test_one_table_of_several_corpora_needs_no_entries(load, folder):
    options = {"corpus": "table", "corpus_options": BY_WORD, "data_dir": [str(folder / "words" / "clips.csv")]}
    corpus, origins = load(None, **options, corpus_facts=FACTS, corpus_note="A note.")
    assert list(origins) == ["x", "y", "z"] and corpus.label_range == (1, 7)
    assert not any(origin.facts.rated for origin in origins.values()) and corpus.note.endswith("A note.")
    assert "Nobody rated these clips: labels are the mean ratings of the emotion's word" in corpus.note
    assert labels_of(corpus, "x/x10.wav") == pytest.approx([5.77, 2.47, 4.75], abs=1e-12)


def test_shares_and_facts_of_each_corpus(load):
    words = {**WORDS_ENTRY, "share": 1, "facts": FACTS}
    words["of"] = {"x": {"share": 3}, "z": {"facts": {"license": "theirs"}}}
    _, origins = load({"rated": {**RATED_ENTRY, "share": 0.5}, "words": words})
    assert shares_of(origins) == {"rated": 0.5, "x": 3, "y": 1, "z": 1}
    facts = {name: origin.facts for name, origin in origins.items()}
    assert facts["rated"] is None and [facts[name].license for name in "xyz"] == ["Ours", "Ours", "theirs"]
    assert facts["z"].labels == "Ours." and not facts["z"].rated
    assert shares_of(load()[1]) == {}
    _, origins = load({**BOTH, "words": {**WORDS_ENTRY, "of": {"y": {"share": 1}}}})
    with pytest.raises(CorpusError, match="y have a share and rated, x, z have none; give each corpus one, or none"):
        shares_of(origins)


def test_labels_that_nobody_gave_are_on_the_scale_of_words(load):
    corpus, _ = load({"rated": {**RATED_ENTRY, "facts": {**FACTS, "rated": False}}, "words": WORDS_ENTRY})
    assert {row["rating_scale"] for row in rows_of(corpus).values()} == {"word"}


@pytest.mark.parametrize(
    ("corpora", "message"),
    [
        (
            {"words": {**WORDS_ENTRY, "of": {"w": {}}}},
            "corpora.words.of has an unknown corpus 'w'.*allowed are x, y, z",
        ),
        ({"x": RATED_ENTRY, "words": WORDS_ENTRY}, "two corpora are named x; give each a name of its own"),
        (
            {"rated": changed(RATED_ENTRY, split_column=None), "words": WORDS_ENTRY},
            "who is empty; splits by speaker need each speaker",
        ),
        ({"words": WORDS_ENTRY, "rated": changed(RATED_ENTRY, on_err="skip")}, "unknown option 'on_err'"),
        (
            {"words": changed(WORDS_ENTRY, ratings="word")},
            "ratings is 'word', .*allowed are 'columns' with",
        ),
        (
            {"words": changed(WORDS_ENTRY, emotion_column=None)},
            "ratings is 'emotion', .*and 'emotion' with",
        ),
        ({"words": changed(WORDS_ENTRY, corpus_column="feeling", ratings="columns")}, "has no column of ratings"),
        ({"words": changed(WORDS_ENTRY, corpus_column="wav")}, "row 2: wav is 'x10.wav'; allowed are letters, digits"),
        ({"words": changed(WORDS_ENTRY, language_column="wav")}, "row 2: wav is 'x10.wav'; allowed are ISO 639 codes"),
    ],
)
def test_corpora_that_cannot_be_joined(load, corpora, message):
    with pytest.raises(ValueError, match=message):
        load(corpora)


def test_a_corpus_without_clips_to_train_on(load, folder):
    write_table(folder / "rated" / "ratings.csv", RATED, [row.replace("train", "test") for row in RATED_ROWS])
    with pytest.raises(CorpusError, match="rated has no labelled clips in split 'train'; leave it out, or"):
        load()


def test_nothing_to_develop_on(load, folder):
    write_table(folder / "words" / "clips.csv", WORDS, WORD_ROWS[6:])
    with pytest.raises(ValueError, match="y, z has no labelled clips in split 'development'; .*where there are three"):
        load({"words": WORDS_ENTRY})


def test_the_same_audio_in_two_corpora(load, folder):
    (folder / "words" / "z1.wav").write_bytes((folder / "rated" / "a.wav").read_bytes())  # both train
    with pytest.raises(ValueError, match="more than one split or corpus: train/rated/a.wav = train/z/z1.wav"):
        check_disjoint(load()[0])


@pytest.mark.skipif(not (REAL / "voices").is_dir(), reason="no real speech at ../shared/corpora")
def test_real_speech_of_the_recipe(tmp_path):
    """Every clip of six corpora; two whose labels were worked out by hand."""
    run, _ = parse_arguments(["--recipe", "voices", "--data_dir", str(REAL), "--unlabelled_dir", str(tmp_path)])
    corpus, origins = load_run_corpus(run, Path("nowhere"))
    rows = rows_of(corpus)
    counts = Counter(row["corpus"] for row in rows.values())
    assert counts == {"emodb": 535, "casia": 600, "emovo": 588, "nemo": 1488, "ravdess": 1440, "tess": 349}
    languages = {(row["corpus"], row["language"]) for row in rows.values()}
    assert dict(languages) == dict(emodb="de", casia="zh", emovo="it", nemo="pl", ravdess="en", tess="en")
    assert Counter(row["emotion"] for row in rows.values() if row["corpus"] == "emodb")["B"] == 81
    assert {row["emotion"] for row in rows.values()} == set("AHSNUFDBK")
    assert labels_of(corpus, "nemo/nemo/MP0_sadness_003.ogg") == pytest.approx([3.19, 2.11, 3.01])
    with open(REAL / "emodb-rated" / "Labels" / "labels_consensus.csv", newline="") as file:
        first = next(csv.DictReader(file))
    given = [float(first[name]) for name in ("EmoAct", "EmoVal", "EmoDom")]
    assert labels_of(corpus, f"emodb/{first['FileName']}") == given
    assert {origin.facts.license for origin in origins.values()} >= {
        "cc-by-nc-sa-4.0",
        "cc-by-nc-nd-4.0",
        "none stated",
    }


def test_ratings_of_a_word_in_a_table_alone(folder):
    options = {**BY_WORD, "corpus_column": None, "language_column": None, "speaker_column": "of"}
    rows = rows_of(load_table_corpus(folder / "words" / "clips.csv", **options))
    first, other = rows["x10.wav"], rows["z2.wav"]
    assert [first[name] for name in ("corpus", "language", "rating_scale", "speaker")] == ["", None, "word", "x"]
    assert other["activation"] is other["valence"] is other["dominance"] is None and other["emotion"] == "O"
