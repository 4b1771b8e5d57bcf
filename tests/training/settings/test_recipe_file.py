"""Recipes as files: what is no recipe, and what would take the machine along."""

import re

import pytest

from speech_affect_training.settings.recipe_file import LARGEST_BYTES, read_mapping, read_recipe, read_text, read_yaml


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)
REJECTED = {
    "a: [": "x is not YAML: expected the node content, but found '<stream end>' in line 1",
    "a: 1\nb: !include c.yaml": (
        "x is not YAML: could not determine a constructor for the tag '!include' in line 2; to build on another"
    ),
    "a: !!python/object/apply:os.system [ls]": "x is not YAML: could not determine a constructor for the tag",
    "a: 2020-13-01": "x is not YAML: month must be in 1..12",
    "a: \0": "x is not YAML: unacceptable character #x0000",
    "---\na: 1\n---\na: 2": "x is not YAML: but found another document in line 3",
    "a: 1\nb: 2\na: 3": "x: 'a' is in line 1 and again in line 3",
    "a: {b: 1,\n b: 2}": "x: 'b' is in line 1 and again in line 2",
    "a: &a [1,\n *a]": "x: the value in line 1 contains itself",
    "a: &a {b: {c: *a}}": "x: the value in line 1 contains itself",
    BOMB: "x: the value in line 6 has more than 100000 values in it",
    "[" * 40: "x: line 1 has more than 32 levels",
    "[" * 100_000: "x: line 1 has more than 32 levels",
    "a: {b: [1, .nan]}": "x: a.b[1] is nan; give a finite number",
    "a: -.inf": "x: a is -inf; give a finite number",
    "a: 2020-01-01": "x: a is a date (2020-01-01); put it in quotes to give a text",
    "a: !!binary aGk=": "x: a is a bytes (b'hi'); put it in quotes to give a text",
    "a: !!set {b}": "x: a is a set ({'b'}); put it in quotes to give a text",
    "1: 2": "x: it has the key 1; keys are texts, so put it in quotes",
    "a: {no: 2}": "x: a has the key False; keys are texts, so put it in quotes",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", REJECTED, ids=[text[:20] for text in REJECTED])
def test_a_text_that_is_not_allowed(text):
    with pytest.raises(ValueError, match=re.escape(REJECTED[text])) as caught:
        read_yaml(text, "x")
    assert "\n" not in str(caught.value)


def test_aliases_and_merged_mappings_are_read():
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n"
    both = {"x": 1, "y": 2}
    assert read_yaml(text, "x") == {"a": both, "b": {"x": 1, "y": 3}, "c": [both, both]}
    assert read_yaml("", "x") is None


def test_files_that_are_no_recipe(tmp_path):
    path = tmp_path / "own.yaml"
    cases = {
        "": "must hold a mapping of settings, not NoneType",
        "- 1": "must hold a mapping of settings, not list",
        "#" * (LARGEST_BYTES + 1): "has over 1048576 bytes; a recipe is a short text",
    }
    for text, message in cases.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=f"own.yaml {message}"):
            read_recipe(path)
    path.write_bytes("a: 1".encode("utf-16"))
    with pytest.raises(ValueError, match=r"own.yaml is not YAML: not UTF-8 text \(.*\); save it as UTF-8"):
        read_recipe(path)
    path.write_bytes("\ufeffa: ü".encode())
    assert read_recipe(path) == {"a": "ü"}


def test_json_goes_before_yaml():
    assert read_text("x", '{"a": 1e-05, "b": "\\ud83d\\ude00"}') == {"a": 1e-5, "b": "\U0001f600"}
    assert read_mapping("x", "a: 1") == read_mapping("x", {"a": 1}) == {"a": 1}
    with pytest.raises(ValueError, match="x is neither YAML nor JSON: .* in line 1"):
        read_text("x", "a: [")
    with pytest.raises(ValueError, match="x: a is nan; give a finite number"):
        read_text("x", '{"a": NaN}')
    with pytest.raises(ValueError, match="x: line 1 has more than 32 levels"):
        read_text("x", "[" * 100_000)
    for value in ("3", "[1]", 3, None):
        with pytest.raises(ValueError, match="x must be a mapping, not "):
            read_mapping("x", value)
