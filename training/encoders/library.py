"""The pre-trained encoders of a run: their files, configurations, tokenizers and weights."""

import copy
from pathlib import Path

import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from speech_affect import AffectEncoderConfig
from speech_affect.encoder import max_tokens, pooler_option, truncate_layers

from ..files import read_json
from .encoder_sources import EncoderSource, resolve_encoder


DISTILLATION = "distillation.json"  # in the folder of an encoder that a run has made: what it learnt from


class EncoderLibrary:
    """The encoders that the branches of a run read.

    Args:
        settings: Per encoder name the recipe's `{id, revision, pad_to_window}`.
        branches: Settings of every branch of the run. Layers above the highest hidden state read are left out.
        cache_dir: Folder for converted encoders; None for the default of [`resolve_encoder`].
    """

    def __init__(self, settings: dict, branches: list[dict], cache_dir: Path | None):
        self.sources: dict[str, EncoderSource] = {}
        self.configs: dict[str, AffectEncoderConfig] = {}
        for name, entry in settings.items():
            states = [branch.get("hidden_state", "last") for branch in branches if branch["source"] == name]
            if states:
                source = resolve_encoder(entry["id"], revision=entry.get("revision"), cache_dir=cache_dir)
                self.sources[name] = source
                self.configs[name] = _encoder_config(source, states, entry.get("pad_to_window", True))

    @property
    def text_names(self) -> list[str]:
        """Names of the encoders that read the transcript."""
        return [name for name, config in self.configs.items() if config.is_text]

    def tokenizer(self, name: str) -> PreTrainedTokenizerBase:
        """Load the tokenizer of a text encoder, set to pad on the right and to truncate where the encoder ends.

        Raises:
            ValueError: The encoder's folder has no tokenizer, or one with more tokens than the encoder.
        """
        folder, backbone = self.sources[name].folder, self.configs[name].backbone
        tokenizer = AutoTokenizer.from_pretrained(folder)
        # without any file transformers makes an empty tokenizer, which reads every word as the unknown one
        files = {"tokenizer.json", *type(tokenizer).vocab_files_names.values()}
        if not any((folder / name).is_file() for name in files):
            raise ValueError(
                f"{folder} has no tokenizer; a text encoder needs one of {', '.join(sorted(files))} beside it"
            )
        if len(tokenizer) > backbone.vocab_size:
            raise ValueError(
                f"the tokenizer in {folder} has {len(tokenizer)} tokens, but the encoder {backbone.vocab_size}: "
                "they do not belong together"
            )
        tokenizer.padding_side = tokenizer.truncation_side = "right"
        if tokenizer.pad_token is None:  # as of GPT-2; what stands behind the mask is never read
            tokenizer.pad_token = tokenizer.eos_token
        with torch.device("meta"):  # only for the sizes
            limit = max_tokens(AutoModel.from_config(backbone, **pooler_option(backbone)))
        tokenizer.model_max_length = min(tokenizer.model_max_length, limit or tokenizer.model_max_length)
        return tokenizer

    def backbone(self, name: str) -> torch.nn.Module:
        """Load an encoder's weights, without the layers that no branch reads."""
        config = copy.deepcopy(self.configs[name].backbone)  # loading notes its dtype in it
        options = pooler_option(config) if self.configs[name].is_text else {}
        folder = self.sources[name].folder
        model = AutoModel.from_pretrained(folder, config=config, use_safetensors=True, **options)
        return model.get_encoder() if config.is_encoder_decoder else model

    def distillation(self, name: str) -> dict:
        """Return what an encoder that a run has made learnt from, as in its folder; nothing of any other."""
        return read_json(self.sources[name].folder / DISTILLATION)

    def identity(self, name: str) -> dict:
        """Return what cached frames of this encoder depend on, besides the branch's settings."""
        source, config = self.sources[name], self.configs[name]
        return {
            "encoder": source.name,
            "revision": source.revision,
            "do_normalize": config.do_normalize,
            "pad_to_window": config.pad_to_window,
        }


def _encoder_config(source: EncoderSource, states: list, pad_to_window: bool) -> AffectEncoderConfig:
    backbone = AutoConfig.from_pretrained(source.folder)
    backbone.name_or_path = source.name  # for the checkpoint, instead of a folder of this machine
    if all(isinstance(state, int) for state in states):
        truncate_layers(backbone, max(states))
    config = AffectEncoderConfig(backbone=backbone, pad_to_window=pad_to_window)
    if not config.is_text:
        preparation = AutoFeatureExtractor.from_pretrained(source.folder)
        config.do_normalize = bool(getattr(preparation, "do_normalize", False))
    return config
