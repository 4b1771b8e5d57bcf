"""The figure of a long run."""

from pathlib import Path

from speech_affect_training.files import atomic_path

from .held import QUANTITIES
from .report import SETTLING


TITLES = {
    "rss_mb": "resident memory / MB",
    "anonymous_mb": "of no file / MB",
    "pss_mb": "share of memory / MB",
    "file_handles": "file handles",
    "threads": "threads",
    "temporary_files": "temporary files",
}


def draw(path: Path, result: dict) -> None:
    """Draw each quantity over minutes, a column per target; warm-up is shaded, the fitted line dashed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    targets = {name: load for name, load in result["targets"].items() if load["samples"]}
    figure, panels = plt.subplots(
        len(QUANTITIES),
        max(1, len(targets)),
        figsize=(4.5 * max(1, len(targets)), 9),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for column, (name, load) in zip(panels.T, targets.items(), strict=True):
        samples = load["samples"]
        minutes = [sample["seconds"] / 60 for sample in samples]
        settled = next(n for n, each in enumerate(samples) if each["requests"] >= SETTLING * samples[-1]["requests"])
        for axes, quantity in zip(column, QUANTITIES, strict=True):
            axes.plot(minutes, [sample[quantity] for sample in samples], lw=0.8, color="#1b9e77")
            axes.axvspan(minutes[0], minutes[settled], color="#eeeeee", zorder=0)
            growth = load["growth"].get(quantity)
            if growth:
                colour = "#d62728" if growth["leaks"] else "#333333"
                axes.plot([minutes[settled], minutes[-1]], [growth["first"], growth["last"]], "--", color=colour)
            axes.set_ylabel(TITLES[quantity], fontsize=8)
            axes.set_ylim(bottom=0)
            axes.spines[["top", "right"]].set_visible(False)
        column[0].set_title(f"{name}: {load['requests']} requests", fontsize=10)
        column[-1].set_xlabel("minutes")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    plt.close(figure)
