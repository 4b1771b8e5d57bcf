"""The check of a run's arguments."""

from dataclasses import FrozenInstanceError

import pytest
import yaml

from speech_affect_training.settings.arguments import RUN_ARGUMENTS
from speech_affect_training.settings.augmentation import AugmentationSettings
from speech_affect_training.settings.conditions import Condition
from speech_affect_training.settings.run_settings import run_settings


DEFAULTS = {name: value for group in RUN_ARGUMENTS for name, value in vars(group()).items()}


def check(text: str):
    """The settings of a recipe's text over the defaults."""
    return run_settings(DEFAULTS | {"systems": {"a": {"role": "baseline"}}} | yaml.safe_load(text))


SETTINGS = """
systems: {mfb: {role: baseline}, other: {role: student, augmented: true}}
augmentation_copies: 2
augmentation: {join_probability: 0.0, speed_range: [0.9, 1.1]}
conditions: {systems: [mfb], white_db: [20, -5], room_s: [0.5]}
"""


def test_settings_are_read_and_names_resolved():
    run = check(SETTINGS)
    assert run.corpus == "demo" and check("data_dir: [x]").corpus == "msp_podcast"
    assert check("data_dir: [you/ratings]\ncorpus_options: {label_range: [1, 5]}").corpus == "table"
    assert run.augmentation == AugmentationSettings(join_probability=0.0, speed_range=(0.9, 1.1))
    assert run.conditions == [Condition("white", 20.0), Condition("white", -5.0), Condition("room", 0.5)]
    assert run.degraded_systems == ["mfb"] and run.cross_validated == ["mfb", "other"]
    assert check(SETTINGS + "cross_validated: [other]").cross_validated == ["other"]
    with pytest.raises(FrozenInstanceError):
        run.folds = 3


def test_a_run_with_several_corpora():
    run = check("corpora: {a: {corpus: demo}, b: {corpus: demo, share: 2}}\nlabel_range: [0, 1]\nleave_out: [a]")
    assert run.corpus is run.corpus_facts is None and list(run.corpora) == ["a", "b"]
    assert run.label_range == (0, 1) and run.leave_out == ["a"] and run.corpora_shares == {}
    assert check('corpora: \'{"a": {"corpus": "demo"}}\'').corpora["a"].facts_of("a").license == "apache-2.0"
    assert check("corpora: '{}'").corpus == "demo"


def test_nobody_rated_what_is_labelled_by_word():
    text = "corpus: table\ndata_dir: [x]\ncorpus_facts: {labels: a, license: b, terms: c}\n"
    assert check(text).corpus_facts.rated
    assert not check(text + "corpus_options: {ratings: emotion}").corpus_facts.rated


def test_systems_that_are_left_out_are_neither_degraded_nor_cross_validated():
    run = check(SETTINGS + "cross_validated: [mfb]\nonly: [other]")
    assert list(run.systems) == ["other"] and run.degraded_systems == run.cross_validated == []


@pytest.mark.parametrize(
    "text, message",
    [
        ("corpus: table", "corpus table needs --data_dir"),
        (
            "corpus: demo\ndata_dir: [here]",
            "corpus demo is generated and does not read data_dir 'here'; leave out",
        ),
        ("corpora: {a: {corpus: demo}}\ncorpus: demo", "corpus is of a run with one corpus; leave it out, or corpora"),
        ("corpora: {a: {corpus: demo}}\ncorpus_options: {seed: 1}", "corpus_options is of a run with one corpus"),
        (
            "corpora: {a: {corpus: demo}}\nprobe: [b]",
            "probe is of encoders on one corpus; leave it out in a run with sev",
        ),
        (
            "corpora: {a: {corpus: demo}}\nlabel_range: [7, 1]",
            r"label_range is \[7, 1\]; give two numbers, the lower first",
        ),
        ("corpora: {a: {corpus: demo}}\nlabel_range: [1]", r"label_range is \[1\]; give two numbers"),
        ("label_range: [1, 7]", r"label_range is \[1, 7\]; give two numbers, the lower first, in a run with corpora"),
        ("corpora: [demo]", "corpora must be a mapping, not .'demo'."),
        ("seeds: [1, 1]", "seeds are .1, 1.; give at least one, each once"),
        ("seeds: [-1]", "seeds has -1; give whole numbers from 0 to 4294967295"),
        ("folds: 2", "folds is 2; give 3 or more"),
        ("hold_out_tests: false", "hold_out_tests is False and there are no folds"),
        ("job_workers: 0", "job_workers is 0; give 1 or more"),
        ("augmentation_copies: -1", "augmentation_copies is -1; give 0 or more"),
        ("head: {embeding_size: 3}", "head has an unknown key 'embeding_size'; did you mean 'embedding_size'.; allow"),
        ("head: {conv_channels: 1.5}", "system 'a': conv_channels is 1.5; give a whole number from 1 to 8192"),
        ("cross_validated: [b]", "cross_validated names 'b'; the recipe has a"),
        ("probe: [whisper]", "probe names 'whisper'; the recipe's encoders are none"),
        ("conditions: {systems: [b], white_db: [1]}", "conditions names 'b'; the recipe has a"),
        ("conditions: {systems: [a], white_db: 10}", "conditions has white_db: 10; give a list of numbers"),
        ("conditions: {systems: [a], room_s: []}", "give systems and what they are tested under: .systems: .mfb"),
        ("conditions: {systems: [a]}", "give systems and what they are tested under"),
        ("conditions: {systems: [a], room_s: [60]}", "value of a room is 60.0; 0.01 to 10 s are allowed"),
        ("systems: {a: {role: student, augmented: true}}", "'a' is augmented, but augmentation_copies is 0; give"),
        ("unlabelled_share: 1.0", "unlabelled_share is 1; give a number between 0 and 1, such as 0.3"),
        ("unlabelled_share: 0.0", "unlabelled_share is 0; give"),
        (
            "systems: {a: {role: teacher}, b: {role: student, teacher: a, unlabelled: true}}",
            "system 'b' trains on unlabelled audio; give --unlabelled_dir",
        ),
        ("teacher_device: gpu", "teacher_device is 'gpu'; give one such as cuda:1 or cpu"),
        ("unlabelled_stream: [a]", "unlabelled_stream needs unlabelled_share, its share in each batch, such as 0.5"),
        ("unlabelled_stream: [a]\nunlabelled_dir: [b]", "unlabelled_dir and unlabelled_stream are both given; leave"),
        (
            "unlabelled_stream: [a]\nunlabelled_share: 0.5\nencoders: {w: {id: w}}\n"
            "systems: {b: {role: student, pretraining: {source: w, unlabelled: true}}}",
            "system 'b' trains on unlabelled audio; give --unlabelled_dir$",
        ),
        (
            "encoders: {w: {id: w}}\nsystems: {b: {role: student, pretraining: {source: w, unlabelled: true}}}",
            "system 'b' trains on unlabelled audio; give --unlabelled_dir",
        ),
    ],
)
def test_settings_that_are_not_allowed(text, message):
    with pytest.raises(ValueError, match=message):
        check(text)


PEER = "{role: checkpoint, id: lab/model}"


def test_finished_models_beside_systems_and_alone():
    text = f"systems: {{a: {{role: baseline}}, peer: {PEER}}}\nconditions: {{systems: [a, peer], white_db: [5]}}\n"
    run = check(text)
    assert list(run.systems) == ["a"] and list(run.checkpoints) == ["peer"]
    assert run.cross_validated == run.degraded_systems == ["a", "peer"]
    assert list(check(text + "only: [a]").systems) == ["a"] and not check(text + "only: [a]").checkpoints
    only = check(text + "only: [peer]")
    assert not only.systems and only.cross_validated == only.degraded_systems == ["peer"]
    more = "evaluate: [you/first]\nprobe: [gone]\nunlabelled_dir: [x]\naugmentation_copies: 3\ncross_validated: [a]"
    run = check(text + more)
    assert not run.systems and list(run.checkpoints) == ["first", "peer"]
    assert sorted(run.cross_validated) == ["first", "peer"]
    assert run.degraded_systems == ["peer"] and run.probe == run.unlabelled_dir == []
    with pytest.raises(ValueError, match="only is of systems to train; leave it out with evaluate"):
        check(text + "evaluate: [you/first]\nonly: [peer]")
    with pytest.raises(ValueError, match="a student's teacher must be a system without one: none"):
        check(f"systems: {{peer: {PEER}, b: {{role: student, teacher: peer}}}}")


def test_corpora_by_their_paths(tmp_path):
    (tmp_path / "clips.csv").write_text("")
    run = check(f"data_dir: [{tmp_path}/release, {tmp_path}/clips.csv]\nlabel_range: [0, 1]")
    assert run.corpus is run.data_dir is None and run.label_range == (0, 1)
    assert {name: (entry.corpus, entry.data_dir) for name, entry in run.corpora.items()} == {
        "release": ("msp_podcast", f"{tmp_path}/release"),
        "clips": ("table", f"{tmp_path}/clips.csv"),
    }
    run = check("data_dir: [a, b]\ncorpus: table\ncorpus_options: {seed: 3}")
    assert [(entry.corpus, entry.corpus_options) for entry in run.corpora.values()] == [("table", {"seed": 3})] * 2
    with pytest.raises(ValueError, match="and corpora names corpora within one; leave out one of the two"):
        check("data_dir: [a, b]\ncorpora: {c: {corpus: demo}}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train_on: [a]\nfolds: 5", "train_on and test_on are the splits of a run; leave out folds, leave_out and h"),
        ("train_on: [a]\ntest_on: [b, a]", "a is in train_on and in test_on; give each corpus once"),
        ("test_on: [all]", "test_on is all, and nothing is left to train on; name corpora, or give --evaluate"),
    ],
)
def test_corpora_to_train_and_to_test_on(text, message):
    with pytest.raises(ValueError, match=message):
        check(f"data_dir: [a, b]\n{text}")
    assert check("data_dir: [a, b]\nevaluate: [x/y]\ntest_on: [all]").test_on == ["all"]
