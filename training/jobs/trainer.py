"""Trainers for cached frames: they log the parts of the loss and group clips by length."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from accelerate.utils import convert_outputs_to_fp32
from torch.utils.data import DataLoader
from transformers import EvalPrediction, PrinterCallback, ProgressCallback, Trainer, TrainerCallback

from speech_affect import DIMENSIONS

from ..frames.clip_sampler import ClipSampler
from ..metrics.rated import concordance_within
from .auxiliary import HEADS, AuxiliaryHeads, AuxiliaryRamp


def concordance_metrics(
    prediction: EvalPrediction,
    names: Sequence[str] = DIMENSIONS,
    averaged: Sequence[str] = DIMENSIONS,
    corpora: Sequence[str] | None = None,
) -> dict[str, float]:
    """Compute the CCC of each dimension over the whole evaluation set, and their mean, as `Trainer` takes metrics.

    Args:
        prediction: What the model gives, and the labels.
        names: Of the model's outputs.
        averaged: The dimensions that the mean is over, unless in none of them two clips were rated.
        corpora: Of each clip; CCC is the mean over corpora of that within each. None for one corpus.

    Returns:
        `ccc_<dimension>` and `ccc_mean`. A dimension in which nowhere two clips were rated has none.

    Raises:
        ValueError: That is so of every dimension.
    """
    logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
    ccc = concordance_within(logits.astype(np.float64), prediction.label_ids.astype(np.float64), corpora)
    rated = {name: float(value) for name, value in zip(names, ccc, strict=True) if not np.isnan(value)}
    if not rated:
        raise ValueError(f"of {len(logits)} clips to develop on, no two were rated in the same dimension: add more")
    mean = np.mean([value for name, value in rated.items() if name in averaged] or list(rated.values()))
    return {**{f"ccc_{name}": value for name, value in rated.items()}, "ccc_mean": float(mean)}


class FrameTrainer(Trainer):
    """Train on a [`FrameDataset`], sharded or not, in batches of clips of similar length if that is wanted.

    Args:
        shares: Of each corpus in training batches; without, all clips are drawn alike.
        args, kwargs: As `Trainer` takes them.
    """

    def __init__(self, *args, shares: Mapping[str, float] | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self._shares = shares
        self._by_length = self.args.train_sampling_strategy == "group_by_length"
        self.args.train_sampling_strategy = "random"  # Trainer cannot group items that have no `input_ids`
        self._prepare_sharding()

    def _prepare_sharding(self) -> None:
        """Undo, under FSDP, what accelerate assumes of language models."""
        if self.is_fsdp_enabled:
            # it shards the input embeddings apart, which this model does not have
            self.model.get_input_embeddings = lambda: None
            # it rounds the whole batch to bf16, labels too; autocast, as without FSDP, rounds within operations
            self.accelerator.state.fsdp_plugin.mixed_precision_policy = None
            self.model.forward = convert_outputs_to_fp32(self.accelerator.autocast()(self.model.forward))
        elif os.environ.get("ACCELERATE_USE_FSDP") == "true":
            raise ValueError(
                f"FSDP is requested, but accelerate shards on GPUs only and the device is {self.args.device}; "
                "without a GPU give training/launch/ddp_cpu.yaml"
            )

    def get_train_dataloader(self) -> DataLoader:
        """Return batches with the shares of the corpora; of clips of similar length under `group_by_length`."""
        args, dataset = self.args, self.train_dataset
        by_epoch = getattr(dataset, "copies", None) is not None
        if not (self._by_length or self._shares or by_epoch):
            return super().get_train_dataloader()
        lengths = dataset.lengths() if self._by_length else None
        # of all processes, as each waits for the longest clip of any
        batch_size = args.train_batch_size * args.world_size
        loader = DataLoader(
            dataset,
            batch_size=args.train_batch_size,
            sampler=ClipSampler(dataset.table.corpora, args.seed, self._shares, lengths, batch_size, by_epoch),
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            drop_last=args.dataloader_drop_last,
        )
        return self.accelerator.prepare(loader)


class AffectTrainer(FrameTrainer):
    """Train on the model's own loss, and log its parts as means since the last log.

    Args:
        learning_rates: Name -> that of each parameter that has its own.
        args, kwargs: As [`FrameTrainer`] takes them.
    """

    def __init__(self, *args, learning_rates: Mapping[str, float] | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self._learning_rates = learning_rates or {}
        self._auxiliary: AuxiliaryHeads | None = getattr(self.model, HEADS, None)
        if self._auxiliary is not None:
            self.add_callback(AuxiliaryRamp(self._auxiliary))
        for name, head in self.model.regressor.named_children():
            if name.endswith("output"):
                # bf16 has too few bits for values that are compared with labels
                head.register_forward_hook(lambda head, inputs, output: output.float())
        self._logged_parts: dict[str, list[torch.Tensor]] = defaultdict(list)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        self._keep_parts(model, outputs.loss_parts)
        loss = outputs.loss + self.auxiliary_loss(outputs)
        return (loss, outputs) if return_outputs else loss

    def auxiliary_loss(self, outputs) -> torch.Tensor | float:
        """Return what the auxiliary classifiers add to the loss; 0 without any, and in evaluation."""
        return 0.0 if self._auxiliary is None else self._auxiliary.weighted(outputs.loss_parts)

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        """As in Trainer, with a group of parameters per learning rate and weight decay."""
        optimizer = super().create_optimizer(model)
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        groups = []
        for group in optimizer.param_groups if self._learning_rates else ():
            by_rate = defaultdict(list)
            for parameter in group["params"]:
                by_rate[self._learning_rates.get(names[parameter], group["lr"])].append(parameter)
            groups += [{**group, "lr": rate, "params": parameters} for rate, parameters in by_rate.items()]
        optimizer.param_groups = groups or optimizer.param_groups
        return optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self._logged_parts:
            for name, values in self._logged_parts.items():
                known = torch.stack(values)
                known = known[~known.isnan()]  # without batches in which nobody rated a dimension
                logs |= {f"loss_{name}": float(known.mean())} if len(known) else {}
            self._logged_parts.clear()
        super().log(logs, start_time)

    def _keep_parts(self, model, parts: dict[str, torch.Tensor]) -> None:
        if model.training:
            for name, value in parts.items():
                self._logged_parts[name].append(value.detach())


class JobProgress(ProgressCallback):
    """Show Trainer's bar with the development CCC, without its printed lines and its evaluation bars."""

    on_prediction_step = on_log = TrainerCallback.on_log  # which does nothing

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        if self.training_bar is not None and metrics:
            self.training_bar.set_postfix(development_ccc=f"{metrics['eval_ccc_mean']:.3f}")


def show_progress(trainer: Trainer, enabled: bool) -> None:
    """Show one bar instead of what Trainer shows, or nothing; every logged value is in the job's history.json."""
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    if enabled:
        trainer.add_callback(JobProgress)
