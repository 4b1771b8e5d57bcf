"""What results say about their corpora."""

import numpy as np
import pytest

from speech_affect_training.corpora.several import Origin
from speech_affect_training.jobs.data_splits import make_data_splits
from speech_affect_training.jobs.provenance import describe_corpus, describe_environment
from speech_affect_training.settings.augmentation import AugmentationSettings
from speech_affect_training.settings.corpus_facts import CorpusFacts


RATED = CorpusFacts("Rated.", "own", "Ask.", word_labelled=["dominance"], language="de", citation="@a{}")
BY_WORD = CorpusFacts("By word.", "cc0", "Ask.", rated=False, language="pl")


@pytest.fixture
def describe(make_corpus, of_corpora):
    """Describes clips of a (rated, without valence in one clip), b and c (by word)."""
    rows = {
        "train": [{"file": "a0", "valence": None}, {"file": "a1"}, {"file": "b0", "speaker": "2"}, {"file": "c0"}],
        "development": [{"file": "b1", "speaker": "3"}],
        "test1": [{"file": "a2", "speaker": "Unknown"}],
    }
    corpus = of_corpora(make_corpus(rows), lambda file: file[0], lambda file: "a" if file[0] == "a" else "word")

    def make(facts=None, **of):
        origins = {name: Origin((1, 9), f"note of {name}", share=2, facts=of.get(name)) for name in "abc"}
        (given,) = make_data_splits(corpus, None, 0, AugmentationSettings(), [])
        return describe_corpus(corpus, given.tables, facts, origins)

    return make


def test_each_of_several_corpora(describe):
    described = describe(a=RATED, b=BY_WORD)
    assert list(described["corpora"]) == ["a", "b", "c"]
    a, b, c = described["corpora"].values()
    assert a["splits"] == {
        "train": {"clips": 2, "speakers": 1, "rated": {"activation": 2, "valence": 1, "dominance": 2}},
        "test1": {"clips": 1, "speakers": 0, "rated": {"activation": 1, "valence": 1, "dominance": 1}},
    }
    assert list(b["splits"]) == ["train", "development"] and list(c["splits"]) == ["train"]
    assert (a["note"], a["label_range"], a["share"], a["languages"]) == ("note of a", [1, 9], 2, ["de"])
    assert a["facts"]["license"] == "own" and c["facts"] is None and c["languages"] == []
    everything = ["activation", "valence", "dominance"]
    assert [one["word_labelled"] for one in (a, b, c)] == [["dominance"], everything, everything]
    # what listeners rated of any corpus
    assert described["averaged"] == ["activation", "valence"] and described["word_labelled"] == ["dominance"]
    assert described["facts"] is None  # of c nothing is known
    assert described["splits"]["train"]["clips"] == 4


def test_facts_about_all_of_them(describe):
    joined = describe(a=RATED, b=BY_WORD, c=BY_WORD)["facts"]
    assert joined["license"] == "own and cc0" and joined["language"] == ["de", "pl"]
    assert joined["rated"] and joined["word_labelled"] == ["dominance"]
    own = CorpusFacts("All.", "ours", "Ask.", rated=False, weights_license="mit")
    facts = describe(own, a=RATED, b=BY_WORD, c=BY_WORD)["facts"]
    assert (facts["labels"], facts["license"], facts["weights_license"]) == ("All.", "ours", "mit")
    assert facts["rated"] and facts["language"] == ["de", "pl"] and facts["citation"] == "@a{}"


def test_nothing_that_listeners_rated(describe):
    described = describe(a=BY_WORD, b=BY_WORD, c=BY_WORD)
    assert described["averaged"] == ["activation", "valence", "dominance"] and described["word_labelled"] == []
    assert not described["facts"]["rated"]


def test_one_corpus_alone(make_corpus):
    corpus = make_corpus({"train": [{"file": "a", "valence": np.nan}, {"file": "b", "valence": np.nan}]})
    (given,) = make_data_splits(corpus, None, 0, AugmentationSettings(), [])
    described = describe_corpus(corpus, given.tables, RATED)
    assert described["corpora"] == {} and described["averaged"] == ["activation"]
    assert described["word_labelled"] == ["dominance"] and described["facts"]["citation"] == "@a{}"


def test_a_command_without_the_folders_of_a_machine(tmp_path):
    given = ["--recipe", "/anna/own.yaml", "--data_dir=/data/a b", "--unlabelled_dir", "/x", "--seeds", "0", "1"]
    command = describe_environment(1, [*given, "--head", "{a: 1}"])["command"]
    assert command == "--recipe own.yaml --data_dir FOLDER --unlabelled_dir AUDIO --seeds 0 1 --head '{a: 1}'"
    (tmp_path / "student").mkdir()
    given = ["--data_dir", "/a", "/b", "--evaluate", str(tmp_path / "student"), "lab/peer", "--test_on", "b"]
    command = describe_environment(1, given)["command"]
    assert command == "--data_dir FOLDER FOLDER --evaluate student lab/peer --test_on b"
    command = describe_environment(1, ["--unlabelled_stream", "/anna/*.tar", "hub:you/set/train"])["command"]
    assert command == "--unlabelled_stream AUDIO hub:you/set/train"
