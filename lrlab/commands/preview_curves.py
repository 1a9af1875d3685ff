"""The curves of `lrlab preview`: every run that was typed, planned; and the LR of each of its groups."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lrlab.config import compose, names
from lrlab.drawing.terminal import Line
from lrlab.errors import UserError, wrong
from lrlab.system import streams
from lrlab.words import counted

if TYPE_CHECKING:
    from lrlab.lr.plan import Plan  # which needs torch, and --help does not

_SECONDS_WITHOUT_A_WORD = 2.0


@dataclass(frozen=True)
class PlannedCurve:
    """One planned run; without a plan where it cannot be one with these settings."""

    name: str
    plan: Plan | None
    notes: list[str]  # warnings, or why there is no plan

    def shows(self, name: str) -> bool:
        return self.plan is not None and name in self.plan.curves


def with_groups(curve: PlannedCurve, show: str) -> list[PlannedCurve]:
    """A planned run and, where its LR is shown, each LR of a group that is another one than those before."""
    if show != "lr" or curve.plan is None:
        return [curve]
    plan, hashes = curve.plan, curve.plan.hashes
    seen, found = {hashes.get("lr")}, [curve]
    for name, values in plan.curves.items():
        if name.startswith("lr/") and hashes[name] not in seen:
            seen.add(hashes[name])
            alone = replace(plan, curves={"lr": values})
            found.append(PlannedCurve(f"{curve.name} {name.removeprefix('lr/')}", alone, []))
    return found


def plan_curves(overrides: Sequence[str], steps_per_epoch: int | None) -> list[PlannedCurve]:
    """The plan of every run that `overrides` mean as a sweep, under the name that a sweep gives it."""
    from lrlab.config.prepare import plan_only

    # Every run that is meant, as a sweep would multiply them out.
    runs = compose.expand([_all_of_them(overrides) if typed == "scheduler=all" else typed for typed in overrides])
    fixed = names.fixed_keys(runs)
    if len(runs) == 1:
        fixed = [key for key in fixed if key != "scheduler"]

    # Each is planned; where all schedulers are meant, one that cannot be planned does not stop the others.
    curves: list[PlannedCurve] = []
    for run in runs:
        config = compose.compose(run)
        name = names.run_name(run, leave_out=fixed)
        if name == "default":
            name = f"scheduler={config.hydra.runtime.choices.get('scheduler')}"
        if name in [curve.name for curve in curves]:
            raise wrong("command line", got=f"two curves named {name}", allowed="each once", do="remove the double")
        try:
            with _waiting(name) as progress:
                curves.append(PlannedCurve(name, *plan_only(config, steps_per_epoch, progress)))
        except UserError as error:
            if "scheduler=all" in overrides:
                curves.append(PlannedCurve(name, None, [str(error)]))
            elif len(runs) > 1:
                raise error.under(name) from error
            else:
                raise
    return curves


def lines_of(curves: Sequence[PlannedCurve], *, show: str, axis: str) -> list[Line]:
    """A line over `axis` for each curve that has values of the name `show`."""
    from lrlab.api.lines import line_of

    shown = [curve for curve in curves if curve.shows(show)]
    return [line_of(curve.name, curve.plan, show=show, axis=axis) for curve in shown if curve.plan is not None]


@contextmanager
def _waiting(name: str) -> Iterator[Callable[[int, int], None]]:
    """What is told how far a plan is, and says so where it takes long: in a bar, or in a line where nobody looks."""
    from rich import progress as rich_progress

    console = streams.console(stderr=True)
    bar = rich_progress.Progress(console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(f"planning {name}", total=None)
    started = time.monotonic()
    is_said = False

    def told(done: int, total: int) -> None:
        nonlocal is_said
        if time.monotonic() - started > _SECONDS_WITHOUT_A_WORD and not is_said:
            is_said = True
            bar.start()
            if bar.disable:
                print(f"planning {name}: {counted(total, 'step')} of its scheduler", file=sys.stderr)
        bar.update(task, completed=done, total=total)

    try:
        yield told
    finally:
        bar.stop()


def _all_of_them(overrides: Sequence[str]) -> str:
    """What `scheduler=all` stands for."""
    return f"scheduler={','.join(compose.options('scheduler', overrides))}"
