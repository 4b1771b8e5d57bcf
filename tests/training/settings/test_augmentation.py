"""A recipe's augmentation mapping is checked."""

import pytest

from speech_affect_training.settings.augmentation import AugmentationSettings


def test_settings_of_a_recipe():
    settings = AugmentationSettings.from_mapping({"speed_range": [1, 1.1], "join_probability": 0})
    assert settings == AugmentationSettings(speed_range=(1.0, 1.1), join_probability=0.0)
    assert isinstance(settings.speed_range[0], float) and isinstance(settings.join_probability, float)
    assert AugmentationSettings.from_mapping({}) == AugmentationSettings()


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (["speed"], r"augmentation is \['speed'\]; give a mapping with keys among speed_probability, speed_range"),
        ({"sped_range": 1}, "augmentation has an unknown key 'sped_range'; did you mean 'speed_range'"),
        ({"noise_probability": 1.5}, "noise_probability is 1.5; give a number within 0 to 1"),
        ({"noise_probability": float("nan")}, "noise_probability is nan; give"),
        ({"noise_probability": True}, "augmentation has noise_probability: True; give a number"),
        ({"speed_range": 1.2}, "augmentation has speed_range: 1.2; give a list of numbers"),
        ({"speed_range": [0.4, 1]}, r"speed_range is \[0.4, 1\]; give two numbers, the lower first, within 0.5 to 2"),
        ({"speed_range": [1.2, 0.9]}, "speed_range is .*the lower first"),
        ({"speed_range": [1, 1, 1]}, "speed_range is .*give two numbers"),
        ({"speed_range": [1, float("nan")]}, "speed_range is .*give two numbers"),
        ({"tilt_range": [-1, 0]}, "tilt_range is .*within -0.99 to 0.99"),
        ({"t60_range_s": [0, 1]}, "t60_range_s is .*within 0.01 to 10"),
        ({"babble_voices": 17}, "babble_voices is 17; give a number within 0 to 16"),
        ({"babble_voices": 2.0}, "babble_voices: 2.0; give a whole number"),
    ],
)
def test_settings_are_checked(mapping, message):
    with pytest.raises(ValueError, match=message):
        AugmentationSettings.from_mapping(mapping)
