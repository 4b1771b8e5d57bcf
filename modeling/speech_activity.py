"""The share of a clip in which somebody may be speaking, measured from sound levels alone."""

import numpy as np


FRAME_S = 0.02
# The difference of two samples half a millisecond apart removes a constant and nearly all of a mains hum, and passes
# 0.3 to 1.7 kHz whole, where voices are loudest.
LAG_S = 0.0005
FLOOR_DB = -60.0  # relative to full scale
BACKGROUND_SHARE = 0.1  # of the frames lies below the background's level
MARGIN_DB = 5.0  # white noise stays within 2 dB of that level
# fewer frames cannot tell a held vowel from a steady noise
STEADY_FRAMES = 25
LOWEST_DB, STEP_DB, BINS = -120.0, 0.25, 520


class SpeechActivity:
    """Share of 20 ms frames that are not silence and stand out from a steady background, of audio in blocks.

    A frame counts when its level, after differences have removed constants and hum, is above -60 dB of full scale
    and 5 dB above the level that a tenth of all frames stay below. Steady noise, hum and digital silence give 0. Clips
    shorter than 0.5 s have no background: for them the first condition alone decides.

    Levels do not identify voices: music, clatter, applause and any noise that comes and goes count like speech. In an
    hour-long recording the background is that of the whole hour. Only a histogram is kept, however long the audio.

    Args:
        sampling_rate: in hertz.
    """

    def __init__(self, sampling_rate: int):
        self._frame = max(1, round(FRAME_S * sampling_rate))
        self._lag = max(1, round(LAG_S * sampling_rate))
        self._rest = np.zeros(0, dtype=np.float32)
        self._histogram = np.zeros(BINS, dtype=np.int64)

    def push(self, samples: np.ndarray) -> None:
        """Add a block.

        Args:
            samples: (samples,) float32, mono in [-1, 1], any number of them; how audio is cut changes nothing.
        """
        samples = np.concatenate([self._rest, samples])
        frames = max(0, len(samples) - self._lag) // self._frame
        used = frames * self._frame
        if frames:
            difference = (samples[self._lag : used + self._lag] - samples[:used]).reshape(frames, self._frame)
            power = np.einsum("ij,ij->i", difference, difference) / (4 * self._frame)
            level_db = 10 * np.log10(power + 1e-12)
            bins = ((level_db - LOWEST_DB) / STEP_DB).astype(np.int64).clip(0, BINS - 1)
            self._histogram += np.bincount(bins, minlength=BINS)
        self._rest = samples[used:].copy()  # a view would keep the whole block

    def ratio(self) -> float:
        """Return the share of the frames so far that count, 0 to 1; 0 before the first one."""
        frames = int(self._histogram.sum())
        if not frames:
            return 0.0
        threshold = int((FLOOR_DB - LOWEST_DB) / STEP_DB)
        if frames >= STEADY_FRAMES:
            background = int(np.searchsorted(np.cumsum(self._histogram), BACKGROUND_SHARE * frames, side="right"))
            threshold = max(threshold, background + int(MARGIN_DB / STEP_DB))
        return int(self._histogram[threshold + 1 :].sum()) / frames
