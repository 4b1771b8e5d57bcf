"""`python tests/robustness/fuzz.py TARGET`: guided by coverage, seeks bytes that a parser of ours stumbles on."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path


HERE = Path(__file__).resolve().parent
# this folder itself must not be searched: its `arrays` and `model` would hide others
sys.path[0] = str(HERE.parent)
TRAINING = HERE.parents[1] / "training"
sys.path.append(str(TRAINING))

SEARCH = "--search"  # how the command calls itself
LONGEST = 1 << 14  # bytes tried
INPUT_S = 10  # that one may take


def parse(argv: list[str], targets: tuple[str, ...]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[1].strip())
    parser.add_argument("target", choices=targets, help="a parser")
    parser.add_argument("--seconds", type=int, default=60, help="of trying, default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of what is tried, default %(default)s")
    parser.add_argument("--output", type=Path, default=Path("fuzz"), help="folder for findings, default %(default)s")
    options = parser.parse_args(argv)
    for name in ("seconds", "seed"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}; it is at least 1")
    if find_spec("atheris") is None:
        parser.error("atheris, which guides the search, is missing: pip install atheris")
    return options


def dictionary(seeds: list[bytes]) -> list[str]:
    """Words to put in, as libFuzzer writes bytes: those of the seeds, and what parsers are known to trip over."""
    words = {word for seed in seeds for word in re.findall(rb"[\w.+-]{2,40}|[^\w\s]", seed)}
    words |= {seed[start : start + 4] for seed in seeds for start in range(0, min(len(seed), 64), 4)}
    words |= {b"NaN", b"-Infinity", b"1e999", b"null", b"{}", b"[]", b'""', b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r"}
    return ["".join(f"\\x{byte:02x}" for byte in word) for word in sorted(words)]


def search(target: str, folder: Path, arguments: list[str]) -> None:
    """In a process of its own, which libFuzzer ends: with status 0, or with another where it has found something."""
    import atheris

    from robustness.parsers import STUMBLING, all_parsers, is_refused

    ours = ["speech_affect", "corpora", *(path.stem for path in TRAINING.glob("*.py"))]
    with atheris.instrument_imports(include=ours, enable_loader_override=False):
        parser = all_parsers(folder)[target]
    seeds = folder / "seeds"
    seeds.mkdir()
    for number, seed in enumerate([*parser.seeds, *STUMBLING]):
        (seeds / str(number)).write_bytes(seed)

    (folder / "words").write_text("".join(f'"{word}"\n' for word in dictionary(parser.seeds)), encoding="ascii")

    def attempt(content: bytes) -> None:
        is_refused(parser, content)

    atheris.Setup([sys.argv[0], f"-dict={folder / 'words'}", *arguments, str(seeds)], attempt)
    atheris.Fuzz()


def main(argv: list[str]) -> int:
    """Try for some time; 1 if there is a finding, which is left in the folder `--output`."""
    from robustness.parsers import NAMES

    options = parse(argv, NAMES)
    options.output.mkdir(parents=True, exist_ok=True)
    prefix = options.output.resolve() / f"{options.target}-"
    arguments = [f"-max_total_time={options.seconds}", f"-seed={options.seed}", f"-artifact_prefix={prefix}"]
    arguments += [f"-max_len={LONGEST}", "-len_control=0", f"-timeout={INPUT_S}"]
    with tempfile.TemporaryDirectory(prefix="speech_affect_fuzz_") as folder:
        command = [sys.executable, __file__, SEARCH, options.target, folder, *arguments]
        done = subprocess.run(command, env={**os.environ, "TMPDIR": folder})
    print(f"{options.target}: " + ("nothing found" if done.returncode == 0 else f"FOUND, see above and {prefix}*"))
    return int(done.returncode != 0)


if __name__ == "__main__":
    if sys.argv[1:2] == [SEARCH]:
        search(sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
    else:
        sys.exit(main(sys.argv[1:]))
