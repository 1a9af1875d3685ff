"""What a run with a time budget did at which update, read back, so that another run can do the same."""

import csv
import io
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lrlab.errors import wrong
from lrlab.lr import shares
from lrlab.runs import summary
from lrlab.runs.tracking import HISTORY, SHARES
from lrlab.system import disk

_MOST_BYTES = 1_000_000_000
_ALLOWED = "a finished run with trainer.budget"


@dataclass(frozen=True)
class RecordedShares:
    """The positions in the plan of all updates of a run, and the epochs that it validated."""

    updates: int
    firsts: list[int]  # the updates at which a new position began
    positions: list[int]
    validated: frozenset[int]
    stopped_early: bool = False

    def position(self, step: int) -> int:
        """The position of update `step`."""
        return self.positions[bisect_right(self.firsts, step) - 1]

    def validates(self, epoch: int) -> bool:
        return epoch in self.validated


def read(folder: Path) -> RecordedShares:
    """The record that the finished run in `folder` left. Raises UserError where there is none."""
    said = summary.read(folder)
    if not folder.is_dir():
        what = "which is no folder" if folder.exists() else "which does not exist"
        raise wrong("replay", got=f"{folder}, {what}", allowed=_ALLOWED, do="replay=outputs/runs/NAME")
    if not (folder / SHARES).is_file():
        raise _no_record(folder, f"without {SHARES}", _ALLOWED)
    if said.get("status") != "finished":
        got, do = f"{folder}, a folder whose run is not finished", f"resume={folder}, and then replay={folder}"
        raise wrong("replay", got=got, allowed=_ALLOWED, do=do)
    try:
        rows = [(int(row["update"]), shares.read(row["share"])) for row in _rows(folder / SHARES)]
        validated = frozenset(int(row["epoch"]) for row in _rows(folder / HISTORY) if row["val_loss"])
        firsts, positions = [first for first, _ in rows], [position for _, position in rows]
        is_in_order = all(one <= other for one, other in pairwise(positions)) and firsts == sorted(set(firsts))
        if firsts[:1] != [0] or not is_in_order or not firsts[-1] < said["updates"]:
            raise ValueError("updates that are not in order")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _no_record(folder, f"whose {SHARES} is damaged ({error})", "the file as the run wrote it") from error
    return RecordedShares(said["updates"], firsts, positions, validated, said.get("stopped_early") is not None)


def _rows(file: Path) -> list[dict[str, str]]:
    """The rows of a table that anybody may have put there."""
    return list(csv.DictReader(io.StringIO(disk.read_regular(file, _MOST_BYTES).decode(), newline="")))


def _no_record(folder: Path, what: str, allowed: str) -> Exception:
    return wrong("replay", got=f"{folder}, a folder {what}", allowed=allowed, do="replay=outputs/runs/NAME")
