"""The best runs of a sweep of very many, as a folder of links: TensorBoard reads thousands, and no page shows them."""

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from lrlab.comparison.contest import Contest
from lrlab.comparison.results import Result
from lrlab.words import FEW

FOLDER = ".best"  # in the sweep's; whoever reads the sweep follows no links
MANY = 500  # runs: of more, the best have a folder
_SEEDS = 3  # of each schedule


def chosen(contests: Sequence[Contest]) -> list[Result]:
    """The first seeds of the best schedules at their best LRs, best first, of each contest."""
    runs: list[Result] = []
    for contest in contests:
        for candidate in contest.candidates[:FEW]:
            runs += islice(candidate.best.values(), _SEEDS)
    return runs


def link(folder: Path, contests: Sequence[Contest]) -> Path | None:
    """Make the links in a sweep's `folder`, in place of earlier ones; None where the system has none.

    They are numbered, the best first, and each has the name of its run.
    """
    place = folder / FOLDER
    runs = chosen(contests)
    try:
        place.mkdir(exist_ok=True)
        for old in place.iterdir():
            if old.is_symlink():
                old.unlink()
        for number, run in enumerate(runs, start=1):
            name = str(run.name).replace(os.sep, "-")
            target = os.path.relpath(run.folder.absolute(), place.absolute())
            (place / f"{number:0{len(str(len(runs)))}},{name}").symlink_to(target, target_is_directory=True)
    except OSError:  # a disk without links, or without room
        with suppress(OSError):
            place.rmdir()
        return None
    return place
