"""`speech-affect plot`: the curve of a recording over its waveform, and the plane of valence and activation."""

import argparse
from pathlib import Path

from .estimators import MODEL_HELP, chosen_model, label_range, open_estimator
from .formats import check_output, whole_file


FIGURES = (".png", ".svg", ".pdf")
WINDOW_S, HOPS_S, MOST_WINDOWS = 2.0, (0.5, 1, 2, 5, 10, 30, 60), 240  # unless others are asked for

EXAMPLES = """examples:
  speech-affect plot talk.mp3 -o curve.png
  speech-affect plot talk.mp3 -o curve.svg --window-s 4 --hop-s 1
"""


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of `speech-affect`."""
    parser = commands.add_parser(
        "plot",
        help="a figure of one recording: its curve, and the plane",
        description="Draw the values of a recording over time, above its waveform, and its way through the plane of "
        "valence and activation. A value stands at the middle of its window; silence is a gap.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("recording", metavar="FILE", help="of audio")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help=", ".join(FIGURES))
    add("--model", help=MODEL_HELP)
    add(
        "--window-s",
        type=float,
        metavar="SECONDS",
        help="of a value (default: 2, longer where there would be over 240)",
    )
    add(
        "--hop-s",
        type=float,
        metavar="SECONDS",
        help="from one window to the next; by default the window, or 0.5 where that has none",
    )


def run(given: argparse.Namespace) -> int:
    """Run the command; the exit status is 0.

    Raises:
        ValueError: The recording cannot be read, or an option is not allowed.
    """
    check_output(given.output, FIGURES)
    if given.hop_s is not None and given.window_s is None:
        raise ValueError("--hop-s is of windows: give --window-s as well")
    import matplotlib.figure  # noqa: F401  before the work, not after it

    from .figure import draw, waveform  # not for --help

    peaks, duration_s = waveform(given.recording)
    window_s, hop_s = given.window_s, given.hop_s
    if window_s is None:
        hop_s = next((hop for hop in HOPS_S if duration_s / hop <= MOST_WINDOWS), duration_s / MOST_WINDOWS)
        window_s = max(WINDOW_S, 2 * hop_s)
    estimator = open_estimator(chosen_model(given.model))
    windows = estimator(given.recording, window_s=window_s, hop_s=hop_s, batch_size=8)
    whole = estimator(given.recording, on_error="skip")  # what is too long for an exported encoder has no point
    figure = draw(windows, whole, peaks, duration_s, label_range(estimator))
    figure.suptitle(f"{Path(given.recording).name}, windows of {window_s:g} s", fontsize=11)
    with whole_file(given.output) as temporary:
        figure.savefig(temporary, dpi=150, format=given.output.suffix[1:])
    return 0
