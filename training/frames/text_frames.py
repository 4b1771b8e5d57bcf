"""Run a frozen text encoder once over every transcript, and keep its frames: one for each token."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from transformers import PreTrainedTokenizerBase

from speech_affect import AffectBranchConfig, AffectFusionConfig
from speech_affect.encoder import TextEncoder

from ..encoders.library import EncoderLibrary
from .extraction import extract_missing
from .frame_cache import FrameCache
from .frame_statistics import frame_statistics


# texts that the tokenizer gets at a time
TOKENIZED_AT_ONCE = 10_000


def clip_transcripts(splits: Mapping[str, tuple[Sequence[str], Sequence[str | None]]]) -> dict[str, str]:
    """
    What is said in each clip.

    Args:
        splits: per split the fingerprints of its clips' audio and their transcripts; both in the same order.

    Returns:
        per fingerprint the transcript.

    Raises:
        ValueError: clips have no transcript, or clips with the same audio have different ones.
    """
    missing = {name: sum(not (text or "").strip() for text in texts) for name, (_, texts) in splits.items()}
    if any(missing.values()):
        counts = ", ".join(f"{count} of {len(splits[name][1])} in {name}" for name, count in missing.items() if count)
        raise ValueError(
            f"a text encoder reads the transcript, which these clips lack: {counts}. Add the transcripts to the "
            "corpus, or leave out the systems with a text branch (--only)"
        )
    found: dict[str, str] = {}
    for name, (fingerprints, texts) in splits.items():
        for fingerprint, text in zip(fingerprints, texts, strict=True):
            if found.setdefault(fingerprint, text) != text:
                raise ValueError(
                    f"a clip of {name} has the same audio as another, but not its transcript: {text!r} and "
                    f"{found[fingerprint]!r}; correct one or drop one of the clips"
                )
    return found


def text_inputs(tokens: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """
    A batch of texts as a model takes them.

    Args:
        tokens: of each text.

    Returns:
        `input_ids` (batch, tokens) and `text_attention_mask`, True where valid.
    """
    lengths = torch.tensor([len(text) for text in tokens])
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(text) for text in tokens], batch_first=True)
    return {"input_ids": ids, "text_attention_mask": torch.arange(ids.shape[1]) < lengths.unsqueeze(1)}


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text, special ones included, cut at the encoder's end."""
    ids: list[list[int]] = []
    for start in range(0, len(texts), TOKENIZED_AT_ONCE):
        ids += tokenizer(list(texts[start : start + TOKENIZED_AT_ONCE]), truncation=True)["input_ids"]
    return ids


@dataclass(frozen=True)
class TranscriptFrames:
    """
    Cached frames of a text branch, by the clip that is spoken.

    Args:
        cache: the files, one for each sequence of tokens.
        keys: per fingerprint of a clip's audio that of its tokens.
    """

    cache: FrameCache
    keys: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Of the cached files."""
        return self.cache.folder

    def read(self, fingerprint: str) -> np.ndarray:
        """
        (tokens, width) of a clip, as [`FrameCache.read`].

        Raises:
            ValueError: the clip has no transcript.
        """
        return self.cache.read(self._key(fingerprint))

    def statistics(self, fingerprints: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Of these clips, as [`frame_statistics`] has them."""
        return frame_statistics(self.cache, list(map(self._key, fingerprints)))

    def text_fingerprint(self, fingerprints: Sequence[str]) -> str:
        """Identity of what is read of these clips, in their order; a job's result depends on it."""
        return hashlib.sha256("".join(map(self._key, fingerprints)).encode()).hexdigest()

    def _key(self, fingerprint: str) -> str:
        if fingerprint not in self.keys:
            raise ValueError(
                f"branch {self.cache.branch!r} reads the transcript, and clip {fingerprint} has none: systems with a "
                "text branch can neither train on it, nor teach on it, nor be tried on it"
            )
        return self.keys[fingerprint]


def extract_text_frames(
    transcripts: Mapping[str, str], branches: list[dict], library: EncoderLibrary, root: Path, batch_size: int
) -> dict[str, TranscriptFrames]:
    """
    Make the frames of text branches that are not on disk yet, as [`extract_missing`] does.

    Args:
        transcripts: per fingerprint of a clip's audio what is said in it.
        branches: settings of every branch, duplicates allowed; those of audio are passed over.
        library: the encoders.
        root: folder of the caches.
        batch_size: texts per batch.

    Returns:
        per name of a text branch its frames, now of every clip; nothing where no branch reads text.

    Raises:
        ValueError: an encoder without its tokenizer, or a hidden state that it does not have.
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
        _extract(dict(zip(keys.values(), ids, strict=True)), states, caches, library, name, batch_size)
        found |= {branch: TranscriptFrames(cache, keys) for branch, cache in caches.items()}
    return found


def _key(tokens: Sequence[int]) -> str:
    """What the encoder reads decides its frames: not the clip, and of the transcript only its tokens."""
    return hashlib.sha256(",".join(map(str, tokens)).encode()).hexdigest()


def _extract(texts: dict[str, list[int]], states: dict, caches: dict, library, name: str, batch_size: int) -> None:
    def make(batches, branches):
        read = {branch: states[branch] for branch in branches}
        return _run_encoder([{key: texts[key] for key in batch} for batch in batches], read, library, name)

    extract_missing(texts, lambda key: len(texts[key]), batch_size, caches, make, "texts")


@torch.no_grad()
def _run_encoder(batches: list[dict[str, list[int]]], states: dict, library, name: str) -> Iterator[dict]:
    """Per batch, branch and key of a text the frames (tokens, width), float32."""
    device = PartialState().device
    encoder = TextEncoder(library.configs[name])
    encoder.backbone.load_state_dict(library.backbone(name).state_dict())
    encoder = encoder.eval().to(device)
    for texts in batches:
        ids, mask = (part.to(device) for part in text_inputs(list(texts.values())).values())
        frames, mask = encoder(ids, mask, list(dict.fromkeys(states.values())))
        made = {}
        for branch, state in states.items():
            rows = zip(texts, frames[state].float().cpu(), mask.cpu(), strict=True)
            made[branch] = {key: row[valid].numpy() for key, row, valid in rows}
        yield made
