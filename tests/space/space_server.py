"""The page as a process, and sounds, for tests."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np


SPACE = Path(__file__).resolve().parents[2] / "space"


@contextmanager
def served(checkpoint: Path, folder: Path, *options: str, **limits: str):
    """`speech-affect serve` with these limits at a free port: (address, process, folder of its temporary files)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    temporary = folder / "uploads"
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(temporary), "HF_HUB_OFFLINE": "1", **limits}
    command = [sys.executable, "-m", "speech_affect", "serve", "--model", str(checkpoint), "--port", str(port)]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _await(address, process, folder / "log")
        yield address, process, temporary
    finally:
        process.terminate()
        process.wait(20)


def _await(address: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(address + "/config", timeout=5).close()
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def voice(seconds: float, rate: int = 16000, seed: int = 0) -> np.ndarray:
    """A sound that comes and goes as syllables do, (samples,)."""
    times = np.arange(round(seconds * rate)) / rate
    hum = np.sin(2 * np.pi * (120 + 30 * seed) * times) + 0.3 * np.random.default_rng(seed).standard_normal(len(times))
    return (0.2 * hum * np.clip(np.sin(2 * np.pi * 2.5 * times), 0, 1)).astype(np.float32)
