"""`python tests/benchmarks/run.py [NAME ...]`: measures contenders in turn on the same audio, on one core."""

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path


HERE = Path(__file__).resolve().parent
# instead of this folder, whose module names are common words
sys.path[0] = str(HERE.parent)

# benchmark -> module with its function `run_NAME`
NAMES = {
    "latency": "latency",
    "folder": "recordings",
    "long_audio": "recordings",
    "cold_start": "starting",
    "extraction": "frames",
    "training": "frames",
    "encoder_share": "extraction",
    "export_size": "starting",
}
# set before numpy, torch and accelerate are imported, which read them; child processes inherit them
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
    """Parse and check the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[1].strip())
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all without any")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder for NAME.json")
    parser.add_argument("--quick", action="store_true", help="toy sizes; the figures mean nothing")
    parser.add_argument("--audio", type=Path, help="folder of 16 kHz speech; default: EmoDB, or synthetic clips")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if options.audio is not None and not options.audio.is_dir():
        parser.error(f"--audio {options.audio} is not a folder")
    return options


def main(argv: list[str]) -> None:
    """Run the named benchmarks, print a table of each, and write its JSON."""
    options = parse(argv)
    os.environ.update(ENVIRONMENT)

    from benchmarks.machine import BUSY_LOAD, Settings, describe_machine, load_average
    from benchmarks.measuring import pin, usable_cores
    from benchmarks.report import print_result, write_result
    from benchmarks.speech import speech_files

    cores = usable_cores()
    if load_average()[0] > BUSY_LOAD * len(cores):
        print(f"warning: load {load_average()[0]:.1f} on {len(cores)} cores; other processes will disturb the figures")
    pin(cores[:1])
    with tempfile.TemporaryDirectory(prefix="speech_affect_benchmark_") as folder:
        audio, files = speech_files(options.audio, Path(folder) / "audio")
        settings = Settings(options.quick, cores, Path(folder), audio, files)
        for name in options.names or NAMES:
            machine = describe_machine(settings)
            run = getattr(importlib.import_module(f"benchmarks.{NAMES[name]}"), f"run_{name}")
            result = run(settings, machine)
            print_result(name, result, machine)
            print(write_result(name, result, machine, settings, options.output), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
