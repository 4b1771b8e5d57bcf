"""HF Trainer for cached frames: logs the named parts of the loss; distillation overrides the loss alone."""

from __future__ import annotations

import os
from collections import defaultdict

import numpy as np
import torch
from accelerate.utils import convert_outputs_to_fp32
from torch.utils.data import SequentialSampler
from transformers import EvalPrediction, Trainer

from speech_affect import DIMENSIONS
from speech_affect.losses import ccc_losses, embedding_distillation_loss, weighted_mean

from ..frames.length_buckets import LengthBucketSampler
from ..metrics.ccc.concordance import concordance_correlation
from ..settings.systems import Distillation


def concordance_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """CCC of each dimension over the whole evaluation set, and their mean, as `Trainer` takes metrics."""
    logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
    ccc = concordance_correlation(logits.astype(np.float64), prediction.label_ids.astype(np.float64))
    return {**{f"ccc_{d}": float(c) for d, c in zip(DIMENSIONS, ccc, strict=True)}, "ccc_mean": float(ccc.mean())}


class AffectTrainer(Trainer):
    """Trains on the model's own loss, and logs its parts since the last log."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, compute_metrics=concordance_metrics, **kwargs)
        for name, head in self.model.regressor.named_children():
            if name.endswith("output"):
                # of bf16's eight bits the label would get no more either, and so the loss
                head.register_forward_hook(lambda head, inputs, output: output.float())
        self._prepare_sharding()
        self._logged_parts: dict[str, list[torch.Tensor]] = defaultdict(list)

    def _prepare_sharding(self) -> None:
        """Under FSDP, undoes what accelerate takes for granted of language models."""
        if self.is_fsdp_enabled:
            # it shards the input embeddings apart, and there are none
            self.model.get_input_embeddings = lambda: None
            # it rounds the whole batch to bf16, labels too; autocast, as without FSDP, rounds within operations
            self.accelerator.state.fsdp_plugin.mixed_precision_policy = None
            self.model.forward = convert_outputs_to_fp32(self.accelerator.autocast()(self.model.forward))
        elif os.environ.get("ACCELERATE_USE_FSDP") == "true":
            raise ValueError(
                f"FSDP is asked for, but accelerate shards on GPUs alone and the device is {self.args.device}; "
                "without a GPU give training/launch/ddp_cpu.yaml"
            )

    def _get_train_sampler(self, train_dataset=None):
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        dataset = train_dataset if train_dataset is not None else self.train_dataset
        batch_size = self.args.train_batch_size * self.args.world_size  # processes wait for the longest of their clips
        frames = next(iter(dataset.caches.values()))  # of any branch: they all grow with the clip
        lengths = [len(frames.read(fingerprint)) for fingerprint in dataset.table.fingerprints]
        return LengthBucketSampler(lengths, batch_size, self.args.seed)

    def _get_eval_sampler(self, eval_dataset):
        return SequentialSampler(eval_dataset)  # which Trainer's own is not under group_by_length

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        self._keep_parts(model, outputs.loss_parts)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self._logged_parts:
            logs |= {f"loss_{name}": float(torch.stack(v).mean()) for name, v in self._logged_parts.items()}
            self._logged_parts.clear()
        super().log(logs, start_time)

    def _keep_parts(self, model, parts: dict[str, torch.Tensor]) -> None:
        if model.training:
            for name, value in parts.items():
                self._logged_parts[name].append(value.detach())


class DistillationTrainer(AffectTrainer):
    """
    Adds the teacher's part of the loss: CCC to its outputs, cosine to its embedding.

    The batches hold `teacher_logits` (batch, 3), on the label scale, and `teacher_embedding` (batch, embedding_size).

    Args:
        distillation: weights of the parts.
    """

    def __init__(self, *args, distillation: Distillation, **kwargs):
        super().__init__(*args, **kwargs)
        self.distillation = distillation

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        inputs = dict(inputs)
        teacher_logits = inputs.pop("teacher_logits", None)
        teacher_embedding = inputs.pop("teacher_embedding", None)
        outputs = model(**inputs)
        if teacher_logits is None:  # evaluation: the labels alone count
            return (outputs.loss, outputs) if return_outputs else outputs.loss
        weights, config = self.distillation, self.accelerator.unwrap_model(model).config
        # all processes step together in training, so the sums may run over all of them
        to_outputs = weighted_mean(ccc_losses(outputs.logits, teacher_logits, model.training), config.ccc_weights)
        to_embedding = embedding_distillation_loss(outputs.embedding, teacher_embedding, model.training)
        self._keep_parts(model, {**outputs.loss_parts, "distil_outputs": to_outputs, "distil_embedding": to_embedding})
        loss = (
            weights.label_weight * outputs.loss
            + weights.output_weight * to_outputs
            + weights.embedding_weight * to_embedding
        )
        return (loss, outputs) if return_outputs else loss
