"""The result of a benchmark, printed and written as JSON."""

from dataclasses import dataclass, field
from pathlib import Path

from speech_affect_training.files import write_json

from .machine import Settings, floor
from .measuring import Turn, summary


SCHEMA_VERSION = 1


@dataclass
class Result:
    """Result of a benchmark.

    Args:
        settings: sizes and counts.
        rows: per contender its quantities, `{"seconds": {"median", "q25", "q75", "n"}, ...}`, plain facts, and
            `floor`; or `missing`, why it did not run.
        ratios: `{"of", "to", "quantity", "median", "q25", "q75", "n"}` of pairs within a round.
        targets: `{"what", "value", "at_least" or "at_most", "met"}`.
    """

    settings: dict
    rows: dict[str, dict] = field(default_factory=dict)
    ratios: dict[str, dict] = field(default_factory=dict)
    targets: dict[str, dict] = field(default_factory=dict)

    def add_turns(self, turns: dict[str, list[Turn]]) -> None:
        """Add a row of each contender: each quantity over its turns."""
        for name, values in turns.items():
            self.rows[name] = {quantity: summary([turn[quantity] for turn in values]) for quantity in values[0]}

    def add_floor(self, name: str, operations: float, num_bytes: float, machine: dict, quantity="seconds") -> None:
        """Add the least time of a row, and the multiple of it that was measured."""
        least = floor(operations, num_bytes, machine)
        least["times_floor"] = self.rows[name][quantity]["median"] / least["floor_s"]
        self.rows[name]["floor"] = least

    def add_missing(self, name: str, reason: str) -> None:
        """Add a contender that did not run."""
        self.rows[name] = {"missing": reason}

    def add_ratio(self, turns: dict[str, list[Turn]], slow: str, fast: str, quantity="seconds") -> None:
        """Add how many times as much `slow` needs as `fast`, the median of the ratios within rounds, if both ran."""
        if slow in turns and fast in turns:
            name = f"{slow}_over_{fast}{'_cpu' * (quantity == 'cpu_seconds')}"
            values = [of[quantity] / to[quantity] for of, to in zip(turns[slow], turns[fast], strict=True)]
            self.ratios[name] = {"of": slow, "to": fast, "quantity": quantity, **summary(values)}

    def add_target(
        self, name: str, what: str, value: float | None, at_least: float | None = None, at_most: float | None = None
    ) -> None:
        """Add an aim, and whether it was met; None if the value was not measured."""
        met = None
        if value is not None:
            met = value >= at_least if at_least is not None else value <= at_most
        limit = {"at_least": at_least} if at_least is not None else {"at_most": at_most}
        self.targets[name] = {"what": what, "value": value, **limit, "met": met}

    def ratio_median(self, name: str) -> float | None:
        """Median of a ratio; None if it was not measured."""
        return self.ratios[name]["median"] if name in self.ratios else None


def write_result(name: str, result: Result, machine: dict, settings: Settings, folder: Path) -> Path:
    """Write a result to `folder/name.json`; returns the path."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "benchmark": name,
        "quick": settings.quick,
        "audio": settings.audio,
        "machine": machine,
        **vars(result),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    write_json(path, _rounded(content))
    return path


def _rounded(value):
    """Round to five significant digits; more would be noise."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def print_result(name: str, result: Result, machine: dict) -> None:
    """Print the medians of a result, its ratios and its aims."""
    print(f"\n{name} on {machine['processor']}, load {machine['load_average'][0]:g}, {machine['date']}")
    for label, values in result.rows.items():
        parts = [f"{key} {_median(value)}" for key, value in values.items() if key != "floor"]
        floor = [f"{values['floor']['times_floor']:.3g} times the floor"] if "floor" in values else []
        print(f"  {label}: {', '.join(parts + floor)}")
    for label, values in result.ratios.items():
        print(f"  {label}: {_median(values)}")
    for target in result.targets.values():
        outcome = {True: "met", False: "MISSED", None: "open"}[target["met"]]
        aim = f"at least {target['at_least']:g}" if "at_least" in target else f"at most {target['at_most']:g}"
        print(f"  {outcome}: {target['what']}: {target['value']} ({aim})")


def _median(value) -> str:
    if isinstance(value, dict):
        return f"{value['median']:.4g} [{value['q25']:.4g}, {value['q75']:.4g}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
