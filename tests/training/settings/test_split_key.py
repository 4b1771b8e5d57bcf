import pytest

from speech_affect_training.settings.split_key import SplitKey


@pytest.mark.parametrize(
    "text, key", [("test1@room_0.5s", SplitKey("test1", "room_0.5s")), ("cv5", SplitKey("cv", folds=5))]
)
def test_a_key_is_written_and_read(text, key):
    assert f"{key}" == text and SplitKey.parse(text) == key
