"""Rows of the table: their order, their checks, the configurations of their models."""

import pytest
import yaml

from speech_affect_training.settings.distillation import Distillation
from speech_affect_training.settings.systems import (
    build_config,
    check_config,
    check_encoders,
    system_specs,
)


def test_teachers_come_first_and_with_their_students():
    systems = {
        "one": {"role": "student", "teacher": "a", "distillation": {"embedding_weight": 0.0}},
        "two": {"role": "student", "teacher": ["b", "a"], "unlabelled": True},
        "a": {"role": "teacher", "branches": ["mfb"]},
        "b": {"role": "single"},
        "c": {"role": "baseline"},
    }
    specs = system_specs(systems, {}, ["one", "two"])
    assert list(specs) == ["a", "b", "one", "two"] and list(system_specs(systems, {}, ["one"])) == ["a", "one"]
    assert specs["one"].distillation == Distillation(1.0, 1.0, 0.0) and specs["two"].distillation == Distillation()
    assert specs["two"].teachers == ["b", "a"] and specs["a"].teachers == []


@pytest.mark.parametrize(
    "task, codes", [(None, []), ("agreed", ["A", "N"]), ("all", ["A", "N", "X"]), ("votes", ["A", "N", "X"])]
)
def test_classes_of_a_system(task, codes):
    specs = system_specs({"a": {"role": "baseline", "emotions": task}}, {}, None)
    assert specs["a"].emotion_codes(["N", "X", "A", "N", "not a code"]) == codes


def test_second_tasks_reach_the_model():
    settings = {"role": "student", "emotions": "agreed", "gender": True, "uncertainty": True}
    spec = system_specs({"a": {**settings, "config": {"gender_loss_weight": 0.3}}}, {}, None)["a"]
    config = build_config(spec, {}, {"embedding_size": 8}, (0, 1), ["A", "H", "X"], ["Male", "Unknown", "Female"])
    assert config.emotion_names == ["anger", "happiness"] and config.gender_names == ["Female", "Male"]
    assert config.predict_uncertainty and config.gender_loss_weight == 0.3 and config.embedding_size == 8
    plain = build_config(system_specs({"a": {"role": "student"}}, {}, None)["a"], {}, {}, (0, 1), ["A", "H"], ["Male"])
    assert plain.emotion_names is None and plain.gender_names is None and not plain.predict_uncertainty
    with pytest.raises(ValueError, match="'a': a second task needs two classes, but emotion_names .* are .'anger'."):
        build_config(spec, {}, {}, (0, 1), ["A", "X"], ["Male", "Female"])


SYSTEMS = {  # settings of system a -> message
    "": "system 'a' has role: None; give one of baseline, single, teacher, student",
    "rolle: baseline": "system 'a' has an unknown key 'rolle'; did you mean 'role'.; allowed are role, branches, .*",
    "role: baseline, gender: 'no'": "system 'a' has gender: 'no'; give true or false",
    "role: baseline, branches: mfb": "system 'a' has branches: 'mfb'; give a list of texts or mappings",
    "role: baseline, branches: []": "system 'a' has no branches; give a list of sources, or of mappings",
    "role: baseline, branches: [mfb_f]": (
        "unknown source 'mfb_f'; the recipe has mfb, mfb_f0, whisper, w; did you mean 'mfb_f0'?"
    ),
    "role: baseline, branches: [{source: mfb, conv_stide: 3}]": (
        "branch 'mfb' of system 'a' has an unknown key 'conv_stide'; did you mean 'conv_stride'.; allowed are source"
    ),
    "role: baseline, branches: [{source: mfb, conv_stride: many}]": (
        "branch 'mfb' of system 'a': conv_stride is 'many'; give a whole number from 1 to 1024"
    ),
    "role: baseline, branches: [mfb, mfb]": "system 'a': branches repeat: .'mfb', 'mfb'.; give each source and",
    "role: student, branches: [mfb, mfb_f0]": "system 'a': a student has one acoustic branch, not 2",
    "role: baseline, config: {embeding_size: 3}": (
        "config of system 'a' has an unknown key 'embeding_size'; did you mean 'embedding_size'.; allowed are emotion_"
    ),
    "role: baseline, config: {label_range: [1, 5]}": "config of system 'a' has an unknown key 'label_range'",
    "role: baseline, config: {embedding_size: big}": "system 'a': embedding_size is 'big'; give a whole number",
    "role: baseline, config: {embedding_size: 1000000000}": "embedding_size is 1000000000; give a whole number from",
    "role: baseline, training: {lerning_rate: 1}": (
        "training of system 'a' has an unknown key 'lerning_rate'; did you mean 'learning_rate'.$"
    ),
    "role: baseline, training: {learning_rate: 1e-3}": "has learning_rate: '1e-3'; give a number, such as 1.0e-3",
    "role: baseline, training: {seed: 1}": "training of system 'a' has seed, which is set for the whole run; leave it",
    "role: single, teacher: b": "system 'a' has role 'single' and a teacher; only a student has one",
    "role: student, teacher: c": "'a' has teacher 'c'; a student's teacher must be a system without one: b",
    "role: student, teacher: [b, s]": "'a' has teacher 's'; a student's teacher must be a system without one: b",
    "role: student, teacher: [b, b]": "system 'a' has teacher: .'b', 'b'.; give each teacher once",
    "role: student, unlabelled: true": "system 'a' has unlabelled: true, but no teacher that labels the audio; name",
    "role: single, pretraining: {source: w}": "system 'a' has role 'single' and pretraining; only a student has it",
    "role: student, pretraining: w": "system 'a' has pretraining: 'w'; give a mapping",
    "role: student, pretraining: {}": "pretraining of system 'a' has source None; name an encoder: whisper, w$",
    "role: student, pretraining: {source: mfb}": "'a' has source 'mfb'; name an encoder: whisper, w$",
    "role: student, pretraining: {source: wisper}": "'wisper'; name an encoder: whisper, w; did you mean 'whisper'",
    "role: student, pretraining: {source: w, steps: 3}": (
        "pretraining of system 'a' has an unknown key 'steps'.*; allowed are source, hidden_state, max_steps, learning"
    ),
    "role: student, pretraining: {source: w, max_steps: many}": "has max_steps: 'many'; give a whole number",
    "role: student, pretraining: {source: w, max_steps: 0}": "pretraining of system 'a': max_steps is 0; give 1 or m",
    "role: student, pretraining: {source: w, learning_rate: 0}": "learning_rate is 0; give a finite number above 0",
    "role: student, pretraining: {source: w, hidden_state: first}": "'a': hidden_state is 'first'; allowed are 'last'",
    "role: student, pretraining: {source: w, hidden_state: weighted_sum}": (
        "pretraining of system 'a': hidden_state is 'weighted_sum', which is no single one; give an index or last"
    ),
    "role: single, labels: {emodb: valence}": "labels of system 'a' has emodb: 'valence'; give a list of texts",
    "role: single, labels: {emodb: [valance]}": "emodb in labels of system 'a' has an unknown label 'valance'; did yo",
    "role: student, teacher: b, distillation: {fill: some}": "has fill: 'some'; give one of all, missing",
    "role: single, auxiliary: {age: {}}": "auxiliary of system 'a' has an unknown task 'age'.*; allowed are speaker,",
    "role: single, auxiliary: {speaker: 0.5}": "speaker in auxiliary of system 'a' is 0.5; give a mapping with keys ",
    "role: single, auxiliary: {corpus: {weigth: 1}}": "corpus in auxiliary of system 'a' has an unknown key 'weigth'",
    "role: single, auxiliary: {corpus: {weight: 0}}": "corpus in auxiliary .* 'a': weight is 0; give a finite number",
    "role: single, auxiliary: {corpus: {hidden_size: 0}}": "hidden_size is 0; give 1 or more",
    "role: single, auxiliary: {corpus: {ramp_steps: 9}}": "ramp_steps is of a reversed gradient; give reversed: true",
    "role: student, distillation: {}": "system 'a' has distillation, but no teacher; name one, or leave distillation",
    "role: student, teacher: b, distillation: {label_weight: x}": "of system 'a' has label_weight: 'x'; give a number",
    "role: student, teacher: b, distillation: {label_weight: -1}": "must be finite and >= 0, and one above 0",
    "role: student, teacher: b, distillation: {temperature: 0}": "temperature of distillation is 0; give a finite num",
    "role: student, emotions: all, teacher: b, distillation: {emotion_weight: 1}": (
        "distillation of system 'a' has emotion_weight, but b has no emotions; give the student and its teachers emo"
    ),
    "role: student, teacher: b, distillation: {teacher_weights: best}": (
        "has teacher_weights: 'best'; give one of equal, language, development"
    ),
    "role: student, teacher: b, distillation: {teacher_weights: language}": (
        "'a' has teacher_weights: language, but no teacher has languages; give each its own"
    ),
    "role: student, teacher: b, unlabelled: true, languages: [de]": (
        "system 'a' has languages and unlabelled: true, whose language is not known; leave out one"
    ),
    "role: baseline, compared_with: [c]": "compared_with of system 'a' has an unknown system 'c'; allowed are a, b, s",
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_systems_that_are_not_allowed(system):
    others = "b: {role: teacher}, s: {role: student, teacher: b}"
    systems = yaml.safe_load(f"{{a: {{{system}}}, {others}}}")
    with pytest.raises(ValueError, match=SYSTEMS[system]):
        check_config(system_specs(systems, {"whisper": {}, "w": {}}, None)["a"], {})


def test_rows_that_are_not_allowed():
    with pytest.raises(ValueError, match="system name '../x' names a folder: letters, digits, - and _ only"):
        system_specs({"../x": {"role": "baseline"}}, {}, None)
    with pytest.raises(ValueError, match="system 'a' is None; give a mapping with keys among role, branches"):
        system_specs({"a": None}, {}, None)


@pytest.mark.parametrize(
    "encoder, message",
    [
        ("w: 3", "encoder 'w' is 3; give a mapping with keys among id, revision, pad_to_window"),
        ("w: {revision: x}", "encoder 'w' has no id; give .id: Hub id or folder."),
        ("w: {id: x, pad_to_window: 1}", "encoder 'w' has pad_to_window: 1; give true or false"),
        ("w.x: {id: x}", "encoder name 'w.x' names a folder: letters, digits, - and _ only"),
        ("mfb: {id: x}", "an encoder is named 'mfb', which is a source without an encoder; give another name"),
    ],
)
def test_encoders_that_are_not_allowed(encoder, message):
    with pytest.raises(ValueError, match=message):
        check_encoders(yaml.safe_load(f"{{{encoder}}}"))


def test_branches_of_one_name_read_the_same_frames():
    """They share a cache: with other windows one system would be trained on the other's frames."""
    narrow = {"source": "mfb", "window_s": 0.02}
    systems = {"a": {"role": "baseline"}, "b": {"role": "single", "branches": [narrow]}}
    with pytest.raises(ValueError, match=r"'a' and 'b' read 'mfb' with other settings .*0\.025.*0\.02.*two runs"):
        system_specs(systems, {}, None)
    assert list(system_specs(systems, {}, ["b"])) == ["b"]
    strided = {"source": "mfb", "conv_stride": 4}
    normalised = {"source": "mfb", "window_s": 0.02, "normalization": "running"}
    assert len(system_specs({**systems, "b": {"role": "single", "branches": [strided]}}, {}, None)) == 2
    assert len(system_specs({**systems, "b": {"role": "single", "branches": [normalised]}}, {}, None)) == 2
