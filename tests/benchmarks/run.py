"""`python tests/benchmarks/run.py [NAME ...]`: each contender in turn on the same audio, one thread on one core."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path


HERE = Path(__file__).resolve().parent
# this folder itself must not be searched: its `extraction` would hide that of training/
sys.path[0] = str(HERE.parent)
sys.path.insert(1, str(HERE.parents[1] / "training"))

NAMES = ("latency", "folder", "long_audio", "cold_start", "extraction", "training", "export_size")
# read when numpy, torch and accelerate are imported, so set before; processes that are started inherit them
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "ACCELERATE_USE_CPU": "true",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[1].strip())
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all without any")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder for NAME.json")
    parser.add_argument("--quick", action="store_true", help="toy sizes: shows that all runs, its figures say nothing")
    parser.add_argument("--audio", type=Path, help="folder of speech to use; EmoDB's where it is, else noise like it")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if options.audio is not None and not options.audio.is_dir():
        parser.error(f"--audio {options.audio} is no folder")
    return options


def main(argv: list[str]) -> None:
    """Run the benchmarks named, print a table of each, and write its JSON."""
    options = parse(argv)
    os.environ.update(ENVIRONMENT)

    from benchmarks.cores import pin, usable_cores
    from benchmarks.machine import BUSY_LOAD, describe_machine, load_average
    from benchmarks.report import print_result, write_result
    from benchmarks.settings import Settings
    from benchmarks.speech import speech_files

    cores = usable_cores()
    if load_average()[0] > BUSY_LOAD * len(cores):
        print(f"warning: load {load_average()[0]:.1f} on {len(cores)} cores: others are at work, expect a wide spread")
    pin(cores[:1])
    with tempfile.TemporaryDirectory(prefix="speech_affect_benchmark_") as folder:
        audio, files = speech_files(options.audio, Path(folder) / "audio")
        settings = Settings(options.quick, cores, Path(folder), audio, files)
        for name in options.names or NAMES:
            machine = describe_machine(settings)
            result = importlib.import_module(f"benchmarks.{name}").run(settings, machine)
            print_result(name, result, machine)
            print(write_result(name, result, machine, settings, options.output), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
