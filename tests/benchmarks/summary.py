"""`python tests/benchmarks/summary.py`: tables and the figure of the benchmarks' committed results."""

import argparse
import json
from pathlib import Path

from speech_affect_training.files import atomic_path


RESULTS = Path(__file__).resolve().parent / "results"
FIGURE = "latency.png"
# row of the latency benchmark -> name for readers
CONTENDERS = {
    "nano_onnx_10s": "`student_nano`, ONNX",
    "student_onnx_10s": "`student`, ONNX",
    "student_pipeline_10s": "`student`, pipeline in PyTorch",
    "egemaps_10s": "openSMILE, eGeMAPSv02 functionals",
    "teacher_onnx_10s": "`fusion` (whisper-tiny.en inside), ONNX",
    "teacher_pipeline_10s": "`fusion`, pipeline in PyTorch",
    "wav2vec2_12_layers_onnx_10s": "wav2vec2-large, first 12 layers, onnxruntime",
    "hubert_large_model_10s": "HuBERT-large, PyTorch",
}
OURS = "student_onnx_10s"


def read_results(folder: Path) -> dict[str, dict]:
    """Read every benchmark's JSON, by the benchmark's name.

    Raises:
        ValueError: there is none, or one is of a quick run, whose figures mean nothing.
    """
    results = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    if not results:
        raise ValueError(f"{folder} has no results; run python tests/benchmarks/run.py first")
    quick = [name for name, result in results.items() if result["quick"]]
    if quick:
        raise ValueError(f"{', '.join(quick)} in {folder} came from --quick; run without it")
    return results


def latency_table(latency: dict) -> str:
    """Markdown table: time for 10 s of audio of each contender, also as a multiple of the student's."""
    lines = ["| 10 s of audio in memory to the numbers, one core | median | times the student's |", "|---|---|---|"]
    ours = _milliseconds(latency, OURS)
    for name, words in CONTENDERS.items():
        if "missing" not in latency["rows"][name]:
            taken = _milliseconds(latency, name)
            lines.append(f"| {words} | {_rounded(taken)} ms | {_rounded(taken / ours)} |")
    return "\n".join(lines)


def target_table(results: dict[str, dict]) -> str:
    """Markdown table: every aim and what was measured."""
    lines = ["| figure | measured | aim |", "|---|---|---|"]
    for result in results.values():
        for target in result["targets"].values():
            least = "at_least" in target
            aim = f"at least {target['at_least']:,}" if least else f"at most {target['at_most']:,}"
            missed = ", missed" if target["met"] is False else ""
            value = "not measured" if target["value"] is None else _rounded(target["value"])
            lines.append(f"| {target['what']} | {value} | {aim}{missed} |")
    return "\n".join(lines)


def machine_line(results: dict[str, dict]) -> str:
    """Machine, versions, date and load in one line."""
    machines = [result["machine"] for result in results.values()]
    dates = sorted({machine["date"][:10] for machine in machines})
    [processor] = {machine["processor"] for machine in machines}
    versions = machines[0]["versions"]
    load = max(machine["load_average"][0] for machine in machines)
    days = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    return (
        f"{processor}, {machines[0]['cores']} cores, {days}; torch {versions['torch']}, "
        f"onnxruntime {versions['onnxruntime']}; load at the start of each at most {load:.1f}"
    )


def draw_latency(latency: dict, path: Path) -> None:
    """Draw the times as bars on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [name for name in CONTENDERS if "missing" not in latency["rows"][name]]
    values = [_milliseconds(latency, name) for name in names]
    figure, axes = pyplot.subplots(figsize=(8, 3.2), layout="constrained")
    colours = ["#0072b2" if "`" in CONTENDERS[name] else "#999999" for name in names]
    places = range(len(names))
    axes.barh(places, values, color=colours)
    axes.set_yticks(places, [CONTENDERS[name].replace("`", "") for name in names])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(1, max(values) * 5)
    axes.set_xlabel("milliseconds of one core for 10 s of audio (logarithmic)")
    axes.spines[["top", "right"]].set_visible(False)
    for place, value in zip(places, values, strict=True):
        axes.text(value * 1.1, place, f"{_rounded(value)} ms", va="center")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    pyplot.close(figure)


def main(argv: list[str] | None = None) -> None:
    """Print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[1].strip())
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of run.py's JSON; the figure goes there")
    folder = parser.parse_args(argv).results
    results = read_results(folder)
    print(machine_line(results), latency_table(results["latency"]), target_table(results), sep="\n\n")
    draw_latency(results["latency"], folder / FIGURE)


def _milliseconds(latency: dict, name: str) -> float:
    return 1000 * latency["rows"][name]["seconds"]["median"]


def _rounded(value: float) -> str:
    """Two digits below 10, whole numbers from there on."""
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


if __name__ == "__main__":
    main()
