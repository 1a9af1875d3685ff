"""A part of a sweep whose other runs are not known yet: what a study or a piece of advice needs next."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lrlab.comparison import results
from lrlab.runs import summary
from lrlab.sweeps import launch, plan, server, shared, stacks
from lrlab.sweeps.job import Job, Outcome
from lrlab.sweeps.settings import LauncherSettings
from lrlab.sweeps.table import Board
from lrlab.system import disk, lock


def _print(line: str) -> None:
    print(line, flush=True)


def carry_out(
    jobs: Sequence[Job],
    folder: Path,
    launcher: LauncherSettings,
    *,
    again: str,
    facts: Mapping[str, Any] | None = None,
    make_board: Callable[..., Any] = Board,
    told: Callable[[str], None] = _print,
) -> dict[str, Outcome]:
    """Carry out those of `jobs` that are not finished in `folder`, which other runs of the sweep may be in too.

    The folder says that it is a sweep, which command goes on with it, `again`, and what else is known, `facts`. `told`
    hears what is about to be done, a line at a time. Returns how every run ended, by name. Raises Interrupted where a
    signal stopped it, with everything saved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not jobs:
        return {}
    if not launcher.in_this_process and launcher.executor == "processes":
        server.started(launcher.threads_per_run)
    with ExitStack() as opened:
        opened.enter_context(lock.held(folder, what="sweeping"))
        planned = plan.plan(jobs, folder, whole=False)
        planned, stacked = stacks.stack(planned, launcher)
        if launcher.share:
            planned = shared.share(planned)
        before = summary.read(folder, results.SWEEP).get("runs")
        known = [*before] if isinstance(before, list) else []
        runs = list(dict.fromkeys([*known, *(job.name for job in planned.jobs)]))
        said = {"command": again, "runs": runs, **(facts or {})}
        disk.write_whole(folder / results.SWEEP, json.dumps(said, indent=2) + "\n")
        for line in launch.start_lines(planned, launcher, stacked):
            told(line)
        return launch.carry_out(planned, launcher, make_board)
