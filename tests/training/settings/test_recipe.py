"""A recipe and the command line over it: precedence, types, messages, help."""

import re
from dataclasses import fields

import pytest
from transformers import TrainingArguments

from speech_affect_training.settings.arguments import RUN_ARGUMENTS
from speech_affect_training.settings.recipe import RECIPES, parse_arguments


@pytest.fixture
def recipe(tmp_path):
    """Writes a recipe file with one system and returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "own.yaml"
        path.write_text(text if "systems" in text else f"systems: {{a: {{role: baseline}}}}\n{text}")
        return str(path)

    return write


def test_the_command_line_overrides_the_recipe(recipe):
    path = recipe("seeds: [1, 2]\nlearning_rate: 1\nnum_train_epochs: 1e-1\nonly: a\ncorpus_note: null\n")
    run, training = parse_arguments(["--recipe", path])
    assert (run.seeds, training.learning_rate, training.output_dir) == ([1, 2], 1.0, "outputs/own")
    assert (
        isinstance(training.learning_rate, float) and training.num_train_epochs == 0.1 and list(run.systems) == ["a"]
    )
    run, training = parse_arguments(["--recipe", path, "--seeds", "5", "--learning_rate=0.5", "--output_dir", "x"])
    assert (run.seeds, training.learning_rate, training.output_dir) == ([5], 0.5, "x")


def test_a_recipe_builds_on_another(recipe, tmp_path):
    path = recipe("include: demo\nseeds: [7]\nearly_stopping_patience: null\n")
    run, training = parse_arguments(["--recipe", path])
    demo, of_demo = parse_arguments(["--recipe", "demo"])
    assert list(run.systems) == ["a"] and run.encoders == demo.encoders and run.seeds == [7]  # keys as a whole
    assert training.learning_rate == of_demo.learning_rate and training.output_dir == "outputs/own"
    assert run.early_stopping_patience == 10  # what is null is as if no recipe had it
    beside = tmp_path / "beside.yaml"
    beside.write_text("include: own.yaml")
    (tmp_path / "own.yaml").write_text("systems: {b: {role: baseline}}\nseeds: [3]")
    run, _ = parse_arguments(["--recipe", str(beside)])
    assert list(run.systems) == ["b"] and run.seeds == [3]


def test_mappings_can_be_given_on_the_command_line():
    run, _ = parse_arguments(["--systems", "{a: {role: baseline, branches: [mfb_f0]}}", "--encoders", "{}"])
    assert run.systems["a"].branch_settings == [{"source": "mfb_f0"}] and run.encoders == {}


def test_defaults_ask_for_nothing_more():
    run, training = parse_arguments(["--systems", "{a: {role: baseline}}"])
    assert run.corpus == "demo" and training.output_dir == "outputs/demo" and run.seeds == [0, 1, 2]
    assert run.folds is None and run.job_workers is None and run.augmentation_copies == 0
    assert run.conditions == run.degraded_systems == run.probe == run.unlabelled_dir == []


ROWS = {
    "finetune_w2v2": ("frozen", "finetuned", "student_kd"),
    "lora_whisper": ("frozen", "lora"),
    "similar_papers": ("teacher_de", "student_languages", "student_one_teacher"),
    "emodb_finetune": ("fusion", "fusion_all", "fusion_lora"),
    "encoder_kd": ("encoder_teacher", "encoder_kd", "encoder_scratch"),
}


@pytest.mark.parametrize("name", [path.stem for path in RECIPES.glob("*.yaml")])
def test_every_shipped_recipe_parses(name):
    more = ["--unlabelled_dir", "demo"] if name in ("voices", "encoder_kd") else []  # which they do not run without
    run, training = parse_arguments(["--recipe", name, *more])
    assert set(ROWS.get(name, ("mfb", "fusion", "student_kd"))) <= set(run.systems)
    assert training.output_dir == f"outputs/{name}"


@pytest.mark.parametrize(
    "text, message",
    [
        ("lerning_rate: 1", "own.yaml has an unknown setting 'lerning_rate'; did you mean 'learning_rate'?"),
        ("recipe: demo", "own.yaml names another recipe, 'demo'; to build on it write include: demo"),
        ("include: [demo]", "own.yaml has include: .'demo'.; give a text"),
        ("include: dem", "recipe 'dem' does not exist; give the path of a YAML file or one of demo"),
        ("include: own.yaml", "own.yaml includes own.yaml, which includes another recipe; only one can be"),
        ("[systems]", "must hold a mapping of settings, not list"),
        ("systems: 3", "own.yaml has systems: 3; give a mapping or a text"),
        ("corpus: speech", "own.yaml has corpus: 'speech'; give one of demo, msp_podcast, table"),
        ("seeds: {a: 1}", "own.yaml has seeds: .'a': 1.; give a list of whole numbers"),
        ("output_dir: {a: 1}", "own.yaml has output_dir: .'a': 1.; give a text"),
        ("learning_rate: [1, 2]", "own.yaml has learning_rate: .1, 2.; give a number"),
        ("eval_strategy: no", "own.yaml has eval_strategy: False; give a text; YAML reads no, off and yes as true or"),
        ("eval_strategy: often", "often is not a valid IntervalStrategy, please select one of"),
        ("num_train_epochs: many", "argument --num_train_epochs.*: invalid float value: 'many'"),
        ("weight_decay: 1.0e+400", "own.yaml: weight_decay is inf; give a finite number"),
        ("accelerator_config: {a: 1}", "own.yaml: AcceleratorConfig.* unexpected keyword argument 'a'"),
        ("per_device_train_batch_size: 0", "per_device_train_batch_size is 0; give 1 or more"),
        ("learning_rate: -1", "learning_rate is -1.0; give a finite number of 0 or more"),
    ],
)
def test_recipes_that_are_not_allowed(recipe, text, message):
    with pytest.raises(ValueError, match=message):
        parse_arguments(["--recipe", recipe(text)])


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--recipe", "mine"], "recipe 'mine' does not exist; give the path of a YAML file or one of demo"),
        (["--sedes", "1"], "unknown argument '--sedes'; did you mean 'seeds'"),
        (["--seeds", "x"], "argument --seeds: invalid int value: 'x'"),
        (["--only"], "argument --only: expected at least one argument"),
        (["--only", "teacher"], "no system 'teacher'; the recipe has mfb, fusion"),
        (
            ["--report_to", "swanlab"],
            "report_to is swanlab: SwanLabCallback requires swanlab to be installed. Run",
        ),
        (["--report_to", "wandbb"], "report_to is wandbb: wandbb is not supported, only azure_ml, .* are supported"),
        (["--encoders", "[w]"], r"encoders must be a mapping, not \['w'\]"),
    ],
)
def test_arguments_that_are_not_allowed(argv, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_arguments(argv)
    assert "\n" not in str(caught.value)


def test_no_text_of_a_recipe_becomes_another_setting(recipe):
    run, training = parse_arguments(["--recipe", recipe("corpus_note: --output_dir=/elsewhere\nhead: {}\n")])
    assert (run.corpus_note, training.output_dir) == ("--output_dir=/elsewhere", "outputs/own")


def test_small_numbers_and_all_characters_reach_their_settings(recipe):
    facts = "{labels: '\U0001f600 ü', license: b, terms: c}"
    system = "{role: baseline, config: {dropout: 1.0e-5}, training: {learning_rate: 1.0e-6}}"
    path = recipe(f"corpus_facts: {facts}\nsystems: {{a: {system}}}\nhead: {{mask_time_prob: 1.0e-7}}\n")
    run, _ = parse_arguments(["--recipe", path])
    assert run.systems["a"].config == {"dropout": 1e-5} and run.systems["a"].training == {"learning_rate": 1e-6}
    assert run.head == {"mask_time_prob": 1e-7} and run.corpus_facts.labels == "\U0001f600 ü"


def test_help_shows_own_arguments_and_on_request_all(capsys):
    shown = {}
    for option in ("--help", "--help_all"):
        with pytest.raises(SystemExit) as stopped:
            parse_arguments([option])
        assert not stopped.value.code
        shown[option] = capsys.readouterr().out
    own = {field.name for arguments in RUN_ARGUMENTS for field in fields(arguments)}
    listed = set(re.findall(r"^  --(\w+)", shown["--help"], re.M))
    assert listed - own == {"output_dir", "push_to_hub", "hub_model_id", "hub_private_repo", "hub_strategy"}
    assert own <= listed and "Corpus:\n" in shown["--help"] and "(default: 1000)" in shown["--help"]
    everything = set(re.findall(r"^  --(\w+)", shown["--help_all"], re.M))
    assert {field.name for field in fields(TrainingArguments)} | own <= everything
