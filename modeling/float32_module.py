"""Modules that compute in float32 whatever the precision of the model they are in."""

import torch
from torch import nn


class Float32Module(nn.Module):
    """
    A module without parameters that computes its own constants and uses them in float32.

    Powers of a spectrum run from 1e-10 to 1e5: half precision has neither end of that. `model.half()` or
    `model.to(torch.bfloat16)` therefore moves such a module and leaves its type, and autocast is off within it.
    """

    def _apply(self, fn, recurse=True):
        def move(tensor):
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(move, recurse)

    def __call__(self, inputs: torch.Tensor, *args, **kwargs):
        with torch.autocast(inputs.device.type, enabled=False):
            return super().__call__(inputs, *args, **kwargs)
