import pytest

from speech_affect_training.settings.split_key import SplitKey


@pytest.mark.parametrize(
    "text, key",
    [
        ("test1@room_0.5s", SplitKey("test1", "room_0.5s")),
        ("cv5", SplitKey("cv", folds=5)),
        ("left_out", SplitKey("left_out")),
        ("cv5_by_word", SplitKey("cv", folds=5, by_word=True)),
        ("test1_by_word@room_0.5s", SplitKey("test1", "room_0.5s", by_word=True)),
    ],
)
def test_a_key_is_written_and_read(text, key):
    assert f"{key}" == text and SplitKey.parse(text) == key
    assert key.pooled is (key.split in ("cv", "left_out"))
