"""Recipes and command-line arguments: precedence, types, refusals."""

import pytest
from recipe import RECIPES, parse_arguments
from systems import Distillation, system_specs


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
        ("systems: {a: {rule: baseline}}", "must be a mapping with keys among branches"),
        ("systems: {a: {role: baseline, branches: [hubert]}}", "unknown source 'hubert'; the recipe has mfb, mfb_f0"),
        ("systems: {a: {role: student, teacher: b}}", "a student's teacher must be one of a"),
        ("systems: {a: {role: student, teacher: a, distillation: {weight: 1}}}", "distillation takes"),
        (
            "systems: {a: {role: student, teacher: a, distillation: {label_weight: -1}}}",
            "each must be >= 0 and one above 0",
        ),
        ("seeds: [1, 1]", "seeds are .1, 1.; give at least one, each once"),
        ("corpus: speech", "allowed are demo, msp_podcast and table"),
        ("corpus: table", "corpus table needs --data_dir"),
    ],
)
def test_refusals(recipe, text, message):
    with pytest.raises(ValueError, match=message):
        parse_arguments(["--recipe", recipe(text)])


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
