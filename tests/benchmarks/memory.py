"""`python tests/benchmarks/memory.py [--files N]`: the memory of `speech-affect predict` over N short recordings.

The recordings are links to a few seconds of the page's examples. The peak of memory over the first tenth of them is
compared with that over the rest.
"""

import argparse
import sys
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory


HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "space" / "examples"
LENGTHS_S = (0.5, 1, 1.5, 2)


def main(argv: list[str]) -> dict[str, float]:
    """Run the command in this process, print what memory it took, and return it in megabytes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[2])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--model", default="student_nano")
    given = parser.parse_args(argv)
    from benchmarks.measuring import peak_mb, start_peak
    from speech_affect.cli import predict
    from speech_affect.cli.main import main as command

    peaks: list[float] = []

    class Measured(predict.Unfinished):
        def add(self, rows: list[dict]) -> None:
            super().add(rows)
            if not peaks and self.parts * predict.PART >= given.files / 10:
                peaks.append(peak_mb())
                start_peak()

    with TemporaryDirectory() as folder:
        write_recordings(Path(folder), given.files)
        kept, predict.Unfinished = predict.Unfinished, Measured
        try:
            start_peak()
            output = Path(folder, "values.csv")
            if command(["predict", f"{folder}/speech", "--model", given.model, "--output", str(output)]) != 0:
                raise RuntimeError("the command failed")
            peaks.append(peak_mb())
            rows = len(output.read_text().splitlines()) - 1
        finally:
            predict.Unfinished = kept
    if rows != given.files:
        raise RuntimeError(f"{rows} rows of {given.files} recordings")
    result = dict(zip(("first_tenth_mb", "rest_mb"), peaks, strict=True))
    print(f"{given.files} recordings: {', '.join(f'{name} {value:.1f}' for name, value in result.items())}")
    return result


def write_recordings(folder: Path, files: int) -> None:
    """Write parts of the examples as 16-bit wav at 16 kHz, and a folder `speech` of links to them."""
    import soundfile

    from speech_affect.audio import load_waveform

    waveforms, parts = [load_waveform(str(path)) for path in sorted(EXAMPLES.glob("*.ogg"))], []
    for number, length_s in zip(count(), LENGTHS_S, strict=False):
        for index, waveform in enumerate(waveforms):
            parts.append(folder / f"{index}_{number}.wav")
            soundfile.write(parts[-1], waveform[: int(length_s * 16_000)], 16_000)
    (folder / "speech").mkdir()
    for index in range(files):
        (folder / "speech" / f"{index:06}.wav").symlink_to(parts[index % len(parts)])


if __name__ == "__main__":
    sys.path[0] = str(HERE.parent)  # instead of this folder, whose module names are common words
    main(sys.argv[1:])
