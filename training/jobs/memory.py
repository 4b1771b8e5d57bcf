"""The most memory that a job takes."""

import torch
from accelerate import PartialState


def reset_peak_memory() -> None:
    """Begin to measure."""
    device = PartialState().device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:  # not Linux, or not allowed: the peak is that since the process began
        return


def peak_memory_mb() -> int | None:
    """Return the peak in megabytes: of the GPU's memory, else of the process's; None where the system does not say."""
    device = PartialState().device
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6)
    try:
        with open("/proc/self/status") as file:
            (kilobytes,) = [line.split()[1] for line in file if line.startswith("VmHWM:")]
    except (OSError, ValueError):
        return None
    return round(int(kilobytes) * 1024 / 1e6)
