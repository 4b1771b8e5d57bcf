"""What came of a fault."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .fault_workspace import Workspace, done_again


@dataclass(frozen=True)
class Verdict:
    """
    Args:
        fault: the kind.
        point: where it struck.
        refusal: the one sentence by which a run refused to go on.
        failure: what went wrong; None where the last run ended as the undisturbed one.
    """

    fault: str
    point: str
    refusal: str | None = None
    failure: str | None = None


def resume(
    space: Workspace,
    fault: str,
    point: str,
    folder: Path,
    before: dict[str, int],
    *more: str,
    refusal: str | None = None,
    most_refusals: int = 0,
    cache: Path | None = None,
    ignored: Sequence[str] = (),
) -> Verdict:
    """
    Start a run that a fault struck again, see that it ends as the undisturbed one, and delete its folder if it does.

    Args:
        space: of the run.
        fault, point: what happened.
        folder: of the run.
        before: what was finished, see [`fault_workspace.finished`].
        more: arguments of the run.
        refusal: by which the run ended at the fault.
        most_refusals: that may come before the run goes on; each has to be one sentence.
        cache: where it is not the run's own.
        ignored: settings of `environment` in which the run was to differ.
    """
    for left in reversed(range(most_refusals + 1)):
        run = space.run(folder, *more, cache=cache)
        if run.wait() == 0:
            break
        said = run.refusal()
        refusal = refusal or said
        if said is None or not left:
            return Verdict(fault, point, refusal, f"does not go on ({run.status}): {run.tail()}")
    again, different = done_again(folder / "out", before), space.differences(folder, ignored)
    if again:
        return Verdict(fault, point, refusal, f"done again: {', '.join(again)}")
    if different:
        return Verdict(fault, point, refusal, f"differs: {different}")
    shutil.rmtree(folder)
    return Verdict(fault, point, refusal)
