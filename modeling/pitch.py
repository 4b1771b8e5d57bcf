"""Fundamental frequency (F0) and voicing from a waveform, batched, in plain torch.

The method is the autocorrelation one of P. Boersma (1993), "Accurate short-term analysis of the fundamental frequency
and the harmonics-to-noise ratio of a sampled sound", IFA Proceedings 17, 97-110, the one behind Praat's
"To Pitch (ac)". One thing differs on purpose: Boersma takes the silence reference and the best path over the whole
recording, this module takes both over a bounded neighbourhood of each frame, so the same numbers come out of a
stream, of a padded batch and of the clip alone.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


# Praat's defaults, but for the two thresholds (0.45 and 0.03 there): the peak of a third of a second is lower than
# that of a recording, so quiet stretches would too often be called voiced.
VOICING_THRESHOLD = 0.48  # normalised autocorrelation from which a frame is better called voiced
SILENCE_THRESHOLD = 0.045  # share of the recent peak amplitude below which a frame is silence
OCTAVE_COST = 0.01  # per octave, favours the higher of two equally strong candidates
OCTAVE_JUMP_COST = 0.35  # per octave between neighbouring frames 10 ms apart
VOICED_UNVOICED_COST = 0.14  # per change of voicing between neighbouring frames 10 ms apart

MIN_F0_HZ = 60.0  # lowest F0 found; sets the analysis window too
MAX_F0_HZ = 600.0
BANDWIDTH_HZ = 4000.0  # of the periodic part; what lies above counts as noise
LAG_RATE_HZ = 4 * BANDWIDTH_HZ  # of the autocorrelation: dense enough for a parabola to find the top of a peak
CANDIDATES = 6  # voiced candidates a frame keeps
PERIODS_PER_WINDOW = 2.8  # of the lowest F0 (3 in Praat): window and longest lag fit 1024 samples at 16 kHz, 60 Hz
PATH_BACK_S = 0.15  # the path through the candidates looks this far back ...
PATH_AHEAD_S = 0.07  # ... and this far ahead
PEAK_BACK_S = 0.32  # the silence reference of a frame is the peak of this much audio before it ...
PEAK_AHEAD_S = 0.01  # ... and after it

AMPLITUDE_FLOOR = 1e-6  # -120 dB: below it is rounding noise, never speech
IMPOSSIBLE = -1e3  # strength of a candidate that is not there
BLOCK_FRAMES = 3_000  # of all rows together, at once: spectra and lags of a frame take 17 kB


class PitchTracker(nn.Module):
    """Tracks F0 frame by frame on the grid of an uncentred short-time transform.

    Frame `i` is centred on sample `i * hop + window / 2`; there are `1 + (samples - window) // hop` frames. The
    analysis window is longer (2.8 periods of `MIN_F0_HZ`, 47 ms) but has the same centre, with zeros past the edges.

    The values at frame `i` depend on nothing but the samples from `i * hop - lookback_samples` up to, not including,
    `i * hop + window + lookahead_samples`: neither the rest of the utterance, nor the padding, nor the other rows
    matter. The module has no parameters and no buffers; it works in float32 whatever the model's dtype, and no
    gradient flows through it. Longer audio goes in overlapping blocks, so that the memory it takes is bounded.

    Args:
        sampling_rate: of the input, in hertz; at least 8000.
        hop_s: distance between frames, in seconds; at least one sample and at most `window_s`.
        window_s: length of the window that defines the frame grid, in seconds; at least two samples.

    Attributes:
        window_samples, hop_samples: the frame grid, in samples.
        lookback_samples, lookahead_samples: reach beyond the frame's own `window_s`, in samples.
        lookback_frames, lookahead_frames: the same in whole hops, rounded up.
    """

    def __init__(self, sampling_rate: int = 16000, hop_s: float = 0.010, window_s: float = 0.025):
        super().__init__()
        self.sampling_rate, self.hop_s, self.window_s = sampling_rate, hop_s, window_s
        self.hop_samples = round(hop_s * sampling_rate)
        self.window_samples = round(window_s * sampling_rate)

        longest_period = sampling_rate / MIN_F0_HZ
        # Half lengths, so that a window has the same centre as the frame.
        self._half_analysis = max(math.ceil(PERIODS_PER_WINDOW * longest_period / 2), self.window_samples // 2)
        half_period = math.ceil(longest_period / 2)
        self._central_period = slice(self._half_analysis - half_period, self._half_analysis + half_period)
        # The zeros after the window keep lags up to the longest period free of wrap-around.
        self._fft_samples = _fft_length(2 * self._half_analysis + math.ceil(longest_period) + 2)
        bin_hz = sampling_rate / self._fft_samples
        self._bins = math.ceil(BANDWIDTH_HZ / bin_hz)
        self._lag_fft_samples = _fft_length(LAG_RATE_HZ / bin_hz)
        self._lag_rate_hz = self._lag_fft_samples * bin_hz
        self._min_lag = math.floor(self._lag_rate_hz / MAX_F0_HZ)
        self._max_lag = math.ceil(self._lag_rate_hz / MIN_F0_HZ)
        self._path_back, self._path_ahead, self._peak_back, self._peak_ahead = (
            max(1, round(span_s / hop_s)) for span_s in (PATH_BACK_S, PATH_AHEAD_S, PEAK_BACK_S, PEAK_AHEAD_S)
        )
        self._overhang_back = self._half_analysis - self.window_samples // 2
        overhang_ahead = self.window_samples // 2 + self._half_analysis - self.window_samples
        self.lookback_samples = (self._path_back + self._peak_back) * self.hop_samples + self._overhang_back
        self.lookahead_samples = (self._path_ahead + self._peak_ahead) * self.hop_samples + overhang_ahead
        self.lookback_frames = math.ceil(self.lookback_samples / self.hop_samples)
        self.lookahead_frames = math.ceil(self.lookahead_samples / self.hop_samples)

    @torch.no_grad()
    def forward(self, input_values: Tensor) -> tuple[Tensor, Tensor]:
        """Find F0 and voicing.

        Args:
            input_values: `(batch, samples)`, waveform in -1 .. 1; zeros to the right of a shorter clip.

        Returns:
            `f0_hz` `(batch, frames)`, in Hz, 0 where unvoiced; `voicing` `(batch, frames)`, 0 .. 1, the normalised
            autocorrelation at the period (1: perfectly periodic), or where unvoiced its highest peak, faded to 0 in
            silence. Both float32.

        Raises:
            ValueError: `input_values` is not a floating `(batch, samples)` of at least one window.
        """
        if input_values.dim() != 2 or not input_values.is_floating_point():
            raise ValueError(
                f"input_values must be floating point, -1 .. 1, and (batch, samples), "
                f"not {input_values.dtype} {tuple(input_values.shape)}"
            )
        if input_values.shape[1] < self.window_samples:
            raise ValueError(
                f"input_values has {input_values.shape[1]} samples; one frame needs at least {self.window_samples} "
                f"({self.window_s} s at {self.sampling_rate} Hz): pad or drop shorter clips"
            )
        num_frames = 1 + (input_values.shape[1] - self.window_samples) // self.hop_samples
        if torch.compiler.is_exporting():  # a graph has one block
            return self._track(input_values)
        # not so short that most of a block is the neighbours' frames
        block_frames = max(BLOCK_FRAMES // input_values.shape[0], 5 * (self.lookback_frames + self.lookahead_frames))
        if num_frames <= block_frames:
            return self._track(input_values)
        blocks = [
            self._track_block(input_values, start, min(start + block_frames, num_frames))
            for start in range(0, num_frames, block_frames)
        ]
        f0_hz, voicing = zip(*blocks, strict=True)
        return torch.cat(f0_hz, dim=1), torch.cat(voicing, dim=1)

    def _track_block(self, input_values: Tensor, start: int, end: int) -> tuple[Tensor, Tensor]:
        """Frames `start` up to, not including, `end`, from the samples that they depend on."""
        first = max(0, start - self.lookback_frames)
        past = (end - 1 + self.lookahead_frames) * self.hop_samples + self.window_samples
        f0_hz, voicing = self._track(input_values[:, first * self.hop_samples : past])
        return f0_hz[:, start - first : end - first], voicing[:, start - first : end - first]

    def _track(self, input_values: Tensor) -> tuple[Tensor, Tensor]:
        frames = self._frames(input_values.float())
        loudness = self._loudness(frames)
        f0_hz, strength = self._candidates(self._normalised_autocorrelation(frames))
        return self._decide(f0_hz, strength, loudness)

    def _frames(self, input_values: Tensor) -> Tensor:
        """Frames less their local mean, `(batch, frames + path_ahead + peak_ahead, fft_samples)`, window first."""
        samples = input_values.shape[1]
        hops = self._path_ahead + self._peak_ahead + (samples - self.window_samples) // self.hop_samples
        right = hops * self.hop_samples + self._fft_samples - self._overhang_back - samples
        padded = F.pad(input_values, (self._overhang_back, right))
        frames = padded.unfold(1, self._fft_samples, self.hop_samples)
        return frames - frames[..., self._central_period].mean(-1, keepdim=True)

    def _loudness(self, frames: Tensor) -> Tensor:
        """`(batch, frames + path_ahead)`, 0 .. 1: a frame's peak as a share of the highest peak around it."""
        peak = frames[..., self._central_period].abs().amax(-1)
        around = F.pad(peak, (self._peak_back, 0)).unfold(1, self._peak_back + 1 + self._peak_ahead, 1).amax(-1)
        return peak[:, : around.shape[1]] / around.clamp(min=AMPLITUDE_FLOOR)

    def _normalised_autocorrelation(self, frames: Tensor) -> Tensor:
        """`(batch, frames, max_lag + 2)`, lag 0 first: Boersma's r_x, the window's own autocorrelation divided out.

        The numerator is of the band up to `BANDWIDTH_HZ`, the energy it is divided by of the whole band: hiss counts
        as not periodic although the peaks are smooth. Overwrites `frames`.
        """
        size = 2 * self._half_analysis
        position = (torch.arange(size, device=frames.device) + 0.5) / size
        window = 0.5 - 0.5 * torch.cos(2 * math.pi * position)
        windowed = frames.mul_(F.pad(window, (0, self._fft_samples - size)))
        energy = torch.linalg.vector_norm(windowed, dim=-1, keepdim=True).clamp(min=AMPLITUDE_FLOOR).square()
        spectrum = torch.fft.rfft(windowed)[..., : self._bins]
        power = spectrum.real.square() + spectrum.imag.square()
        # The inverse transform of an even spectrum is a cosine sum: a forward real FFT of its half gives that at a
        # third of irfft's cost. Cutting the bins is a low-pass filter, a longer transform interpolates the lags.
        cosines = torch.fft.rfft(power, n=self._lag_fft_samples).real[..., : self._max_lag + 2]
        correlation = 2 * cosines - power[..., :1]
        # Autocorrelation of a Hann window, eq. 8 of the paper.
        lag = torch.arange(self._max_lag + 2, device=frames.device) * (self.sampling_rate / self._lag_rate_hz / size)
        angle = 2 * math.pi * lag
        of_window = (1 - lag) * (2 / 3 + torch.cos(angle) / 3) + torch.sin(angle) / (2 * math.pi)
        return correlation / (energy * self._fft_samples) / of_window

    def _candidates(self, correlation: Tensor) -> tuple[Tensor, Tensor]:
        """F0 in Hz and height of the highest peaks, `(batch, frames, CANDIDATES)` each.

        Both are refined by a parabola through three points. Heights of missing peaks are `IMPOSSIBLE`.
        """
        first = self._min_lag
        centre = correlation[..., first : self._max_lag + 1]
        left, right = correlation[..., first - 1 : self._max_lag], correlation[..., first + 1 :]
        lags = torch.arange(first, self._max_lag + 1, device=correlation.device)
        ranked = centre - OCTAVE_COST * torch.log2(lags * (MIN_F0_HZ / self._lag_rate_hz))
        is_peak = (centre > left) & (centre >= right)
        index = torch.where(is_peak, ranked, IMPOSSIBLE).topk(min(CANDIDATES, lags.numel())).indices
        top, below, above = (values.gather(-1, index) for values in (centre, left, right))
        # Negative at a peak; what is computed elsewhere is discarded below.
        curvature = (below - 2 * top + above).clamp(max=-1e-9)
        shift = (0.5 * (below - above) / curvature).clamp(-1.0, 1.0)
        f0_hz = self._lag_rate_hz / (index + first + shift)
        is_candidate = is_peak.gather(-1, index) & (top > 0) & (f0_hz >= MIN_F0_HZ) & (f0_hz <= MAX_F0_HZ)
        strength = top - 0.25 * (below - above) * shift
        return f0_hz, torch.where(is_candidate, strength, IMPOSSIBLE)

    def _decide(self, f0_hz: Tensor, strength: Tensor, loudness: Tensor) -> tuple[Tensor, Tensor]:
        """Choose a candidate or "unvoiced" in every frame; drop the frames past the end."""
        frames = loudness.shape[1]
        f0_hz, strength = f0_hz[:, :frames], strength[:, :frames]
        octave = torch.log2(f0_hz / MIN_F0_HZ)
        silence = loudness * ((1 + VOICING_THRESHOLD) / SILENCE_THRESHOLD)
        unvoiced = VOICING_THRESHOLD + (2 - silence).clamp(min=0)
        # States first, frames last: the reductions over states then run along contiguous memory.
        local = torch.cat([unvoiced[:, None], (strength + OCTAVE_COST * octave).transpose(1, 2)], dim=1).contiguous()
        octave = F.pad(octave.transpose(1, 2), (0, 0, 1, 0)).contiguous()
        total = local + self._messages(local, octave)
        state = total[..., : frames - self._path_ahead].argmax(1, keepdim=True)

        frames = state.shape[-1]
        f0_hz = F.pad(f0_hz[:, :frames].transpose(1, 2), (0, 0, 1, 0)).gather(1, state)[:, 0]
        strongest = strength[:, :frames].amax(-1)
        chosen = F.pad(strength[:, :frames].transpose(1, 2), (0, 0, 1, 0)).gather(1, state)[:, 0]
        voicing = torch.where(state[:, 0] > 0, chosen, strongest) * (silence[:, :frames] / 2).clamp(max=1)
        return f0_hz, voicing.clamp(0, 1)

    def _messages(self, local: Tensor, octave: Tensor) -> Tensor:
        """Best scores of the path before and after each state, `(batch, states, frames)`; state 0 is "unvoiced".

        This is the Viterbi algorithm on `[i - path_back, i + path_ahead]` for all frames `i` at once: after `n` rounds
        the scores of a frame include `n` neighbours. `local` holds the score of each state by itself.
        """
        per_hop = 0.01 / self.hop_s
        before, after = octave[:, :, None, :-1], octave[:, None, :, 1:]
        cost = (OCTAVE_JUMP_COST * per_hop) * (before - after).abs()
        states = torch.arange(local.shape[1], device=local.device)
        is_voiced = states > 0
        changes = (is_voiced[:, None] != is_voiced[None, :])[..., None]
        both = (is_voiced[:, None] & is_voiced[None, :])[..., None]
        cost = torch.where(both, cost, changes * (VOICED_UNVOICED_COST * per_hop))
        forward = backward = torch.zeros_like(local)
        for _ in range(self._path_back):
            best = ((local + forward)[:, :, None, :-1] - cost).amax(1)
            forward = F.pad(best, (1, 0))
        for _ in range(self._path_ahead):
            best = ((local + backward)[:, None, :, 1:] - cost).amax(2)
            backward = F.pad(best, (0, 1))
        return forward + backward


def pitch_features(f0_hz: Tensor, voicing: Tensor) -> Tensor:
    """Compute three features per frame from a pitch track, without looking ahead.

    Args:
        f0_hz: `(batch, frames)`, Hz, 0 where unvoiced.
        voicing: `(batch, frames)`, 0 .. 1.

    Returns:
        `(batch, frames, 3)`: log-pitch, octaves above 100 Hz, 0 where unvoiced; its delta, octaves from the frame
        before, 0 unless both frames are voiced (so onsets give no spurious jump); voicing, as given.

    Raises:
        ValueError: the two are not of one shape `(batch, frames)`.
    """
    if f0_hz.dim() != 2 or f0_hz.shape != voicing.shape:
        raise ValueError(
            f"f0_hz and voicing must both be (batch, frames), not {tuple(f0_hz.shape)} and {tuple(voicing.shape)}"
        )
    is_voiced = f0_hz > 0
    log_pitch = torch.where(is_voiced, torch.log2(torch.where(is_voiced, f0_hz, 100.0) / 100.0), 0.0)
    both_voiced = is_voiced[:, 1:] & is_voiced[:, :-1]
    delta = F.pad(torch.where(both_voiced, log_pitch[:, 1:] - log_pitch[:, :-1], 0.0), (1, 0))
    return torch.stack([log_pitch, delta, voicing.to(log_pitch.dtype)], dim=-1)


def _fft_length(samples: float) -> int:
    """Smallest power of two that is at least `samples`; ONNX Runtime is slow at any other length."""
    return 2 ** math.ceil(math.log2(samples))
