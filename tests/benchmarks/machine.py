"""The machine that was measured on: what it is, what else it does, and the most that one of its cores can do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

import numpy as np
import torch

from .settings import Settings


PACKAGES = ("speech-affect", "torch", "transformers", "onnxruntime", "onnx", "numpy", "soundfile", "opensmile")
BUSY_LOAD = 0.5  # per core: more than this, and others take time from what is measured


def describe_machine(settings: Settings) -> dict:
    """
    Processor, memory, versions, load at the moment, and the rates of one core.

    Returns:
        `gemm_gflops`: of a float32 matrix product; `bandwidth_gb_per_s`: read and written by a copy that no cache
        holds. Both are the best of several, as they stand for what is possible.
    """
    load = load_average()
    busy = load[0] > BUSY_LOAD * len(settings.cores)
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
        "busy": busy,
        "threads": torch.get_num_threads(),
        "gemm_gflops": gflops,
        "bandwidth_gb_per_s": bandwidth,
    }


@cache
def load_average() -> tuple[float, ...]:
    """Over 1, 5 and 15 minutes, when first asked for: later it is the benchmarks' own."""
    return os.getloadavg() if hasattr(os, "getloadavg") else (0.0, 0.0, 0.0)


def floor(operations: float, num_bytes: float, machine: dict) -> dict:
    """
    The least time for so much work on one core of this machine.

    Args:
        operations: floating-point; a multiplication and an addition are two.
        num_bytes: that must pass between memory and the core at least: parameters, input and output, each once.
        machine: of [`describe_machine`].

    Returns:
        both, `floor_s` in seconds, and which of the two it comes from.
    """
    by_operations = operations / (machine["gemm_gflops"] * 1e9)
    by_bytes = num_bytes / (machine["bandwidth_gb_per_s"] * 1e9)
    return {
        "operations": operations,
        "bytes": num_bytes,
        "floor_s": max(by_operations, by_bytes),
        "bound_by": "operations" if by_operations >= by_bytes else "bytes",
    }


@cache
def _rates(quick: bool) -> tuple[float, float]:
    size, count, tries = (256, 1 << 20, 2) if quick else (1024, 1 << 26, 25)
    left, right = torch.rand(size, size), torch.rand(size, size)
    source = np.ones(count, dtype=np.float32)
    target = np.zeros_like(source)
    product = min(_seconds(lambda: torch.mm(left, right)) for _ in range(tries))
    copy = min(_seconds(lambda: np.copyto(target, source)) for _ in range(tries))
    return round(2 * size**3 / product / 1e9, 1), round(2 * source.nbytes / copy / 1e9, 2)


def _seconds(call) -> float:
    start = time.process_time()  # what others take from this core is not its rate
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
