"""`python tests/robustness/large_table.py --rows 10000000`: loads a corpus of so many rows and measures its memory."""

import argparse
import sys
import tempfile
import time
from pathlib import Path


# instead of this folder, whose module names are common words
sys.path[0] = str(Path(__file__).resolve().parents[1])

FILES = 10_000  # further paths go through symbolic links to their folder
SPEAKERS = 5000
HEADER = "audio,activation,valence,dominance,speaker,gender,emotion,transcript\n"


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse and check the command line."""
    from robustness.options import whole_number

    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[1].strip())
    parser.add_argument("--rows", type=whole_number(SPEAKERS), default=10_000_000, help="default %(default)s")
    parser.add_argument("--output", type=Path, help="JSON file for the measurements")
    return parser.parse_args(argv)


def write_table(folder: Path, rows: int) -> Path:
    """Write a CSV file of ratings with an audio path for each row; the audio files are empty."""
    files = folder / "clips"
    files.mkdir()
    for number in range(min(rows, FILES)):
        (files / f"{number:05d}.wav").touch()
    for number in range(-(-rows // FILES)):
        (folder / f"{number:04d}").symlink_to("clips", target_is_directory=True)
    with open(folder / "ratings.csv", "w", encoding="utf-8") as file:
        file.write(HEADER)
        for row in range(rows):
            ratings = ",".join(f"{1 + row % (600 - dimension) / 100:.2f}" for dimension in range(3))
            who = f"speaker {row % SPEAKERS},{'Male' if row % 2 else 'Female'},{'AHSN'[row % 4]}"
            file.write(f"{row // FILES:04d}/{row % FILES:05d}.wav,{ratings},{who},what was said in turn {row}\n")
    return folder / "ratings.csv"


def measure(path: Path) -> dict:
    """Read the table row by row, then load it as a corpus; returns seconds and megabytes of both."""
    from benchmarks.measuring import peak_mb, start_peak

    from speech_affect_training.corpora.csv_rows import csv_rows
    from speech_affect_training.corpora.table import load_table_corpus

    before_mb, start_s = start_peak(), time.monotonic()
    rows = sum(1 for _ in csv_rows(path)) - 1
    result = {
        "rows": rows,
        "file_mb": round(path.stat().st_size / 1e6),
        "read_s": round(time.monotonic() - start_s, 1),
        "read_mb": round(peak_mb() - before_mb, 1),
    }
    before_mb, start_s = start_peak(), time.monotonic()
    details = {f"{name}_column": name for name in ("speaker", "gender", "emotion", "transcript")}
    corpus = load_table_corpus(path, label_range=(1, 7), **details)
    loaded_s = time.monotonic() - start_s
    splits = {split: len(data) for split, data in corpus.splits.items()}
    return {**result, "load_s": round(loaded_s, 1), "load_mb": round(peak_mb() - before_mb), "splits": splits}


def table_sentence(result: dict) -> str:
    """The measurements in a sentence."""
    read = f"read in {result['read_s']:.0f} s and {result['read_mb']:.0f} MB of memory"
    minutes, gigabytes = result["load_s"] / 60, result["load_mb"] / 1000
    loaded = f"checked and loaded, an audio file each, in {minutes:.0f} min and {gigabytes:.1f} GB"
    return f"{result['rows']:,} rows ({result['file_mb']:,} MB): {read}; {loaded}."


def main(argv: list[str]) -> int:
    """Write, measure and print; returns 1 if a row was lost, or if reading held more than a few rows."""
    from speech_affect_training.files import write_json

    options = parse(argv)
    with tempfile.TemporaryDirectory(prefix="speech_affect_large_table_") as folder:
        print(f"writing {options.rows:,} rows", file=sys.stderr, flush=True)
        path = write_table(Path(folder).resolve(), options.rows)
        result = {"schema_version": 1, **measure(path)}
    print(table_sentence(result))
    if options.output:
        write_json(options.output, result)
    return 0 if sum(result["splits"].values()) == result["rows"] == options.rows and result["read_mb"] < 50 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
