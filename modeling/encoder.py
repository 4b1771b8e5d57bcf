"""Pre-trained encoders of speech and of text: any of transformers, any of their hidden states."""

import copy
import inspect

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import MODEL_MAPPING, AutoModel
from transformers.configuration_utils import PreTrainedConfig
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import BaseModelOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder
from transformers.utils.output_capturing import install_all_output_capturing_hooks

from .configuration_affect import AffectEncoderConfig, encoder_hop
from .log_mel import WhisperLogMel, wav2vec2_bert_features
from .regressor import pad_at_end


# longer audio goes in consecutive windows: attention grows with the square of the length, and Whisper's is fixed
WINDOW_S = 30.0
WINDOWS_AT_ONCE = 8


def is_paddable(backbone: PreTrainedConfig) -> bool:
    """Whether right padding under an attention mask leaves the valid frames of this encoder as they are.

    Convolutions that normalise over time (`feat_extract_norm="group"`) or stacked positional convolutions
    (data2vec-audio) let padding in. Encoders that are not known to be safe run one clip at a time.
    """
    if backbone.model_type in ("whisper", "wav2vec2-bert"):
        return True
    return (
        backbone.model_type in ("hubert", "wav2vec2", "wavlm")
        and getattr(backbone, "feat_extract_norm", None) == "layer"
        and not getattr(backbone, "conv_pos_batch_norm", False)
    )


def truncate_layers(backbone: PreTrainedConfig, highest_hidden_state: int) -> None:
    """Drop the layers that no branch reads, but for one: encoders normalise the output of their last layer."""
    backbone.num_hidden_layers = min(backbone.num_hidden_layers, highest_hidden_state + 1)
    if getattr(backbone, "layer_types", None):  # of encoders whose layers differ, such as ModernBERT's
        backbone.layer_types = backbone.layer_types[: backbone.num_hidden_layers]


def run_unpadded_whisper(
    backbone: WhisperEncoder, log_mel: torch.Tensor, mask: torch.Tensor | None = None
) -> BaseModelOutput:
    """Run Whisper's encoder on (batch, mel bins, frames) of at most 30 s, where its own forward takes 30 s alone.

    Args:
        log_mel: zero where padded.
        mask: (batch, frames), True where valid; all are without it.

    Returns:
        last hidden state (batch, ceil(frames / 2), width) and all hidden states, as transformers numbers them.
    """
    hidden = nn.functional.gelu(backbone.conv1(log_mel))
    if mask is not None:
        hidden = hidden * mask.unsqueeze(1)
    hidden = nn.functional.gelu(backbone.conv2(hidden)).transpose(1, 2)
    positions, embed = torch.arange(hidden.shape[1], device=hidden.device), backbone.embed_positions
    # a node `embedding` of a graph would have the name of the model's output
    states = [hidden + (embed.weight[positions] if torch.compiler.is_exporting() else embed(positions))]
    if mask is not None:
        mask = create_bidirectional_mask(config=backbone.config, inputs_embeds=hidden, attention_mask=mask[:, ::2])
    for layer in backbone.layers:
        states.append(layer(states[-1], mask))
    states[-1] = backbone.layer_norm(states[-1])
    return BaseModelOutput(last_hidden_state=states[-1], hidden_states=tuple(states))


def select_hidden_state(outputs: BaseModelOutput, state: int | str) -> torch.Tensor:
    """Choose (batch, frames, width): `"last"`, the index of one, or for `"weighted_sum"` all of them side by side."""
    if state == "weighted_sum":
        return torch.cat(outputs.hidden_states, dim=-1)
    return outputs.last_hidden_state if state == "last" else outputs.hidden_states[state]


def pooler_option(backbone: PreTrainedConfig) -> dict[str, bool]:
    """Give the arguments of `AutoModel` that leave the pooler out, for the families that have one.

    No branch reads it, and checkpoints of masked language models such as RoBERTa's have no weights for it.
    """
    has_option = "add_pooling_layer" in inspect.signature(MODEL_MAPPING[type(backbone)].__init__).parameters
    return {"add_pooling_layer": False} if has_option else {}


def build_backbone(config: PreTrainedConfig) -> PreTrainedModel:
    """Make an encoder of transformers with new weights, without what no branch reads: a pooler, Whisper's decoder."""
    if config.model_type == "whisper":
        backbone = WhisperEncoder(config)
    else:
        backbone = AutoModel.from_config(config, **pooler_option(config))
    return backbone.to(config.dtype or torch.get_default_dtype())


class FreezableEncoder(nn.Module):
    """An encoder of transformers as `backbone`; while none of its weights is trained it stays in evaluation mode."""

    def __init__(self, config: AffectEncoderConfig):
        super().__init__()
        self.family = config.backbone.model_type
        self.backbone = build_backbone(config.backbone)
        install_all_output_capturing_hooks(self.backbone)  # a first call takes a lock, which no graph can
        # never trained, such as Whisper's sinusoidal positions
        self._constants = {name for name, weight in self.backbone.named_parameters() if not weight.requires_grad}
        self.freeze(config.frozen)

    @property
    def frozen(self) -> bool:
        """Whether none of the weights is trained."""
        return not any(weight.requires_grad for weight in self.backbone.parameters())

    def freeze(self, frozen: bool = True) -> None:
        """Freeze the encoder, or with `False` train it, without LayerDrop."""
        for name, weight in self.backbone.named_parameters():
            weight.requires_grad_(not frozen and name not in self._constants)
        for owner in () if frozen else (self.backbone.config, *self.backbone.modules()):
            if getattr(owner, "layerdrop", 0):  # each layer left out would give its place to the next hidden state
                owner.layerdrop = 0.0
        self.train(self.training)

    @torch.no_grad()
    def start_anew(self, names: set[str]) -> None:
        """Set weights of the backbone to those of a new one; where loading misses them, transformers draws not all."""
        new = build_backbone(copy.deepcopy(self.backbone.config)).state_dict()
        for name, values in self.backbone.state_dict().items():
            if name in names:
                values.copy_(new[name])

    def train(self, mode: bool = True):
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def gradients(self):
        """A context in which gradients are computed only if they were before, and the encoder is not frozen."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen)


class SpeechEncoder(FreezableEncoder):
    """A speech encoder of transformers with its own input preparation, from padded waveforms to masked frames.

    Audio longer than 30 s goes in windows of 30 s, each as if it were a clip by itself: normalised by itself too where
    the encoder wants that, so that a stream gives what the whole recording gives.

    Args:
        config: the encoder's backbone and preparation.
        sampling_rate: in hertz.
    """

    def __init__(self, config: AffectEncoderConfig, sampling_rate: int):
        super().__init__(config)
        if self.family == "whisper":
            self.log_mel = WhisperLogMel(config.backbone.num_mel_bins, sampling_rate)
        self.do_normalize = config.do_normalize
        self.paddable = is_paddable(config.backbone) and config.pad_to_window
        self.pad_to_window = config.pad_to_window
        self.window_size = round(WINDOW_S * sampling_rate)
        self.hop = encoder_hop(config.backbone)

    def forward(
        self, input_values: torch.Tensor, lengths: torch.Tensor | None, hidden_states: list[int | str]
    ) -> tuple[dict[int | str, torch.Tensor], torch.Tensor]:
        """Compute the frames of each of some hidden states.

        Args:
            input_values: (batch, samples), zero where padded.
            lengths: (batch,) valid samples; all are without it.
            hidden_states: which to return, as in [`select_hidden_state`].

        Returns:
            frames (batch, frames, width) for each, zero where padded, and their common mask (batch, frames).

        Raises:
            ValueError: a clip is too short for one frame, or audio that this encoder cannot take when exported.
        """
        if torch.compiler.is_compiling():
            obstacle = self._obstacle(input_values.shape[1], lengths is not None)
            if obstacle is None:
                return self._encode_in_graph(input_values, lengths, hidden_states)
            if torch.compiler.is_exporting():
                raise ValueError(f"an encoder of the family {self.family!r} cannot be exported so: {obstacle}")
        return self._encode_by_windows(input_values, lengths, hidden_states)

    @torch.compiler.disable(reason="clips of over 30 s, and padding that changes frames, are no one graph")
    def _encode_by_windows(self, input_values, lengths, hidden_states):
        lengths = [input_values.shape[1]] * len(input_values) if lengths is None else lengths.tolist()
        if self.num_frames(min(lengths)) < 1:
            raise ValueError(f"{min(lengths)} samples are too few for one frame of {self.family}; give 0.1 s")
        windows, owners = self._cut_windows(input_values, lengths)
        collected: dict = {state: [[] for _ in range(len(input_values))] for state in hidden_states}
        with self.gradients():
            at_once = self._windows_at_once(max(map(len, windows)), input_values.device)
            for start in range(0, len(windows), at_once):
                group = slice(start, start + at_once)
                for owner, frames in zip(owners[group], self._encode(windows[group], hidden_states), strict=True):
                    for state in hidden_states:
                        parts = collected[state][owner]
                        if parts and self.frames_missing:
                            parts.append(parts[-1][-1:].repeat(self.frames_missing, 1))
                        parts.append(frames[state])
        joined = {state: [torch.cat(parts) for parts in rows] for state, rows in collected.items()}
        valid = [frames.new_ones(len(frames), dtype=torch.bool) for frames in joined[hidden_states[0]]]
        padded = {state: pad_sequence(rows, batch_first=True) for state, rows in joined.items()}
        return padded, pad_sequence(valid, batch_first=True)

    def _windows_at_once(self, longest: int, device: torch.device) -> int:
        """How many windows run together: on a GPU as much audio, padded, as of `WINDOWS_AT_ONCE` whole ones."""
        longest = self.window_size if device.type == "cpu" or self.family == "whisper" else longest
        return WINDOWS_AT_ONCE * self.window_size // longest if self.paddable else 1

    def _obstacle(self, num_samples: int, may_be_padded: bool) -> str | None:
        """Say why clips cannot be computed as one graph, or return None."""
        if self.family == "wav2vec2-bert":
            return "its features are computed outside torch"
        if num_samples > self.window_size:
            return f"it takes clips of up to {int(WINDOW_S)} s"
        if may_be_padded and not (self.paddable or self.family == "whisper"):
            return "padding changes its frames; give clips of one length without attention_mask"
        return None

    def _encode_in_graph(self, input_values, lengths, hidden_states):
        """Compute what [`forward`] does, for clips of one window and without looking at values."""
        values, num_samples = input_values.float(), input_values.shape[1]
        counts = num_samples if lengths is None else lengths.unsqueeze(1)
        if self.do_normalize:
            valid = torch.arange(num_samples, device=values.device) < counts
            values = (values - values.sum(dim=1, keepdim=True) / counts) * valid
            values = values / (values.square().sum(dim=1, keepdim=True) / counts + 1e-7).sqrt()
        with self.gradients():
            outputs = self._run_backbone(values, lengths, any(state != "last" for state in hidden_states))
        mask = torch.arange(self._count_frames(num_samples), device=values.device) < self._count_frames(counts)
        mask = mask.expand(values.shape[0], -1)
        frames = {state: select_hidden_state(outputs, state)[:, : mask.shape[1]] for state in hidden_states}
        return {state: values.masked_fill(~mask.unsqueeze(-1), 0.0) for state, values in frames.items()}, mask

    def _cut_windows(self, input_values, lengths: list[int]):
        windows, owners = [], []
        for row, length in enumerate(lengths):
            for window in input_values[row, :length].float().split(self.window_size):
                if self.num_frames(len(window)) < 1:
                    continue  # a remainder shorter than one frame
                if self.do_normalize:
                    window = (window - window.mean()) / (window.var(unbiased=False) + 1e-7).sqrt()
                windows.append(window)
                owners.append(row)
        return windows, owners

    @property
    def frames_missing(self) -> int:
        """Frames that a whole window lacks to fill its hops: the first convolutions of most encoders drop one.

        The last one of a window is repeated before the next, or the frames of long audio would run ahead of its time.
        """
        return max(0, self.window_size // self.hop - self.num_frames(self.window_size))

    def num_frames(self, num_samples: int) -> int:
        """Frames of so many samples in one window; 0 when they are too few."""
        if self.family == "whisper" and not self.pad_to_window and num_samples <= WhisperLogMel.fft_size // 2:
            return 0  # the mirrored margin of the first spectrum needs more samples than it has
        return max(0, self._count_frames(num_samples))

    def _count_frames(self, num_samples):
        """Frames of so many samples (int or tensor) in one window; 0 or less when they are too few."""
        if self.family == "whisper":
            hop = WhisperLogMel.hop
            return -(-num_samples // (2 * hop)) if self.pad_to_window else (num_samples // hop + 1) // 2
        if self.family == "wav2vec2-bert":
            return ((num_samples - 400) // 160 + 1) // 2
        config = self.backbone.config
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            num_samples = (num_samples - kernel) // stride + 1
        for _ in range(config.num_adapter_layers if getattr(config, "add_adapter", False) else 0):
            num_samples = (num_samples - 1) // config.adapter_stride + 1
        return num_samples

    def _encode(self, windows: list[torch.Tensor], hidden_states) -> list[dict[int | str, torch.Tensor]]:
        """Compute the frames (frames, width) of each window, for each hidden state."""
        inputs = [wav2vec2_bert_features(w) for w in windows] if self.family == "wav2vec2-bert" else windows
        lengths = torch.tensor([len(values) for values in inputs], device=windows[0].device) if self.paddable else None
        values = pad_sequence(inputs, batch_first=True)
        outputs = self._run_backbone(values, lengths, any(state != "last" for state in hidden_states))
        stacked = {state: select_hidden_state(outputs, state) for state in hidden_states}
        counts = [self.num_frames(len(window)) for window in windows]
        return [{state: frames[row, :n] for state, frames in stacked.items()} for row, n in enumerate(counts)]

    def _run_backbone(self, values: torch.Tensor, lengths: torch.Tensor | None, output_hidden_states: bool):
        """Run the encoder on a batch of windows, (batch, samples) or wav2vec2-BERT's features, zero where padded."""
        dtype, options = self.backbone.dtype, {"output_hidden_states": output_hidden_states, "return_dict": True}
        if self.family == "whisper" and self.pad_to_window:
            values, lengths = nn.functional.pad(values, (0, self.window_size - values.shape[1])), None
            if not torch.compiler.is_exporting():
                return self.backbone(self.log_mel(values).to(dtype), **options)
        if self.family == "whisper":
            log_mel, mask = self.log_mel(values, lengths).to(dtype), None
            if lengths is not None:
                frames = torch.arange(log_mel.shape[2], device=values.device)
                mask = frames < lengths.unsqueeze(1) // WhisperLogMel.hop
            return run_unpadded_whisper(self.backbone, log_mel, mask)
        if lengths is not None:
            options["attention_mask"] = (torch.arange(values.shape[1], device=values.device) < lengths[:, None]).long()
        return self.backbone(values.to(dtype), **options)


def max_tokens(backbone: nn.Module) -> int | None:
    """Find the longest text that an encoder takes, in tokens with the special ones; None where nothing limits it.

    Learned positions are counted from behind the padding token's where the family does so (RoBERTa and its kin), which
    makes their number less than `max_position_embeddings`.
    """
    for name, module in backbone.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return getattr(backbone.config, "max_position_embeddings", None)


class TextEncoder(FreezableEncoder):
    """A text encoder of transformers, from padded tokens to masked frames.

    Args:
        config: the encoder's backbone, and whether it is frozen.
    """

    def __init__(self, config: AffectEncoderConfig):
        super().__init__(config)
        self.pad_token_id = getattr(config.backbone, "pad_token_id", None)
        self.max_tokens = max_tokens(self.backbone)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None, hidden_states: list[int | str]
    ) -> tuple[dict[int | str, torch.Tensor], torch.Tensor]:
        """Compute the frames of each of some hidden states; a token is a frame.

        Args:
            input_ids: (batch, tokens), as the encoder's own tokenizer gives them, special tokens included.
            attention_mask: (batch, tokens), 1 where valid; the rest is padding, before or after. Without it, all but
                the encoder's padding token are valid.
            hidden_states: which to return, as in [`select_hidden_state`].

        Returns:
            frames (batch, tokens of the longest text, width) for each, zero where padded, and their common mask.

        Raises:
            ValueError: wrong shapes, padding within a text, a text without tokens or with too many, or tokens that the
                encoder does not have.
        """
        input_ids, mask = self._checked(input_ids, attention_mask)
        input_ids = input_ids.masked_fill(~mask, self.pad_token_id or 0)
        with self.gradients():
            outputs = self.backbone(
                input_ids=input_ids,
                attention_mask=mask.long(),
                output_hidden_states=any(state != "last" for state in hidden_states),
                return_dict=True,
            )
        frames = {s: select_hidden_state(outputs, s).masked_fill(~mask.unsqueeze(-1), 0.0) for s in hidden_states}
        return frames, mask

    def _checked(self, input_ids, attention_mask) -> tuple[torch.Tensor, torch.Tensor]:
        """Check both inputs, and return them with the padding at the end, cut to the longest text."""
        if input_ids.ndim != 2 or input_ids.is_floating_point():
            raise ValueError(
                f"input_ids has shape {tuple(input_ids.shape)}, {input_ids.dtype}; give integers (batch, tokens)"
            )
        if attention_mask is None:
            attention_mask = (
                torch.ones_like(input_ids) if self.pad_token_id is None else input_ids != self.pad_token_id
            )
        if attention_mask.shape != input_ids.shape:
            raise ValueError(
                f"the mask of the tokens has shape {tuple(attention_mask.shape)}; "
                f"it must be that of input_ids, {tuple(input_ids.shape)}"
            )
        input_ids, valid = pad_at_end(input_ids, attention_mask)
        longest = input_ids.shape[1] if torch.compiler.is_compiling() else self._longest(input_ids, valid)
        if self.max_tokens is not None and longest > self.max_tokens:
            raise ValueError(
                f"a text has {longest} tokens; {self.family} takes {self.max_tokens} at most: "
                f"call the tokenizer with truncation=True, max_length={self.max_tokens}"
            )
        return input_ids[:, :longest], valid[:, :longest]

    def _longest(self, input_ids, valid) -> int:
        """Check the tokens of each text, and return the most that one has."""
        lengths, used = valid.sum(dim=1), input_ids[valid]
        if int(lengths.min()) < 1:
            raise ValueError("a text has no token; give a tokenizer that adds special tokens, or leave the clip out")
        vocabulary = self.backbone.get_input_embeddings().num_embeddings
        if not 0 <= int(used.min()) <= int(used.max()) < vocabulary:
            raise ValueError(
                f"input_ids reach {int(used.max())}, but {self.family} has tokens 0 to {vocabulary - 1}: "
                "they come from another encoder's tokenizer"
            )
        return int(lengths.max())
