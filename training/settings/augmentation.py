"""What a recipe's `augmentation` mapping may hold."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Real

from .checks import check_names
from .conditions import LONGEST_T60_S, SHORTEST_T60_S


# lowest and highest value of each range
_LIMITS = {
    "speed_range": (0.5, 2.0),
    "tilt_range": (-0.99, 0.99),
    "gain_range_db": (-60.0, 60.0),
    "t60_range_s": (SHORTEST_T60_S, LONGEST_T60_S),
    "snr_range_db": (-60.0, 100.0),
    "pause_range_s": (0.0, 10.0),
}
MOST_VOICES = 16


@dataclass(frozen=True)
class AugmentationSettings:
    """Probability and strength of each augmentation; strengths are drawn uniformly from (lowest, highest).

    Args:
        speed_probability: Of another speed, which changes tempo and pitch together.
        speed_range: 0.5 to 2; 1.1 is faster and higher by a tenth. Rounded to multiples of 1/160.
        tilt_probability: Of another spectral tilt.
        tilt_range: -0.99 to 0.99, the coefficient a of the filter 1 + a z^-1: positive is darker, negative brighter.
        gain_probability: Of a gain.
        gain_range_db: -60 to 60; a clip that would exceed full scale gets as much gain as fits.
        reverberation_probability: Of a synthetic room.
        t60_range_s: 0.01 to 10, the room's reverberation time.
        noise_probability: Of noise: white, pink or, where other clips are available, babble, equally likely.
        snr_range_db: -60 to 100, the signal-to-noise ratio.
        babble_voices: 0 to 16 clips that babble is made of.
        join_probability: Of a second clip appended to the first.
        pause_range_s: 0 to 10, the silence between the two.

    Raises:
        ValueError: A value has the wrong type or is out of range.
    """

    speed_probability: float = 1.0
    speed_range: tuple[float, float] = (0.85, 1.2)
    tilt_probability: float = 0.5
    tilt_range: tuple[float, float] = (-0.5, 0.5)
    gain_probability: float = 1.0
    gain_range_db: tuple[float, float] = (-12.0, 12.0)
    reverberation_probability: float = 0.3
    t60_range_s: tuple[float, float] = (0.1, 0.6)
    noise_probability: float = 0.5
    snr_range_db: tuple[float, float] = (5.0, 30.0)
    babble_voices: int = 3
    join_probability: float = 0.3
    pause_range_s: tuple[float, float] = (0.0, 0.3)

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _LIMITS:
                object.__setattr__(self, field.name, _range(field.name, value, *_LIMITS[field.name]))
            elif field.name != "babble_voices":
                if not _is_number(value) or not 0 <= value <= 1:
                    raise ValueError(f"{field.name} is {value!r}; give a probability, 0 to 1")
                object.__setattr__(self, field.name, float(value))
        voices = self.babble_voices
        if isinstance(voices, bool) or not isinstance(voices, int) or not 0 <= voices <= MOST_VOICES:
            raise ValueError(f"babble_voices is {voices!r}; give a whole number, 0 to {MOST_VOICES}")

    @classmethod
    def from_mapping(cls, mapping: dict) -> AugmentationSettings:
        """Return the settings of a recipe; those it leaves out have their defaults.

        Raises:
            ValueError: This is not a mapping, a setting is unknown, or a value is not allowed.
        """
        if not isinstance(mapping, dict):
            raise ValueError(f"augmentation is {mapping!r}; give a mapping of settings")
        check_names("augmentation", mapping, [field.name for field in fields(cls)], kind="setting")
        return cls(**mapping)


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _range(name: str, value, lowest: float, highest: float) -> tuple[float, float]:
    pair = isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value))
    if not pair or not lowest <= value[0] <= value[1] <= highest:
        raise ValueError(f"{name} is {value!r}; give two numbers, the lower first, within {lowest:g} to {highest:g}")
    return float(value[0]), float(value[1])
