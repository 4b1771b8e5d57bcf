"""Finished models in a recipe, and by their paths."""

import pytest

from speech_affect_training.settings.finished import CheckpointSpec, dimensions_of, named, read_checkpoints


def test_names_are_the_ends_of_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips.csv").write_text("")
    assert named(["runs/a/student", "you/wav2vec2.large", "clips.csv", "b/"]) == {
        "student": "runs/a/student",
        "wav2vec2-large": "you/wav2vec2.large",
        "clips": "clips.csv",
        "b": "b/",
    }
    assert list(named(["runs/a/student", "runs/b/student"])) == ["a-student", "b-student"]
    for paths in (["b", "b/"], ["x/b", "./x/b"]):
        with pytest.raises(ValueError, match=r"two of .* are named .*b; give each once, or rename one"):
            named(paths)


def test_what_outputs_mean():
    assert dimensions_of(["Arousal", "power", "valence"]) == ["activation", "dominance", "valence"]
    for names in (["LABEL_0"], ["arousal", "activation"], []):
        assert dimensions_of(names) is None


def test_rows_that_are_finished_models(tmp_path):
    systems = {"a": {"role": "baseline"}, "peer": {"role": "checkpoint", "id": "lab/model", "output_range": [0, 1]}}
    rows = read_checkpoints(systems, ["you/first", str(tmp_path)])
    assert rows == {
        "first": CheckpointSpec("first", "checkpoint", "you/first"),
        tmp_path.name: CheckpointSpec(tmp_path.name, "checkpoint", str(tmp_path)),
        "peer": CheckpointSpec("peer", "checkpoint", "lab/model", output_range=[0, 1]),
    }
    # a folder's code is there to be read; that of a Hub id has to stay what was read
    code = {"role": "checkpoint", "trust_remote_code": True}
    read_checkpoints({"x": {**code, "id": str(tmp_path)}, "y": {**code, "id": "a/b", "revision": "0af3" * 10}}, [])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"id": "a/b", "branches": ["mfb"]}, "system 'x' has an unknown key 'branches'; allowed are role, id, rev"),
        ({"id": "a/b", "role": "checkpont"}, "has an id and role: checkpont; a finished model has role: checkpoint"),
        ({"id": "a/b", "role": None}, "system 'x' has role: None; give a text"),
        ({}, "system 'x' has no id; give the folder or Hub id of the model"),
        ({"id": 3}, "system 'x' has id: 3; give a text"),
        ({"id": "a/b", "outputs": ["activation", "joy"]}, r"has outputs: \['activation', 'joy'\]; give the dimension"),
        ({"id": "a/b", "outputs": ["activation", "arousal"]}, "give the dimension of each output in its order, each"),
        ({"id": "a/b", "output_range": [1, 0]}, r"has output_range: \[1, 0\]; give two numbers, the lower first"),
        ({"id": "a/b", "output_range": [1]}, r"has output_range: \[1\]; give two numbers, the lower first"),
        ({"id": "a/b", "trust_remote_code": True}, "has trust_remote_code: read the code of a/b, and give the commit"),
        ({"id": "a/b", "trust_remote_code": True, "revision": "main"}, "give the commit hash that you read as its"),
    ],
)
def test_settings_that_are_not_allowed(settings, message):
    with pytest.raises(ValueError, match=message):
        read_checkpoints({"x": {"role": "checkpoint", **settings}}, [])


def test_names_that_are_not_allowed():
    with pytest.raises(ValueError, match="evaluate has 'you/peer', and systems a row 'peer'; name that one otherwise"):
        read_checkpoints({"peer": {"role": "checkpoint", "id": "lab/model"}}, ["you/peer"])
    with pytest.raises(ValueError, match="system name 'a b' names a folder: letters, digits, - and _ only"):
        read_checkpoints({"a b": {"role": "checkpoint", "id": "lab/model"}}, [])
