"""The machine that is measured on: what it is, its load, and the most that one of its cores can do."""

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


PACKAGES = ("speech-affect", "torch", "transformers", "onnxruntime", "onnx", "numpy", "soundfile", "opensmile")
BUSY_LOAD = 0.5  # per core; above it, other processes disturb the measurements


@dataclass(frozen=True)
class Settings:
    """Settings of all benchmarks.

    Args:
        quick: toy sizes and one round.
        cores: that may be used; measurements are pinned to the first, second processes to the second.
        folder: for temporary files.
        audio: description of the files.
        files: 16 kHz speech, a few seconds each.
    """

    quick: bool
    cores: list[int]
    folder: Path
    audio: str
    files: list[Path]

    def rounds(self, full: int) -> int:
        """Number of turns of each contender."""
        return 1 if self.quick else full


def describe_machine(settings: Settings) -> dict:
    """Processor, memory, versions, load now, and the rates of one core.

    `gemm_gflops` is that of a float32 matrix product, `bandwidth_gb_per_s` of a copy larger than any cache, read and
    written; both are the best of several.
    """
    load = load_average()
    gflops, bandwidth = _rates(settings.quick)
    return {
        "processor": _processor(),
        "cores": len(settings.cores),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "load_average": [round(value, 2) for value in load],
        "busy": load[0] > BUSY_LOAD * len(settings.cores),
        "threads": torch.get_num_threads(),
        "gemm_gflops": gflops,
        "bandwidth_gb_per_s": bandwidth,
    }


@cache
def load_average() -> tuple[float, ...]:
    """Load over 1, 5 and 15 minutes when first called; later the benchmarks themselves would count."""
    return os.getloadavg() if hasattr(os, "getloadavg") else (0.0, 0.0, 0.0)


def floor(operations: float, num_bytes: float, machine: dict) -> dict:
    """The least time for some work on one core of this machine.

    Args:
        operations: floating-point operations; a multiplication and an addition are two.
        num_bytes: that must pass between memory and core: parameters, input and output, once each.
        machine: of [`describe_machine`].

    Returns:
        Both, `floor_s` in seconds, and which of them it is `bound_by`.
    """
    by_operations = operations / (machine["gemm_gflops"] * 1e9)
    by_bytes = num_bytes / (machine["bandwidth_gb_per_s"] * 1e9)
    return {
        "operations": operations,
        "bytes": num_bytes,
        "floor_s": max(by_operations, by_bytes),
        "bound_by": "operations" if by_operations >= by_bytes else "bytes",
    }


def count_operations(call: Callable[[], object]) -> float:
    """Floating-point operations of matrix products, convolutions and attention in a call without inference mode."""
    # the other attention kernels are not counted
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def parameter_bytes(model: torch.nn.Module) -> int:
    """Bytes of a model's parameters."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


@cache
def _rates(quick: bool) -> tuple[float, float]:
    size, count, tries = (256, 1 << 20, 2) if quick else (1024, 1 << 26, 25)
    left, right = torch.rand(size, size), torch.rand(size, size)
    source = np.ones(count, dtype=np.float32)
    target = np.zeros_like(source)
    product = min(_cpu_seconds(lambda: torch.mm(left, right)) for _ in range(tries))
    copy = min(_cpu_seconds(lambda: np.copyto(target, source)) for _ in range(tries))
    return round(2 * size**3 / product / 1e9, 1), round(2 * source.nbytes / copy / 1e9, 2)


def _cpu_seconds(call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
