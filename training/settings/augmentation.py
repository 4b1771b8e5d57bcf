"""What a recipe's `augmentation` mapping may hold."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .checks import check_mapping
from .conditions import LONGEST_T60_S, SHORTEST_T60_S


# lowest and highest value; of a probability 0 and 1
_LIMITS = {
    "speed_range": (0.5, 2.0),
    "tilt_range": (-0.99, 0.99),
    "gain_range_db": (-60.0, 60.0),
    "t60_range_s": (SHORTEST_T60_S, LONGEST_T60_S),
    "snr_range_db": (-60.0, 100.0),
    "pause_range_s": (0.0, 10.0),
    "babble_voices": (0, 16),
}


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
        ValueError: A value is out of range.
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
            value, kind = getattr(self, field.name), type(field.default)
            pair = value if kind is tuple else (value, value)
            lowest, highest = _LIMITS.get(field.name, (0, 1))
            if len(pair) != 2 or not lowest <= pair[0] <= pair[1] <= highest:
                wanted = "two numbers, the lower first," if kind is tuple else "a number"
                raise ValueError(f"{field.name} is {value!r}; give {wanted} within {lowest:g} to {highest:g}")
            object.__setattr__(self, field.name, tuple(map(float, pair)) if kind is tuple else kind(value))

    @classmethod
    def from_mapping(cls, mapping: dict) -> AugmentationSettings:
        """Return the settings of a recipe, after a check of their types; those it leaves out have their defaults."""
        kinds = {field.name: type(field.default) for field in fields(cls)}
        check_mapping("augmentation", mapping, {n: list[float] if k is tuple else k for n, k in kinds.items()})
        return cls(**mapping)
