"""The routes to an estimate, in a process that imports one of them alone."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .measuring import Turn, cpu_timed, peak_mb, start_peak


def estimator(route: str) -> Callable[[Path], Callable]:
    """Import a route: `onnx`, without torch and transformers, or `pipeline`; returns what loads its file or folder."""
    if route == "onnx":
        from speech_affect_onnx import OnnxAffect

        return OnnxAffect
    from transformers import pipeline

    import speech_affect  # noqa: F401  it registers the task

    return lambda folder: pipeline("speech-emotion-regression", model=str(folder))


def estimate_files(
    index: int, count: int, models: dict[str, Path], batch_sizes: tuple[int, ...], files: list[Path]
) -> Mapping[str, Callable[[], Turn]]:
    """Turns `ROUTE_batchN` over a process's share of the files, after a warm-up."""
    mine = [str(path) for path in files[index::count]]
    turns = {}
    for route, model in models.items():
        estimate = estimator(route)(model)
        estimate(mine[:2])
        for batch_size in batch_sizes:
            turns[f"{route}_batch{batch_size}"] = cpu_timed(_estimate_all(estimate, mine, batch_size))
    return turns


def _estimate_all(estimate: Callable, files: list[str], batch_size: int) -> Callable[[], None]:
    def call() -> None:
        if len(estimate(files, batch_size=batch_size)) != len(files):
            raise RuntimeError("some of the files have no result")

    return call


def estimate_recording(
    index: int, count: int, route: str, model: Path, recording: Path, options: dict
) -> Mapping[str, Callable[[], Turn]]:
    """A turn over one recording in a fresh process; memory is that above the imports, the model included."""
    load = estimator(route)

    def turn() -> Turn:
        imported_mb = start_peak()
        estimate = load(model)
        start = time.process_time()
        result = estimate(str(recording), **options)
        cpu_seconds = time.process_time() - start
        points = result if isinstance(result, list) else [result]
        if not any(point["valence"] is not None for point in points):
            raise RuntimeError("the recording was taken for silence, so the model did not run")
        return {"cpu_seconds": cpu_seconds, "peak_mb_above_import": peak_mb() - imported_mb, "points": len(points)}

    return {"turn": turn}
