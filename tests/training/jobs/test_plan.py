"""The jobs of a run and the frames they read: every one that is needed, and no other."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from transformers import BertConfig, BertModel

from speech_affect_training.corpora.stream_sources import open_sources
from speech_affect_training.corpora.unlabelled import unlabelled_pieces
from speech_affect_training.encoders.library import EncoderLibrary
from speech_affect_training.frames.frame_cache import FrameCache
from speech_affect_training.frames.frame_shards import ShardReader
from speech_affect_training.jobs import plan
from speech_affect_training.jobs.data_splits import TRAIN, make_data_splits
from speech_affect_training.jobs.plan import (
    leave_out_unreachable,
    make_jobs,
    prepare_frames,
    systems_of,
    training_shares,
)
from speech_affect_training.settings.recipe import parse_arguments


WHISPER = {"source": "whisper", "hidden_state": 1}
SYSTEMS = {
    "mfb": {"role": "baseline"},
    "teacher_a": {"role": "teacher", "branches": ["mfb", WHISPER]},
    "teacher_b": {"role": "single", "branches": [{"source": "whisper", "hidden_state": 2}]},
    "pitch": {"role": "single", "branches": ["mfb_f0"]},
    "pupil": {
        "role": "student",
        "teacher": ["teacher_a", "teacher_b"],
        "augmented": True,
        "unlabelled": True,
        "pretraining": {"source": "whisper", "hidden_state": 3},
    },
    "listener": {"role": "student", "pretraining": {"source": "whisper", "hidden_state": 0, "unlabelled": True}},
}
SETTINGS = {
    "systems": SYSTEMS,
    "conditions": {"systems": ["mfb", "pitch"], "white_db": [10], "room_s": [0.3]},
    "augmentation_copies": 1,
    "seeds": [0, 3],
    "job_workers": 1,
    "early_stopping_patience": 0,
}


@pytest.fixture
def parse(tiny_encoder, tmp_path):
    """Writes a recipe, the one above with some settings replaced, and parses it."""

    def make(*argv: str, **settings):
        path = tmp_path / "plan.yaml"
        whole = {"encoders": {"whisper": {"id": str(tiny_encoder)}}, "unlabelled_dir": [str(tmp_path / "audio")]}
        path.write_text(yaml.safe_dump({**whole, **SETTINGS, **settings}, sort_keys=False))
        return parse_arguments(["--recipe", str(path), "--output_dir", str(tmp_path / "out"), *argv])

    return make


@pytest.fixture
def corpus(make_corpus):
    people = {"train": "abb", "development": "c", "test1": "dd", "test2": "e"}
    return make_corpus(
        {
            split: [{"file": f"{split}{i}", "speaker": who, "emotion": "AHX"[i]} for i, who in enumerate(speakers)]
            for split, speakers in people.items()
        }
    )


def encoders_of(run) -> EncoderLibrary:
    return EncoderLibrary(run.encoders, [b for spec in run.systems.values() for b in spec.cached_branches], None)


def plan_of(run, training, corpus, pieces=(), library=None, caches=None):
    """Per data splits and system the jobs."""
    all_splits = make_data_splits(corpus, run.folds, run.augmentation_copies, run.augmentation, run.conditions)
    library = library or encoders_of(run)
    names = {"mfb", "mfb_f0", *(f"whisper-{state}" for state in range(4))}
    caches = caches or {name: FrameCache(Path("nowhere"), name, {}, "float32") for name in names}
    return {d.name: make_jobs(run, training, d, pieces, caches, library, corpus.label_range) for d in all_splits}


def test_systems_of_folds(parse, corpus):
    def names(*argv, **settings):
        run, _ = parse("--folds", "3", *argv, **settings)
        given, fold, *_ = make_data_splits(corpus, 3, 0, run.augmentation, [])
        return list(systems_of(run, given)), list(systems_of(run, fold))

    everything = ["mfb", "teacher_a", "teacher_b", "pitch", "listener", "pupil"]
    assert names() == (everything, everything)
    assert names(cross_validated=["mfb"]) == (everything, ["mfb"])
    # teachers come with their student
    assert names(cross_validated=["pupil"]) == (everything, ["teacher_a", "teacher_b", "pupil"])
    # none of the systems to be cross-validated is run: that is not all of them
    assert names("--only", "pitch", cross_validated=["mfb"]) == (["pitch"], [])


def test_optional_systems_without_their_encoder_are_left_out(parse, tmp_path, monkeypatch, caplog):
    def resolve(name, **kwargs):
        if name == "far/away":
            raise OSError("far/away is not there")

    monkeypatch.setattr(plan, "resolve_encoder", resolve)
    systems = {name: dict(spec) for name, spec in SYSTEMS.items()}
    systems["teacher_b"]["branches"] = ["mfb", {"source": "lost"}]
    encoders = {"whisper": {"id": str(tmp_path)}, "lost": {"id": "far/away"}}
    settings = {"encoders": encoders, "cross_validated": ["mfb", "pupil"]}
    conditions = {"systems": ["teacher_b", "pitch"], "white_db": [10]}
    systems["teacher_b"]["optional"] = True
    systems["listener"] |= {"optional": True, "pretraining": {"source": "lost"}}
    run, _ = parse("--folds", "3", systems=systems, conditions=conditions, **settings)
    run = leave_out_unreachable(run, tmp_path)
    assert list(run.systems) == ["mfb", "teacher_a", "pitch"]
    assert run.cross_validated == ["mfb"] and run.degraded_systems == ["pitch"]
    for name in ("teacher_b", "listener"):
        assert f"system {name} is left out: far/away is not there" in caplog.text
    assert "system pupil is left out with teacher_b, which it needs" in caplog.text


def test_jobs_by_data_split_system_and_seed(parse, corpus, tmp_path):
    run, training = parse("--folds", "3", cross_validated=["mfb", "pupil"])
    jobs = plan_of(run, training, corpus)
    assert list(jobs) == ["", "fold0", "fold1", "fold2"]
    folders = [job.folder.relative_to(tmp_path / "out" / "jobs") for job in jobs[""]["mfb"]]
    assert folders == [Path("mfb/seed0"), Path("mfb/seed3")]
    assert [job.label for job in jobs["fold1"]["pupil"]] == ["pupil/fold1/seed0", "pupil/fold1/seed3"]
    for systems in jobs.values():
        for index, job in enumerate(systems["pupil"]):
            assert job.seed == [0, 3][index] and job.patience is None
            assert job.teachers == [systems["teacher_a"][index], systems["teacher_b"][index]]


def test_tables_of_a_job(parse, corpus):
    run, training = parse("--folds", "3")
    jobs = plan_of(run, training, corpus)
    tables = {name: list(map(str, systems[0].tables)) for name, systems in jobs[""].items()}
    splits = ["train", "development", "test1", "test2"]
    conditions = ["test1@white_10db", "test1@room_0.3s", "test2@white_10db", "test2@room_0.3s"]
    assert tables["mfb"] == tables["pitch"] == [*splits, *conditions] and tables["pupil"] == splits
    assert list(map(str, jobs["fold2"]["mfb"][0].tables)) == ["train", "development", "test1"]
    assert len(jobs[""]["mfb"][0].tables[TRAIN]) == 3
    assert len(jobs[""]["pupil"][0].tables[TRAIN]) == 6
    assert jobs[""]["mfb"][0].fingerprint != jobs["fold0"]["mfb"][0].fingerprint


def test_every_frame_a_job_reads_is_made_and_no_other(parse, corpus, write_clip, tmp_path):
    for name in ("u0", "u1"):
        write_clip(name, 0.5)
    run, training = parse("--folds", "3", cross_validated=["pupil"])
    pieces = unlabelled_pieces(run.unlabelled_dir)
    all_splits = make_data_splits(corpus, run.folds, run.augmentation_copies, run.augmentation, run.conditions)
    library = encoders_of(run)
    caches = prepare_frames(run, all_splits, pieces, library, tmp_path / "frames")
    assert set(caches) == {"mfb", "mfb_f0", *(f"whisper-{state}" for state in range(4))}
    jobs = plan_of(run, training, corpus, pieces, library, caches)
    read = set()
    for job in [job for systems in jobs.values() for system in systems.values() for job in system]:
        read |= {
            (cache.folder, f) for cache in job.caches.values() for t in job.tables.values() for f in t.fingerprints
        }
        if job.frame_targets:
            predicted = [*job.caches.values(), job.frame_targets.cache]
            read |= {(cache.folder, f) for cache in predicted for f in job.frame_targets.table.fingerprints}
        for teacher in job.teachers:
            read |= {(cache.folder, f) for cache in teacher.caches.values() for f in job.tables[TRAIN].fingerprints}
    assert {cache.folder for cache in caches.values()} == set((tmp_path / "frames").iterdir())
    made = {name: ShardReader(cache.folder, cache.dtype) for name, cache in caches.items()}
    for reader in made.values():
        reader.refresh()
    assert {(reader.folder, f) for reader in made.values() for f in reader.entries} == read
    # 7 clips, 7 copies and 2 unlabelled pieces for the student and its teachers; 3 test clips under 2 conditions
    # what is predicted: of training clips alone, all 7 in some fold, 3 in the given splits
    counts = {name: len(reader.entries) for name, reader in made.items()}
    inputs = {"mfb": 7 + 7 + 2 + 6, "mfb_f0": 7 + 6, "whisper-1": 7 + 7 + 2, "whisper-2": 7 + 7 + 2}
    assert counts == {**inputs, "whisper-3": 7 + 7, "whisper-0": 3 + 2}


def test_frames_are_predicted_of_training_clips_and_unlabelled_audio(parse, corpus, write_clip, tmp_path):
    """Nothing but the audio is known of them, and none is a clip to develop or test on."""
    for name in ("u0", "train0", "development0", "test10"):
        write_clip(name, 0.6)
    run, training = parse()
    pieces = unlabelled_pieces([tmp_path / "audio"])  # these four
    (jobs,) = plan_of(run, training, corpus, pieces).values()
    pupil, listener, plain = (jobs[name][0] for name in ("pupil", "listener", "mfb"))
    assert plain.frame_targets is None
    assert pupil.frame_targets.cache.branch == "whisper-3" and pupil.frame_targets.per_output == 4
    train = plain.tables[TRAIN].fingerprints
    own = pupil.frame_targets.table.fingerprints
    assert own[:3] == train and len(own) == 6  # with their copies
    heard = listener.frame_targets.table
    others = {fingerprint for table in list(plain.tables.values())[1:] for fingerprint in table.fingerprints}
    assert heard.fingerprints[:3] == train and len(heard) == 3 + 2 and others.isdisjoint(heard.fingerprints)
    assert np.isnan(heard.labels).all() and set(heard.emotions) == {None}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"branches": [{"source": "mfb", "conv_stride": 3}]}, "spans 480 samples, which is no multiple of the 320 of"),
        (
            {"pretraining": {"source": "whisper", "hidden_state": 4}},
            "pretraining of system 'listener': .*hidden_state",
        ),
        ({"pretraining": {"source": "text"}}, "'listener' has source 'text', which reads text; name an encoder of sp"),
    ],
)
def test_frames_that_cannot_be_predicted(parse, corpus, tiny_encoder, tmp_path, changes, message):
    """Refused before any frame is made."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9}
    BertModel(BertConfig(**sizes)).save_pretrained(tmp_path / "text")
    encoders = {"whisper": {"id": str(tiny_encoder)}, "text": {"id": str(tmp_path / "text")}}
    run, _ = parse(systems={"listener": {**SYSTEMS["listener"], **changes}}, encoders=encoders, conditions={})
    all_splits = make_data_splits(corpus, None, 0, run.augmentation, [])
    with pytest.raises(ValueError, match=message):
        prepare_frames(run, all_splits, [], encoders_of(run), tmp_path / "frames")
    assert not (tmp_path / "frames").exists()


def test_a_teacher_that_reads_text_hears_no_stream(parse, corpus, tmp_path):
    BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)).save_pretrained(tmp_path / "text")
    pupil = {"role": "student", "teacher": "reader", "unlabelled": True}
    systems = {"reader": {"role": "teacher", "branches": ["mfb", {"source": "text"}]}, "pupil": pupil}
    settings = {"unlabelled_dir": [], "unlabelled_stream": [str(tmp_path)], "unlabelled_share": 0.5, "conditions": {}}
    run, _ = parse(systems=systems, encoders={"text": {"id": str(tmp_path / "text")}}, **settings)
    splits = make_data_splits(corpus, None, 0, run.augmentation, [])
    with pytest.raises(ValueError, match="'pupil' hears unlabelled_stream, which has no transcripts, and a teacher"):
        prepare_frames(run, splits, [], encoders_of(run), tmp_path / "frames")


@pytest.mark.parametrize(
    "task, classes",
    [
        ("agreed", ["anger", "happiness"]),
        ("all", ["anger", "happiness", "no agreement"]),
        # the votes of the first two clips, and the class of the third, which has none
        ("votes", ["anger", "fear", "other", "no agreement"]),
    ],
)
def test_emotion_classes_are_those_that_are_learnt(parse, make_corpus, task, classes):
    votes = [["Angry", "Fear"], ["Other-Curious"], []]
    rows = [
        {"file": f"{i}", "emotion": "AHX"[i], "graders": [{**GRADE, "emotion": word} for word in words]}
        for i, words in enumerate(votes)
    ]
    corpus = make_corpus({"train": rows, "development": [{"file": "d", "speaker": "2", "emotion": "S"}]})
    systems = {"mfb": {"role": "baseline", "emotions": task}}
    run, training = parse(systems=systems, conditions={})
    jobs = plan_of(run, training, corpus)
    (job, _) = jobs[""]["mfb"]
    assert job.config.emotion_names == classes
    assert len(job.emotion_codes) == len(classes)


def test_dimensions_are_those_that_a_system_or_its_teacher_learns(parse, corpus, of_corpora, tmp_path):
    corpus = of_corpora(corpus, lambda file: "x")
    pupil = {"role": "student", "teacher": "half", "labels": {"x": ["dominance"]}}
    systems = {
        "half": {"role": "teacher", "labels": {"x": ["valence", "emotion"]}},
        "pupil": pupil,
        "close": {**pupil, "distillation": {"output_weight": 0}},
    }
    run, training = parse(systems=systems, conditions={})
    jobs = {name: job for name, (job, _) in plan_of(run, training, corpus)[""].items()}
    outputs = {name: list(job.config.id2label.values()) for name, job in jobs.items()}
    assert outputs == {"half": ["valence"], "pupil": ["valence", "dominance"], "close": ["dominance"]}
    assert np.isnan(jobs["pupil"].tables[TRAIN].labels).all(axis=0).tolist() == [True, True, False]
    assert (
        "labels" in jobs["half"].settings()["system"]
        and "fill" not in jobs["pupil"].settings()["system"]["distillation"]
    )
    run, _ = parse(systems={"blind": {"role": "single", "labels": {"x": ["emotion"]}}}, conditions={})
    message = "no dimension that two training clips were rated in, of what system 'blind' learns"
    with pytest.raises(ValueError, match=message):
        prepare_frames(run, make_data_splits(corpus, None, 0, run.augmentation, []), [], encoders_of(run), tmp_path)


GRADE = {"worker": "w", "activation": 1.0, "valence": 1.0, "dominance": 1.0, "emotion_secondary": None}


def test_shares_of_corpora_and_of_unlabelled_speech(make_table):
    table = make_table(10, corpora=["a"] * 4 + ["b"] * 2 + ["unlabelled"] * 4)
    labelled = table.take(range(6))
    assert training_shares(table, {}) == training_shares(labelled, {}, 0.3) == {}
    given = {"a": 1.0, "b": 3.0, "left_out": 9.0}
    assert training_shares(labelled, given, 0.3) == {"a": 0.25, "b": 0.75}
    for shares, expected in (
        (training_shares(table, given), {"a": 0.15, "b": 0.45, "unlabelled": 0.4}),
        (training_shares(table, given, 0.2), {"a": 0.2, "b": 0.6, "unlabelled": 0.2}),
        (training_shares(table, {}, 0.1), {"a": 0.6, "b": 0.3, "unlabelled": 0.1}),
        (training_shares(make_table(3, corpora=["", "", "unlabelled"]), {}, 0.25), {"": 0.75, "unlabelled": 0.25}),
    ):
        assert shares == pytest.approx(expected)


def test_students_hear_a_stream_that_leaves_out_what_is_tested_on(parse, corpus, tmp_path, write_clip):
    """Nothing of it is cached, and of systems without `unlabelled` nothing changes."""
    write_clip("spoken", 0.6)
    settings = {"unlabelled_dir": [], "unlabelled_stream": [str(tmp_path / "audio")], "unlabelled_share": 0.5}
    systems = {name: spec for name, spec in SYSTEMS.items() if name != "listener"}
    run, training = parse("--teacher_dtype", "bfloat16", systems=systems, **settings)
    (splits, *_) = all_splits = make_data_splits(corpus, None, 1, run.augmentation, run.conditions)
    library, sources = encoders_of(run), open_sources(run.unlabelled_stream)
    caches = prepare_frames(run, all_splits, [], library, tmp_path / "frames")
    jobs = make_jobs(run, training, splits, [], caches, library, (1.0, 7.0), stream=sources)
    assert [name for name, (job, *_) in jobs.items() if job.stream] == ["pupil"]
    stream = jobs["pupil"][0].stream
    tested = {f for key, table in splits.tables.items() if key != TRAIN for f in table.fingerprints}
    assert stream.held_out == tested and (stream.share, stream.dtype, stream.batch_size) == (0.5, "bfloat16", 8)
    assert set(jobs["pupil"][0].tables[TRAIN].corpora) == {""} and jobs["pupil"][0].shares == {}


def test_unlabelled_speech_has_its_share(parse, corpus, tmp_path, write_clip):
    for name in "xyz":
        write_clip(name, 0.6)
    run, training = parse("--unlabelled_share", "0.2")
    pieces = unlabelled_pieces(run.unlabelled_dir)
    jobs = plan_of(run, training, corpus, pieces)[""]
    assert jobs["pupil"][0].shares == pytest.approx({"": 0.8, "unlabelled": 0.2}) and jobs["mfb"][0].shares == {}


def test_the_epoch_is_chosen_by_what_listeners_rated(parse, make_corpus):
    rows = [{"file": "a", "speaker": "1"}, {"file": "b", "speaker": "1", "valence": None}]
    held_out = [{"file": "c", "speaker": "2"}, {"file": "d", "speaker": "2"}]
    corpus = make_corpus({"train": rows, "development": held_out})
    run, training = parse(systems={"mfb": {"role": "baseline"}}, conditions={})
    (splits,) = make_data_splits(corpus, None, 0, run.augmentation, [])
    caches = {"mfb": FrameCache(Path("nowhere"), "mfb", {}, "float32")}

    def job(by_word):
        library = EncoderLibrary(run.encoders, [], None)
        return make_jobs(run, training, splits, [], caches, library, (1.0, 7.0), by_word)["mfb"][0]

    assert list(job(None).config.id2label.values()) == ["activation", "dominance"]  # one clip has valence to train on
    assert job(None).averaged == ["activation", "dominance"] and "averaged" not in job(None).settings()
    assert job({"": ["dominance"]}).averaged == job({"": ["dominance"]}).settings()["averaged"] == ["activation"]
    assert job({"": ["activation", "dominance"]}).averaged == ["activation", "dominance"]
