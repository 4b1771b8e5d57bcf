"""Settings of the page from the command line, the environment and the defaults."""

import pytest
from page import limits
from page.limits import Settings


def test_the_command_line_comes_before_the_environment(tmp_path):
    environment = {
        "MODEL_ID": "user/a",
        "TEACHER_ID": "user/t",
        "MAX_SIZE_MB": "7.5",
        "CONCURRENCY": "3",
        "TIMEOUT_S": "",
    }
    settings = Settings.read(["--model", "user/b", "--port", "99"], environment, tmp_path)
    assert settings == Settings(model="user/b", teacher="user/t", max_size_mb=7.5, concurrency=3, port=99)


def no_released_model(name):
    raise ValueError(f"there is no released model {name!r}")


def test_without_a_model_it_is_the_released_one(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "released", lambda name: tmp_path / "model_cards" / name)
    for name in ("student_kd", "fusion"):
        (tmp_path / "outputs" / "demo" / name).mkdir(parents=True)
    expected = Settings(model=str(tmp_path / "model_cards" / "student"))  # which the demo's teacher did not teach
    assert Settings.read([], {}, tmp_path) == expected
    assert Settings.read([], {"MODEL_ID": "user/b"}, tmp_path).model == "user/b"


def test_without_a_released_model_it_is_that_of_the_main_job(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "released", no_released_model)
    assert Settings.read([], {}, tmp_path) == Settings()
    for name in ("student_kd", "fusion"):
        (tmp_path / "outputs" / "demo" / name).mkdir(parents=True)
    settings = Settings.read([], {}, tmp_path)
    assert settings.model == str(tmp_path / "outputs" / "demo" / "student_kd")
    assert settings.teacher == str(tmp_path / "outputs" / "demo" / "fusion")
    # the demo's teacher did not teach another model
    assert Settings.read(["--model", "user/b"], {}, tmp_path).teacher == ""


def test_what_is_no_number(tmp_path, capsys):
    with pytest.raises(SystemExit):
        Settings.read([], {"MAX_LENGTH_S": "long"}, tmp_path)
    assert "--max_length_s: invalid float value: 'long'" in capsys.readouterr().err


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_limits_are_above_zero(value):
    with pytest.raises(ValueError, match=f"max_size_mb is {value}; it must be above 0"):
        Settings(max_size_mb=value)
