"""Whether a checkpoint's files and weights are those that the model needs; refused in one sentence where not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn


# the largest pre-trained encoders have less
MOST_WEIGHTS = 10**10
# beyond what the checkpoint can hold: an encoder that starts anew has less
MOST_NEW_WEIGHTS = 10**9


class MismatchedWeightsError(ValueError, RuntimeError):
    """Weights of other shapes than the model's; transformers itself raises a `RuntimeError` then."""


def count_weights(model: nn.Module) -> int:
    """Numbers in a model's parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def check_size(model: nn.Module) -> None:
    """
    Check a model built without memory, on the meta device, before it is built in earnest.

    Raises:
        ValueError: it has more weights than any that is of use.
    """
    weights = count_weights(model)
    if weights > MOST_WEIGHTS:
        raise ValueError(
            f"this configuration asks for {weights:.1e} weights, and {MOST_WEIGHTS:.0e} at most are allowed: its "
            "sizes are wrong"
        )


def check_files(files: Iterable[str], model: nn.Module) -> None:
    """
    Check the files of a checkpoint before they are read, and before memory is taken for what they lack.

    Raises:
        OSError: one is no safetensors file, such as an index or `config.json` can name: the rest may be pickles.
        ValueError: they are far too small for the model.
    """
    files = [Path(file) for file in files]
    for file in files:
        if file.suffix != ".safetensors":
            raise OSError(f"{file.name} is no safetensors file; only those are loaded: convert it")
    held = sum(file.stat().st_size for file in files if file.exists())  # a weight takes a byte at least
    needed = count_weights(model)
    if needed > held + MOST_NEW_WEIGHTS:
        raise ValueError(
            f"config.json asks for {needed:.1e} weights, and the checkpoint holds {held:.1e} bytes: they do not "
            "belong together; fetch or save it anew"
        )


def check_shapes(mismatched: Iterable[tuple], source) -> None:
    """
    Check that no weight had another shape in the checkpoint.

    Args:
        mismatched: name, shape in the checkpoint and shape in the model, of each that had.
        source: the checkpoint, as it was given.

    Raises:
        MismatchedWeightsError: names the first.
    """
    if mismatched:
        name, saved, needed = min(mismatched)
        raise MismatchedWeightsError(
            f"{source}: {len(mismatched)} weights have other shapes than the configuration asks for, such as {name}, "
            f"{tuple(saved)} instead of {tuple(needed)}; give the configuration they were saved with, or "
            "ignore_mismatched_sizes=True to start those anew"
        )


def check_complete(missing: set[str], source) -> None:
    """
    Check that every weight was in the checkpoint.

    Raises:
        ValueError: names the first that was not.
    """
    if missing:
        raise ValueError(
            f"{source}: {len(missing)} weights that its config.json asks for are not in it, such as {min(missing)}; "
            "fetch or save it anew, or pass output_loading_info=True to go on with new ones"
        )


def check_finite(model: nn.Module, source) -> None:
    """
    Check that no weight is NaN or infinite; those on the meta device (offloaded) are passed over.

    Raises:
        ValueError: names the first such weight.
    """
    for name, values in model.state_dict().items():
        if not values.is_floating_point() or values.is_meta or values.sum(dtype=torch.float32).isfinite():
            continue  # the sum is fast; only where it is not finite, each is looked at
        if not torch.isfinite(values).all():
            raise ValueError(
                f"{source}: {name} holds NaN or infinite weights in {values.dtype}; the checkpoint is damaged, or its "
                "weights do not fit this dtype: fetch it anew, or load it in float32"
            )
