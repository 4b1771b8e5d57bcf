"""From the waveform, and the transcript where there is one, to the frames of every branch."""

from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from .configuration_affect import AffectBranchConfig
from .encoder import FreezableEncoder, SpeechEncoder, TextEncoder
from .log_mel import LogMelFilterbank, subtract_running_mean
from .pitch import PitchTracker, pitch_features
from .regressor import pad_at_end


class AcousticFrames(nn.Module):
    """Frames of an acoustic branch, from the waveform.

    Args:
        config: an acoustic branch, source `mfb` or `mfb_f0`.
        sampling_rate: in hertz.

    Attributes:
        lookback_frames, lookahead_frames: how far a frame reaches beyond its own window, in whole hops.
    """

    def __init__(self, config: AffectBranchConfig, sampling_rate: int):
        super().__init__()
        window_s, hop_s = config.window_s, config.hop_s
        self.mel_filterbank = LogMelFilterbank(config.num_mel_bins, window_s, hop_s, sampling_rate)
        self.pitch_tracker = PitchTracker(sampling_rate, hop_s, window_s) if config.source == "mfb_f0" else None
        self.normalization = config.normalization
        self.lookback_frames = self.lookahead_frames = 0
        if self.pitch_tracker is not None:
            self.lookback_frames = self.pitch_tracker.lookback_frames + 1  # the pitch delta is from the frame before
            self.lookahead_frames = self.pitch_tracker.lookahead_frames

    def forward(self, input_values: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the frames (batch, frames, width) and their mask, true where the window lies within the clip.

        Args:
            input_values: (batch, samples), zero where padded.
            lengths: (batch,) valid samples.
        """
        frames, _ = self.normalized(self.features(input_values))
        counts = self.mel_filterbank.num_frames(lengths)
        mask = torch.arange(frames.shape[1], device=frames.device) < counts.unsqueeze(1)
        return frames, mask

    def features(self, input_values: torch.Tensor) -> torch.Tensor:
        """Compute (batch, frames, width) float32 of every window of (batch, samples), at least one window long."""
        frames = self.mel_filterbank(input_values)
        if self.pitch_tracker is None:
            return frames
        return torch.cat([frames, pitch_features(*self.pitch_tracker(input_values))], dim=-1)

    def normalized(
        self, frames: torch.Tensor, count: int = 0, total: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Normalise the mel bands of (..., frames, width) of [`features`], as [`subtract_running_mean`] does."""
        if self.normalization is None:
            return frames, None
        bands = self.mel_filterbank.num_mel_bins
        mel, total = subtract_running_mean(frames[..., :bands], count, total)
        return torch.cat([mel, frames[..., bands:]], dim=-1), total


class AffectFrontEnd(nn.Module):
    """All that comes before the trained head: filterbanks, pitch, and each pre-trained encoder once.

    Args:
        config: an [`AffectFusionConfig`] or [`AffectStudentConfig`].
    """

    def __init__(self, config):
        super().__init__()
        self.branches = list(config.branches)
        self.acoustic = nn.ModuleDict(
            {b.name: AcousticFrames(b, config.sampling_rate) for b in self.branches if b.is_acoustic}
        )
        self.encoders = nn.ModuleDict()
        for name, encoder in config.encoders.items():
            try:
                built = TextEncoder(encoder) if encoder.is_text else SpeechEncoder(encoder, config.sampling_rate)
            except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError) as error:
                raise ValueError(f"encoder {name!r} cannot be built from its backbone: {error!r}") from error
            self.encoders[name] = built

    def start_anew(self, names: set[str]) -> None:
        """Set these weights of encoders, by their names in the model, to those of new encoders."""
        for name, encoder in self.encoders.items():
            prefix = f"front_end.encoders.{name}.backbone."
            if own := {weight.removeprefix(prefix) for weight in names if weight.startswith(prefix)}:
                encoder.start_anew(own)

    def freeze(self, config) -> None:
        """Freeze or train each encoder, as the model's configuration says."""
        for name, encoder in self.encoders.items():
            encoder.freeze(config.encoders[name].frozen)

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
        given: Collection[str] = (),
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Compute the raw frames of every branch, or of all but some.

        Args:
            input_values: (batch, samples) at 16 kHz in [-1, 1]; where a branch reads the waveform.
            attention_mask: (batch, samples), 1 where valid; the rest is padding, before or after. Without it all are
                valid.
            input_ids: (batch, tokens) of the transcripts; where a branch reads text.
            text_attention_mask: (batch, tokens), 1 where valid; the rest is padding, before or after. Without it all
                but the padding token are valid.
            given: names of branches that are left out.

        Returns:
            per branch name: raw frames (batch, frames, width), and masks (batch, frames), valid frames first. A token
            is a frame.

        Raises:
            ValueError: an input is missing, or given and not read; wrong shapes, or a clip too short for one frame.
        """
        wanted = [branch for branch in self.branches if branch.name not in given]
        kinds = {TextEncoder if self._is_text(branch) else SpeechEncoder for branch in wanted}
        self._check_inputs(kinds, input_values, attention_mask, input_ids, text_attention_mask)
        frames: dict[str, torch.Tensor] = {}
        masks: dict[str, torch.Tensor] = {}
        if SpeechEncoder in kinds:
            self._read_audio(wanted, input_values, attention_mask, frames, masks)
        if TextEncoder in kinds:
            self._read_frames(wanted, TextEncoder, (input_ids, text_attention_mask), frames, masks)
        return frames, masks

    def _is_text(self, branch: AffectBranchConfig) -> bool:
        return not branch.is_acoustic and isinstance(self.encoders[branch.source], TextEncoder)

    def _read_audio(self, wanted: list, input_values, attention_mask, frames: dict, masks: dict) -> None:
        self._check_shapes(input_values, attention_mask)
        lengths = torch.full(input_values.shape[:1], input_values.shape[1], device=input_values.device)
        if attention_mask is not None:
            input_values, mask = pad_at_end(input_values, attention_mask)
            input_values, lengths = input_values.masked_fill(~mask, 0.0), mask.sum(dim=1)
        for name in [branch.name for branch in wanted if branch.is_acoustic]:
            source: Any = self.acoustic[name]
            needed = source.mel_filterbank.window_size
            if not torch.compiler.is_compiling() and int(lengths.min()) < needed:
                raise ValueError(
                    f"a clip has {int(lengths.min())} samples; {needed} at 16 kHz are one frame of {name}"
                )
            frames[name], masks[name] = source(input_values, lengths)
        inputs = (input_values, None if attention_mask is None else lengths)
        self._read_frames(wanted, SpeechEncoder, inputs, frames, masks)

    def _read_frames(self, wanted: list, kind: type[FreezableEncoder], inputs: tuple, frames: dict, masks: dict):
        """Add the frames of those wanted branches whose encoders are of this kind; each encoder runs once."""
        for name, encoder in self.encoders.items():
            readers = [b for b in wanted if b.source == name]
            if not readers or not isinstance(encoder, kind):
                continue
            by_state, mask = encoder(*inputs, list(dict.fromkeys(b.hidden_state for b in readers)))
            for branch in readers:
                frames[branch.name], masks[branch.name] = by_state[branch.hidden_state], mask

    @staticmethod
    def _check_inputs(kinds, input_values, attention_mask, input_ids, text_attention_mask) -> None:
        if input_values is None and attention_mask is not None:
            raise ValueError(
                "attention_mask belongs to input_values, which are missing; pass a tokenizer's as text_attention_mask"
            )
        if input_ids is None and text_attention_mask is not None:
            raise ValueError("text_attention_mask belongs to input_ids, which are missing")
        reads_audio, reads_text = SpeechEncoder in kinds, TextEncoder in kinds
        if reads_text and input_ids is None:
            raise ValueError(
                "this model needs the transcript: pass input_ids and text_attention_mask, as its AutoProcessor gives "
                "them: processor(audio=..., text=..., return_tensors='pt')"
            )
        if not reads_text and input_ids is not None:
            raise ValueError("this model reads no text: leave input_ids out")
        if reads_audio and input_values is None:
            raise ValueError("this model needs the waveform: pass input_values from its feature extractor")
        if not reads_audio and input_values is not None:
            raise ValueError("this model reads no audio: leave input_values out")
        if reads_text and reads_audio and input_ids.shape[0] != input_values.shape[0]:
            raise ValueError(f"input_ids are {len(input_ids)} texts for {len(input_values)} clips; give one for each")

    @staticmethod
    def _check_shapes(input_values, attention_mask) -> None:
        if input_values.ndim != 2:
            raise ValueError(f"input_values has shape {tuple(input_values.shape)}; it must be (batch, samples)")
        if attention_mask is not None and attention_mask.shape != input_values.shape:
            raise ValueError(
                f"attention_mask has shape {tuple(attention_mask.shape)}; "
                f"it must be that of input_values, {tuple(input_values.shape)}"
            )
