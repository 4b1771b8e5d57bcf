"""`python tests/gpu/run.py --output results.json`: all checks and speeds on one GPU, in under 8 minutes."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path


# instead of this folder, whose module names are common words
sys.path[0] = str(Path(__file__).resolve().parents[1])
DTYPES = ("float32", "bfloat16")


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[1].strip())
    parser.add_argument("--output", type=Path, default=Path("gpu_results.json"), help="file to write, JSON")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu only with --quick")
    parser.add_argument("--quick", action="store_true", help="toy sizes; the figures mean nothing")
    parser.add_argument("--hours", type=float, default=2.0, help="of audio that extraction gets")
    parser.add_argument("--minutes", type=float, default=7.0, help="after which no further part is begun")
    parser.add_argument("--only", default="", help="begin of the names of the parts to run, such as streamed")
    options = parser.parse_args(argv)
    if options.device == "cpu" and not options.quick:
        parser.error("--device cpu is for trying this script out; give --quick too")
    return options


def guarded(call: Callable[[], dict], deadline: float) -> dict:
    """What a part returns, with its `seconds`; its `error` if it fails, so that the next one runs."""
    start = time.monotonic()
    if start > deadline:
        return {"error": "not begun: no time was left"}
    try:
        found = call()
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {str(error)[-1500:]}", "traceback": traceback.format_exc()[-3000:]}
    return {**found, "seconds": round(time.monotonic() - start, 2)}


def describe(device: str) -> dict:
    """The card, its driver, and the versions of what computes on it."""
    import torch
    import transformers

    found = {"device": device, "torch": torch.__version__, "transformers": transformers.__version__}
    found |= {"cuda": torch.version.cuda, "cores": os.cpu_count(), "card": None, "driver": None}
    if device == "cuda":
        found |= {"card": torch.cuda.get_device_name(0), "cudnn": torch.backends.cudnn.version()}
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            done = subprocess.run(query, capture_output=True, text=True, timeout=30)
            found["driver"] = done.stdout.split("\n")[0].strip() or None
        except (OSError, subprocess.SubprocessError):
            pass
    return found


def parts(options: argparse.Namespace, folder: Path) -> dict[str, Callable[[], dict]]:
    """What is measured, by name, in the order of their importance."""
    from gpu import comparing, speed

    device, quick, peaks = options.device, options.quick, {}
    calls: dict[str, Callable[[], dict]] = {}
    for kind in comparing.KINDS:
        for dtype in DTYPES:
            calls[f"outputs/{kind}/{dtype}"] = lambda k=kind, d=dtype: comparing.compare_outputs(k, device, d)
        calls[f"gradients/{kind}"] = lambda k=kind: comparing.compare_gradients(k, device)

    def peak(dtype: str) -> dict:
        peaks[dtype] = speed.matrix_peak(device, dtype, *((64, 2) if quick else ()))
        return {"operations_per_second": peaks[dtype]}

    def clips() -> dict:
        lengths = (6, 0.5, 1.5) if quick else (3600 * options.hours,)
        return speed.write_clips(folder / "clips", *lengths)

    def extraction(name: str, dtype: str) -> dict:
        encoder = speed.write_encoder(name, folder / name, quick)
        try:
            return speed.measure_extraction(name, encoder, clips(), folder / "made", device, dtype, peaks[dtype])
        finally:
            shutil.rmtree(folder / "made", ignore_errors=True)

    def streamed(name: str, dtype: str) -> dict:
        encoder = speed.write_encoder(name, folder / name, quick)
        steps, batch = (10, 4) if quick else (40, 32)
        return speed.measure_streamed(encoder, clips(), folder / f"streamed_{name}", device, dtype, steps, batch)

    for dtype in DTYPES:
        calls[f"matrix_peak/{dtype}"] = lambda d=dtype: peak(d)
    for name in speed.ENCODERS:
        for dtype in DTYPES:
            calls[f"extraction/{name}/{dtype}"] = lambda n=name, d=dtype: extraction(n, d)
    for config in comparing.LAUNCHES[device]:
        calls[f"steps/{config}"] = lambda c=config: comparing.compare_steps(c, device, folder / "steps")
    for name in speed.ENCODERS:
        calls[f"streamed/{name}/bfloat16"] = lambda n=name: streamed(n, "bfloat16")
    return calls


def main(argv: list[str]) -> int:
    """Run every part, and write the JSON file anew after each; 1 if one failed."""
    options, start = parse(argv), time.monotonic()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
    if options.device == "cpu":
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    import torch

    from speech_affect_training.files import write_json

    if options.device == "cuda" and not torch.cuda.is_available():
        print("there is no GPU here: nothing is measured", file=sys.stderr)
        return 2
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    result = {"date": datetime.now(timezone.utc).isoformat(timespec="seconds"), "quick": options.quick}
    result |= {**describe(options.device), "seconds": 0.0, "failed": [], "parts": {}}
    with tempfile.TemporaryDirectory(prefix="speech_affect_gpu_", ignore_cleanup_errors=True) as folder:
        for name, call in parts(options, Path(folder)).items():
            if not name.startswith(options.only):
                continue
            found = result["parts"][name] = guarded(call, start + 60 * options.minutes)
            if "error" in found or not found.get("within", True):
                result["failed"].append(name)
            result["seconds"] = round(time.monotonic() - start, 1)
            write_json(options.output, result)
            print(f"{result['seconds']:7.1f} s  {name}: {_short(found)}", flush=True)
            if options.device == "cuda":
                torch.cuda.empty_cache()
    print(f"{len(result['failed'])} of {len(result['parts'])} failed: {', '.join(result['failed']) or 'none'}")
    return 1 if result["failed"] else 0


def _short(found: dict) -> str:
    if "error" in found:
        return found["error"][:300]
    shown = {k: v for k, v in found.items() if isinstance(v, (bool, int, float)) and k != "seconds"}
    if "differences" in found:
        shown["largest"] = max(found["differences"].values())
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in shown.items()
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
