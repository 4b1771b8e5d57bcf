"""Ratings of emotions' words, a stand-in where nobody rated the clips."""

from speech_affect import DIMENSIONS

from ..settings.labels import WORD_RATINGS


def word_ratings(emotion: str | None, label_range: tuple[float, float]) -> tuple[float | None, ...]:
    """Return the mean rating of an emotion's word in activation, valence and dominance, moved to a label range.

    Args:
        emotion: Code of the class (see `settings.labels.EMOTIONS`).
        label_range: Lowest and highest rating, which stand for -1 and 1.

    Returns:
        A number per dimension; None for each where the class has no word with ratings (contempt, other, unknown).
    """
    if emotion not in WORD_RATINGS:
        return (None,) * len(DIMENSIONS)
    low, high = label_range
    return tuple((low + high + rating * (high - low)) / 2 for rating in WORD_RATINGS[emotion])
