"""A model's embeddings of clips, from their audio and transcripts."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from accelerate import PartialState
from transformers import AutoProcessor

from ..audio.clip_loading import LoadableClip, clip_duration_s, loadable


class ModelOutputs(NamedTuple):
    """Of each clip, float64: `embeddings` (clips, embedding_size), `values` (clips, outputs) on the label scale, and
    `deviations` (clips, outputs), the standard deviations of a model that predicts them.
    """

    embeddings: np.ndarray
    values: np.ndarray
    deviations: np.ndarray | None


@torch.no_grad()
def run_model(
    model, source: str, audio: Sequence[dict | LoadableClip], transcripts: Sequence[str | None], batch_size: int
) -> ModelOutputs:
    """Run a model over clips, the shortest first, and return its outputs in the order of the clips.

    Args:
        model: In evaluation mode.
        source: Folder or Hub id that its processor is read from.
        audio: Of each clip.
        transcripts: Of each clip; a model that reads text needs all.
        batch_size: Clips that go through the model at once.

    Raises:
        ValueError: A clip cannot be read, or lacks the transcript that the model reads.
    """
    reads_text, reads_audio = model.config.reads_text, model.config.reads_audio
    if reads_text and None in transcripts:
        raise ValueError(f"{source} reads the transcript, and some clips have none: name the column that has it")
    processor = AutoProcessor.from_pretrained(source)
    model.to(PartialState().device)
    order = np.argsort([clip_duration_s(clip) for clip in audio], kind="stable")
    parts: dict[str, list[np.ndarray]] = {"embedding": [], "logits": [], "uncertainty": []}
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        inputs = processor(
            audio=[loadable(audio[row]) for row in rows] if reads_audio else None,
            text=[transcripts[row] for row in rows] if reads_text else None,
            return_tensors="pt",
            text_kwargs={"truncation": True},  # as in training
        )
        outputs = model(**inputs.to(model.device))
        for name, values in parts.items():
            if outputs.get(name) is not None:
                values.append(outputs[name].double().cpu().numpy())
    back = np.argsort(order)
    joined = [np.concatenate(values)[back] if values else None for values in parts.values()]
    return ModelOutputs(*joined)
