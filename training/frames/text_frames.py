"""Run frozen text encoders once over every transcript, and cache their frames: one per token."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from transformers import PreTrainedTokenizerBase

from speech_affect import AffectBranchConfig, AffectFusionConfig
from speech_affect.encoder import TextEncoder

from ..corpora.clip_table import ClipTable
from ..encoders.library import EncoderLibrary
from ..settings.split_key import SplitKey
from .extraction import extract_missing
from .frame_cache import FrameCache


TOKENIZED_AT_ONCE = 10_000  # texts


def clip_transcripts(tables: Mapping[SplitKey, ClipTable]) -> dict[str, str]:
    """Map the fingerprint of each clip's audio to its transcript.

    Raises:
        ValueError: Clips have no transcript, or clips with the same audio have different ones.
    """
    missing = {key: sum(not (text or "").strip() for text in table.transcripts) for key, table in tables.items()}
    if any(missing.values()):
        counts = ", ".join(f"{count} of {len(tables[key])} in {key}" for key, count in missing.items() if count)
        raise ValueError(
            f"a text encoder reads the transcript, which these clips lack: {counts}. Add the transcripts to the "
            "corpus, or leave out the systems with a text branch (--only)"
        )
    found: dict[str, str] = {}
    for key, table in tables.items():
        for fingerprint, text in zip(table.fingerprints, table.transcripts, strict=True):
            if found.setdefault(fingerprint, text) != text:
                raise ValueError(
                    f"a clip of {key} has the same audio as another, but not its transcript: {text!r} and "
                    f"{found[fingerprint]!r}; correct one or drop one of the clips"
                )
    return found


def text_inputs(tokens: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """Pad the tokens of each text to a batch.

    Returns:
        `input_ids` (batch, tokens) and `text_attention_mask` (batch, tokens), True where valid.
    """
    lengths = torch.tensor([len(text) for text in tokens])
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(text) for text in tokens], batch_first=True)
    return {"input_ids": ids, "text_attention_mask": torch.arange(ids.shape[1]) < lengths.unsqueeze(1)}


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of each text, special ones included, truncated to the encoder's limit."""
    parts = (list(texts[start : start + TOKENIZED_AT_ONCE]) for start in range(0, len(texts), TOKENIZED_AT_ONCE))
    return [ids for part in parts for ids in tokenizer(part, truncation=True)["input_ids"]]


@dataclass(frozen=True)
class TranscriptFrames:
    """Cached frames of a text branch, read by the fingerprint of the clip's audio.

    Args:
        cache: Frames by the fingerprint of their tokens.
        keys: Per fingerprint of a clip's audio that of its tokens.
    """

    cache: FrameCache
    keys: Mapping[str, str]

    @property
    def folder(self) -> Path:
        return self.cache.folder

    def read(self, fingerprint: str) -> np.ndarray:
        """Return the frames (tokens, width) of a clip, which must have a transcript, as [`FrameCache.read`] does."""
        return self.cache.read(self._key(fingerprint))

    def statistics(self, fingerprints: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation over the frames of these clips, as [`FrameCache.statistics`] does."""
        return self.cache.statistics(list(map(self._key, fingerprints)))

    def text_fingerprint(self, fingerprints: Sequence[str]) -> str:
        """Identify the tokens of these clips, in their order."""
        return hashlib.sha256("".join(map(self._key, fingerprints)).encode()).hexdigest()

    def _key(self, fingerprint: str) -> str:
        if fingerprint not in self.keys:
            raise ValueError(
                f"branch {self.cache.branch!r} reads the transcript, and clip {fingerprint} has none: systems with a "
                "text branch cannot train on it, teach on it or be tested on it"
            )
        return self.keys[fingerprint]


def extract_text_frames(
    transcripts: Mapping[str, str], branches: list[dict], library: EncoderLibrary, root: Path, batch_size: int
) -> dict[str, TranscriptFrames]:
    """Make the frames of text branches, as far as they are not on disk, as [`extract_missing`] does.

    Args:
        transcripts: Per fingerprint of a clip's audio its transcript.
        branches: Settings of every branch, as all further arguments are those of [`extract_frames`].

    Returns:
        Per name of a text branch its frames, now of every clip.

    Raises:
        ValueError: An encoder has no tokenizer, or not the hidden state that a branch reads.
    """
    found: dict[str, TranscriptFrames] = {}
    for name in library.text_names:
        readers = {AffectBranchConfig(**b).name: b for b in branches if b["source"] == name}
        if not readers:
            continue
        config = AffectFusionConfig(branches=list(readers.values()), encoders={name: library.configs[name].to_dict()})
        states = {branch.name: branch.hidden_state for branch in config.branches}
        caches = {
            branch: FrameCache(root, branch, {"hidden_state": state, **library.identity(name)}, "float16")
            for branch, state in states.items()
        }
        ids = tokenize(library.tokenizer(name), list(transcripts.values()))
        keys = {fingerprint: _key(tokens) for fingerprint, tokens in zip(transcripts, ids, strict=True)}
        texts = dict(zip(keys.values(), ids, strict=True))
        make = partial(_run_encoder, texts, states, library, name)
        extract_missing(texts, lambda key, texts=texts: len(texts[key]), batch_size, caches, make, "texts")
        found |= {branch: TranscriptFrames(cache, keys) for branch, cache in caches.items()}
    return found


def _key(tokens: Sequence[int]) -> str:
    """Frames depend on the tokens alone, whatever the clip and however its transcript is spelled."""
    return hashlib.sha256(",".join(map(str, tokens)).encode()).hexdigest()


@torch.no_grad()
def _run_encoder(texts: dict[str, list[int]], states: dict, library, name: str, batches, branches) -> Iterator[dict]:
    """Yield for each batch, per branch and key of a text, the frames (tokens, width), float32."""
    device = PartialState().device
    encoder = TextEncoder(library.configs[name])
    encoder.backbone.load_state_dict(library.backbone(name).state_dict())
    encoder = encoder.eval().to(device)
    read = {branch: states[branch] for branch in branches}
    for batch in batches:
        ids, mask = (part.to(device) for part in text_inputs([texts[key] for key in batch]).values())
        frames, mask = encoder(ids, mask, list(dict.fromkeys(read.values())))
        made = {}
        for branch, state in read.items():
            rows = zip(batch, frames[state].float().cpu(), mask.cpu(), strict=True)
            made[branch] = {key: row[valid].numpy() for key, row, valid in rows}
        yield made
