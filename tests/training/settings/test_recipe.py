"""Recipes and command-line arguments: precedence, types, refusals."""

import pytest

from speech_affect_training.settings.augmentation import AugmentationSettings
from speech_affect_training.settings.conditions import Condition
from speech_affect_training.settings.recipe import RECIPES, parse_arguments
from speech_affect_training.settings.systems import Distillation, build_config, system_specs


@pytest.fixture
def recipe(tmp_path):
    """Writes a recipe file and returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "own.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_the_command_line_overrides_the_recipe(recipe):
    path = recipe("seeds: [1, 2]\nlearning_rate: 1.0e-2\nsystems: {mfb: {role: baseline}}\n")
    run, training = parse_arguments(["--recipe", path])
    assert (run.seeds, training.learning_rate, training.output_dir) == ([1, 2], 0.01, "outputs/own")
    run, training = parse_arguments(["--recipe", path, "--seeds", "5", "--learning_rate=0.5", "--output_dir", "x"])
    assert (run.seeds, training.learning_rate, training.output_dir) == ([5], 0.5, "x")


def test_mappings_can_be_given_on_the_command_line():
    run, _ = parse_arguments(["--systems", "{a: {role: baseline, branches: [mfb_f0]}}", "--encoders", "{}"])
    assert run.specs["a"].branch_settings == [{"source": "mfb_f0"}]


def test_teachers_come_first_and_with_their_students():
    systems = {
        "pupil": {"role": "student", "teacher": "master", "distillation": {"embedding_weight": 0.0}},
        "master": {"role": "teacher", "branches": ["mfb"]},
        "other": {"role": "baseline"},
    }
    specs = system_specs(systems, {}, ["pupil"])
    assert list(specs) == ["master", "pupil"]
    assert specs["pupil"].distillation == Distillation(1.0, 1.0, 0.0)


def test_several_teachers():
    systems = {
        "a": {"role": "teacher"},
        "b": {"role": "single"},
        "c": {"role": "single"},
        "pupil": {"role": "student", "teacher": ["b", "a"], "unlabelled": True},
    }
    specs = system_specs(systems, {}, ["pupil"])
    assert list(specs) == ["a", "b", "pupil"] and specs["pupil"].teachers == ["b", "a"]
    assert specs["a"].teachers == [] and specs["pupil"].distillation == Distillation()


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


def test_settings_of_augmentation_conditions_and_folds(recipe):
    text = """
systems: {mfb: {role: baseline}, other: {role: student, augmented: true}}
augmentation_copies: 2
augmentation: {join_probability: 0.0, speed_range: [0.9, 1.1]}
conditions: {systems: [mfb], white_db: [20, -5], room_s: [0.5]}
folds: 5
unlabelled_dir: [here, demo]
job_workers: 3
"""
    run, _ = parse_arguments(["--recipe", recipe(text)])
    assert run.augmentation == AugmentationSettings(join_probability=0.0, speed_range=(0.9, 1.1))
    assert run.augmentation_copies == 2 and run.folds == 5 and run.job_workers == 3
    assert run.conditions == [Condition("white", 20.0), Condition("white", -5.0), Condition("room", 0.5)]
    assert run.degraded_systems == ["mfb"] and run.unlabelled_dir == ["here", "demo"]
    assert run.cross_validated == ["mfb", "other"]
    run, _ = parse_arguments(["--recipe", recipe(text), "--cross_validated", "other", "--folds", "3"])
    assert run.cross_validated == ["other"] and run.folds == 3


def test_defaults_ask_for_nothing_more():
    run, _ = parse_arguments(["--systems", "{a: {role: baseline}}", "--encoders", "{}"])
    assert run.folds is None and run.job_workers is None and run.augmentation_copies == 0
    assert run.conditions == [] and run.degraded_systems == [] and run.probe == [] and run.unlabelled_dir == []
    assert run.augmentation == AugmentationSettings()


def test_what_is_not_run_is_neither_degraded_nor_cross_validated(recipe):
    path = recipe(
        "systems: {a: {role: baseline}, b: {role: baseline}}\n"
        "conditions: {systems: [b], white_db: [10]}\ncross_validated: [b]\n"
    )
    run, _ = parse_arguments(["--recipe", path, "--only", "a"])
    assert list(run.specs) == ["a"] and run.degraded_systems == [] and run.cross_validated == []


def test_every_shipped_recipe_parses():
    for path in RECIPES.glob("*.yaml"):
        run, _ = parse_arguments(["--recipe", path.stem])
        assert run.specs, path


@pytest.mark.parametrize(
    "text, message",
    [
        ("lerning_rate: 1", "own.yaml: unknown setting 'lerning_rate'; did you mean 'learning_rate'?"),
        ("- 1", "must hold a mapping of settings, not list"),
        ("a: [", "is no YAML"),
        ("systems: 3", "systems must be a mapping, not 3"),
        ("systems: {'../x': {role: baseline}}", "names a folder: letters, digits, - and _ only"),
        ("systems: {a: {role: king}}", "role 'king'; allowed are baseline, single, teacher, student"),
        ("systems: {a: {rule: baseline}}", "must be a mapping with keys among augmented, branches"),
        ("systems: {a: {role: baseline, branches: [hubert]}}", "unknown source 'hubert'; the recipe has mfb, mfb_f0"),
        (
            "systems: {a: {role: student, teacher: b}}",
            "'a' has teacher 'b'; a student's teacher must be a system without one: none",
        ),
        (
            "systems: {a: {role: teacher}, b: {role: student, teacher: a}, c: {role: student, teacher: [a, b]}}",
            "'c' has teacher 'b'; a student's teacher must be a system without one: a",
        ),
        (
            "systems: {a: {role: teacher}, b: {role: single, teacher: a}}",
            "system 'b' has role 'single' and a teacher; only a student has one",
        ),
        ("systems: {a: {role: student, teacher: a, distillation: {weight: 1}}}", "distillation takes"),
        (
            "systems: {a: {role: student, teacher: a, distillation: {label_weight: -1}}}",
            "each must be >= 0 and one above 0",
        ),
        ("systems: {a: {role: teacher, emotions: true}}", "has emotions True; allowed are agreed, all, votes"),
        (
            "systems: {a: {role: student, unlabelled: true}}",
            "'a' has no teacher to say what unlabelled audio is worth",
        ),
        (
            "systems: {a: {role: student, augmented: true}}",
            "'a' is augmented, but augmentation_copies is 0; give 1 or",
        ),
        (
            "systems: {a: {role: teacher}, b: {role: student, teacher: a, unlabelled: true}}",
            "system 'b' hears unlabelled audio; give --unlabelled_dir",
        ),
        ("cross_validated: [a]\nsystems: {b: {role: baseline}}", "cross_validated names 'a'; the recipe has b"),
        (
            "conditions: {systems: [a], white_db: [1]}\nsystems: {b: {role: baseline}}",
            "conditions names 'a'; the recipe has b",
        ),
        (
            "conditions: {noise_db: [1]}",
            "conditions has .'noise_db'.; allowed are systems, white_db, babble_db, room_s",
        ),
        (
            "conditions: {systems: [b], white_db: 10}",
            "conditions has white_db: 10; give a list such as .systems: .mfb",
        ),
        ("conditions: {systems: b, white_db: [10]}", "conditions has systems: 'b'; give a list such as"),
        ("conditions: {systems: [b], room_s: []}", "conditions has room_s: ..; give a list such as"),
        ("conditions: {white_db: [10]}", "give systems and what they are tested under"),
        ("conditions: {systems: [b]}", "give systems and what they are tested under"),
        ("conditions: {systems: [b], white_db: [loud]}", "conditions has 'loud' among white_db; give numbers"),
        ("conditions: {systems: [b], room_s: [60]}", "value of a room is 60.0; 0.01 to 10 s are allowed"),
        ("conditions: 3", "conditions must be a mapping, not 3"),
        ("augmentation: {pitch: 1}", "augmentation has an unknown setting 'pitch'; allowed are speed_probability"),
        ("probe: [whisper]", "probe names 'whisper'; the recipe's encoders are none"),
        ("job_workers: 0", "job_workers is 0; give 1 or more, or leave it out"),
        ("seeds: [1, 1]", "seeds are .1, 1.; give at least one, each once"),
        ("corpus: speech", "allowed are demo, msp_podcast and table"),
        ("corpus: table", "corpus table needs --data_dir"),
        ("corpus: demo\ndata_dir: here", "corpus demo is made anew and would not read data_dir 'here'; leave out one"),
        ("seeds: [-1]", "seeds has -1; give whole numbers from 0 to 4294967295"),
        ("seeds: [4294967296]", "seeds has 4294967296; give whole numbers from 0 to 4294967295"),
        ("folds: 2", "folds is 2; give 3 or more, or leave it out"),
        ("augmentation_copies: -1", "augmentation_copies is -1; give 0 or more"),
        ("early_stopping_patience: -1", "early_stopping_patience is -1; give 0 or more"),
        ("extraction_batch_size: 0", "extraction_batch_size is 0; give 1 or more"),
        ("bootstrap_samples: 0", "bootstrap_samples is 0; give 1 or more"),
        ("per_device_train_batch_size: 0", "per_device_train_batch_size is 0; give 1 or more"),
        ("gradient_accumulation_steps: -1", "gradient_accumulation_steps is -1; give 1 or more"),
        ("learning_rate: -1", "learning_rate is -1.0; give a finite number of 0 or more"),
        ("weight_decay: 1.0e+400", "own.yaml: weight_decay is inf; give a finite number"),
        ("accelerator_config: {a: 1}", "own.yaml: AcceleratorConfig.* unexpected keyword argument 'a'"),
    ],
)
def test_refusals(recipe, text, message):
    with pytest.raises(ValueError, match=message):
        parse_arguments(["--recipe", recipe(text)])


SYSTEM = {  # what stands in a system -> what is said of it
    "rolle: baseline": "keys among augmented, .*, unlabelled; 'rolle' is none; did you mean 'role'?",
    "role: baseline, gender: 'no'": "system 'a' has gender: 'no'; give true or false",
    "role: baseline, optional: 1": "system 'a' has optional: 1; give true or false",
    "role: baseline, config: [1]": "system 'a' has config: .1.; give a mapping",
    "role: baseline, training: 3": "system 'a' has training: 3; give a mapping",
    "role: baseline, branches: mfb": "system 'a' has branches: 'mfb'; give a list of sources, or of mappings",
    "role: baseline, branches: []": "system 'a' has branches: ..; give a list of sources",
    "role: baseline, branches: [[mfb]]": "system 'a' has branches: ..'mfb'..; give a list of sources",
    "role: baseline, branches: [mfb_f]": "unknown source 'mfb_f'; the recipe has mfb, mfb_f0; did you mean 'mfb_f0'?",
    "role: baseline, branches: [{source: mfb, conv_stide: 3}]": (
        "branch 'mfb' of system 'a' has an unknown key 'conv_stide'; did you mean 'conv_stride'.; allowed are source"
    ),
    "role: baseline, branches: [{source: mfb, conv_stride: many}]": (
        "branch 'mfb' of system 'a': conv_stride is 'many'; give a whole number from 1 to 1024"
    ),
    "role: baseline, branches: [mfb, mfb]": "system 'a': branches repeat: .'mfb', 'mfb'.; give each source and",
    "role: baseline, fusion_level: high": "system 'a': fusion_level is 'high'; allowed are 'embedding' and 'frame'",
    "role: student, branches: [mfb, mfb_f0]": "system 'a': a student has one acoustic branch, not 2",
    "role: baseline, config: {embeding_size: 3}": (
        "config of system 'a' has an unknown key 'embeding_size'; did you mean 'embedding_size'.; allowed are emotion_"
    ),
    "role: baseline, config: {label_range: [1, 5]}": "config of system 'a' has an unknown key 'label_range'",
    "role: baseline, config: {embedding_size: big}": "system 'a': embedding_size is 'big'; give a whole number",
    "role: baseline, config: {embedding_size: 1000000000}": "embedding_size is 1000000000; give a whole number from",
    "role: baseline, training: {lerning_rate: 1}": (
        "training of system 'a' has an unknown argument 'lerning_rate'; did you mean 'learning_rate'.; give those of"
    ),
    "role: baseline, training: {learning_rate: 1e-3}": "has learning_rate: '1e-3'; give a number, such as 1.0e-3",
    "role: baseline, training: {max_steps: 1.5}": "training of system 'a' has max_steps: 1.5; give a whole number",
    "role: baseline, training: {max_steps: true}": "training of system 'a' has max_steps: True; give a whole number",
    "role: baseline, training: {bf16: 'no'}": "training of system 'a' has bf16: 'no'; give true or false",
    "role: baseline, training: {seed: 1}": "training of system 'a' has seed, which is the run's to say; leave it out",
    "role: student, teacher: 3": "system 'a' has teacher: 3; give the name of a system, or a list, each once",
    "role: student, teacher: [b, b]": "system 'a' has teacher: .'b', 'b'.; give the name of a system, or a list",
    "role: student, teacher: [[b]]": "system 'a' has teacher: ..'b'..; give the name of a system, or a list",
    "role: student, teacher: b, distillation: 3": "system 'a': distillation takes label_weight, .*, not 3",
    "role: student, teacher: b, distillation: {label_wieght: 1}": (
        "distillation takes label_weight, .*; it has an unknown key 'label_wieght'; did you mean 'label_weight'"
    ),
    "role: student, teacher: b, distillation: {label_weight: x}": "distillation weights are .'x', 1.0, 1.0.; give fin",
}


@pytest.mark.parametrize("system", SYSTEM)
def test_what_a_system_may_not_say(recipe, system):
    with pytest.raises(ValueError, match=SYSTEM[system]):
        parse_arguments(["--recipe", recipe(f"systems: {{a: {{{system}}}, b: {{role: teacher}}}}")])


OTHERS = {
    "systems: {a: null}": "must be a mapping with keys among .*; None is none",
    "head: {embeding_size: 3}": "head has an unknown key 'embeding_size'; did you mean 'embedding_size'.; allowed are",
    "head: {conv_channels: 1.5}": "system 'a': conv_channels is 1.5; give a whole number from 1 to 8192",
    "encoders: {w: 3}": "encoder 'w' is 3; give .id: Hub id or folder., with revision or pad_to_window",
    "encoders: {w: {revision: x}}": "encoder 'w' is .'revision': 'x'.; give .id: Hub id or folder.",
    "encoders: {w: {id: x, pad_to_windo: true}}": "encoder 'w' has an unknown key 'pad_to_windo'; did you mean 'pad",
    "encoders: {w: {id: x, pad_to_window: 1}}": "encoder 'w' has pad_to_window: 1; give true or false",
    "encoders: {w: {id: 3}}": "encoder 'w' has id: 3; give a text",
    "encoders: {w: {id: x, revision: 3}}": "encoder 'w' has revision: 3; give a text",
    "encoders: {w.x: {id: x}}": "encoder name 'w.x' names a folder: letters, digits, - and _ only",
    "encoders: {mfb: {id: x}}": "an encoder is named 'mfb', which is a source that needs none; give another name",
    "augmentation: {join_probabilty: 1}": "unknown setting 'join_probabilty'; did you mean 'join_probability'",
    "conditions: {sytems: [a], room_s: [1]}": "conditions has .'sytems'.; .* did you mean 'systems'",
    "conditions: {systems: [[a]], room_s: [1]}": "conditions names .'a'.; the recipe has a",
    "corpus_facts: {lables: x}": "give a mapping with keys among .* did you mean 'labels'",
    "seeds: {a: 1}": "own.yaml: seeds is .'a': 1.; give a list of values",
    "learning_rate: [1, 2]": "own.yaml: learning_rate is .1, 2.; give one value",
    "output_dir: {a: 1}": "own.yaml: output_dir is .'a': 1.; give one value",
    "encoders: [w]": "own.yaml: encoders is .'w'.; give a mapping",
    "eval_strategy: no": "own.yaml: eval_strategy is False; give one value; YAML reads no, off and yes so: put them",
    "probe: [[w]]": "own.yaml: probe has .'w'.; give a list of numbers or names",
    "only: [--output_dir=/etc]": "own.yaml: only has '--output_dir=/etc'; give a list of numbers or names",
    "recipe: demo": "own.yaml names another recipe, 'demo'; a recipe stands alone: copy what it needs",
    "include: demo.yaml": "own.yaml: unknown setting 'include'",
}


@pytest.mark.parametrize("text", OTHERS)
def test_what_a_recipe_may_not_say(recipe, text):
    systems = "" if text.startswith("systems") else "systems: {a: {role: baseline}}\n"
    with pytest.raises(ValueError, match=OTHERS[text]):
        parse_arguments(["--recipe", recipe(systems + text)])


def test_no_text_of_a_recipe_becomes_another_setting(recipe):
    path = recipe("corpus_note: --output_dir=/elsewhere\ndata_dir: -x\nsystems: {a: {role: baseline}}\n")
    run, training = parse_arguments(["--recipe", path])
    assert (run.corpus_note, run.data_dir, training.output_dir) == ("--output_dir=/elsewhere", "-x", "outputs/own")


def test_small_numbers_and_all_characters_reach_their_settings(recipe):
    facts = "{labels: '\U0001f600 ü', license: b, terms: c}"
    system = "{role: baseline, config: {dropout: 1.0e-5}, training: {learning_rate: 1.0e-6}}"
    path = recipe(f"corpus_facts: {facts}\nsystems: {{a: {system}}}\nhead: {{mask_time_prob: 1.0e-7}}\n")
    run, _ = parse_arguments(["--recipe", path])
    assert run.specs["a"].config == {"dropout": 1e-5} and run.specs["a"].training == {"learning_rate": 1e-6}
    assert run.head == {"mask_time_prob": 1e-7} and run.corpus_facts.labels == "\U0001f600 ü"


@pytest.mark.parametrize("argv", [["--seeds", "x"], ["--learning_rate", "fast"], ["--only"]])
def test_a_wrong_argument_is_told_in_one_line(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse_arguments(argv)
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and said.startswith(f"error: argument {argv[0]}") and said.count("\n") == 1


def test_a_recipe_that_is_not_there():
    with pytest.raises(ValueError, match="recipe 'mine' is not there; give the path of a YAML file or one of demo"):
        parse_arguments(["--recipe", "mine"])


def test_an_unknown_argument():
    with pytest.raises(ValueError, match="unknown argument '--sedes'; did you mean 'seeds'"):
        parse_arguments(["--sedes", "1"])


def test_a_value_of_the_wrong_type(recipe, capsys):
    with pytest.raises(SystemExit):
        parse_arguments(["--recipe", recipe("num_train_epochs: many")])
    assert "num_train_epochs" in capsys.readouterr().err


def test_an_unknown_system():
    with pytest.raises(ValueError, match="no system 'teacher'; the recipe has mfb, fusion"):
        parse_arguments(["--only", "teacher"])
