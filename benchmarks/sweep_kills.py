"""Sweeps whose processes are killed with SIGKILL at random moments, and started again until they are finished.

The runs of the first share beginnings as planned, those of the second until a metric sets them apart, those of the
third train in one step. The command itself is killed, and workers and trunks under it. Not a matter of time but of
counts: every sweep must end as the undisturbed one did, to the last bit.
"""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.timing import ROOT, Table

sys.path.insert(0, str(ROOT / "tests"))

A_SWEEP = 6  # kills of one sweep, of which some find it finished


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("sweep_kills", __doc__, repeats=1)
    parser.add_argument("--kills", type=int, default=102, help="over three sweeps (default: 102)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the processes (default: 0)")
    options = parser.parse_args(arguments)
    before = timing.machine()
    place = Path(tempfile.mkdtemp(prefix="sweep-kills-"))
    table = killed(place, 6 if options.quick else options.kills, options.seed)
    timing.report("sweep_kills", [table], options, before, seed=options.seed)
    if table.left_out:
        sys.exit("\n".join(["sweep_kills: not as it should be:", *table.left_out.values(), f"it is in {place}"]))
    shutil.rmtree(place)


def killed(place: Path, kills: int, seed: int) -> Table:
    """Every sweep anew, until so many of its processes were killed."""
    from faults.sweeps import SWEEPS

    rows: list[dict[str, Any]] = []
    wrong: dict[str, str] = {}
    for name, typed in SWEEPS.items():
        rows.append(row := {"name": name, "kills": 0, "of these the command itself": 0, "sweeps": 0, "that differ": 0})
        for difference in disturbed(place / name, typed, -(-kills // len(SWEEPS)), seed, row):
            wrong[f"{name}, {difference}"] = f"{name}, {difference}"
        timing.note(f"{name}: {row['kills']} kills of {row['sweeps']} sweeps, {row['that differ']} differ")
    sums = {key: sum(row[key] for row in rows) for key in rows[0] if key != "name"}
    return Table("Sweeps killed (SIGKILL) and started again", "", [*rows, {"name": "all", **sums}], wrong)


def disturbed(place: Path, typed: Sequence[str], kills: int, seed: int, row: dict[str, Any]) -> list[str]:
    """Kill until there are so many, counted in `row`; returns in what the sweeps differ from an undisturbed one."""
    from faults.harness import first_difference
    from faults.sweeps import disturb, runs, undisturbed

    place.mkdir()
    whole, found = undisturbed(place / "whole", *typed), []
    while row["kills"] < kills:
        here = place / str(row["sweeps"])
        most = min(A_SWEEP, kills - row["kills"])
        if row["sweeps"] > 2 * kills:
            return [*found, f"{row['kills']} of {kills} kills in {row['sweeps']} sweeps"]
        tally = disturb(here, *typed, kills=most, seed=f"{here}/{seed}".removeprefix(str(place.parent)))
        row["kills"] += tally.all
        row["of these the command itself"] += tally.parents
        row["sweeps"] += 1
        if difference := first_difference(runs(here), whole):
            row["that differ"] += 1
            found.append(f"sweep {here.name}: {difference}")
        else:
            shutil.rmtree(here)
    return found


if __name__ == "__main__":
    main()
