"""The long version of tests/faults: runs that are killed, asked to stop, or broken on purpose, and what became of them.

Not a matter of time but of counts: every run must end as the undisturbed one did, to the last bit.
"""

import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.timing import ROOT, Table

sys.path.insert(0, str(ROOT / "tests"))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("faults", __doc__, repeats=1)
    parser.add_argument("--kills", type=int, default=204, help="of single runs, over six schedulers (default: 204)")
    parser.add_argument("--signals", type=int, default=50, help="of each of four kinds (default: 50)")
    parser.add_argument("--odd", type=int, default=1500, help="values in settings that nobody meant (default: 1500)")
    parser.add_argument("--seed", type=int, default=0, help="of the plan (default: 0)")
    options = parser.parse_args(arguments)
    kills, signals = (6, 2) if options.quick else (options.kills, options.signals)
    before = timing.machine()
    place = Path(tempfile.mkdtemp(prefix="faults-"))
    tables = [killed(place, kills, options.seed), asked(place, signals, options.seed), broken(place, options.seed)]
    tables.append(odd(place, 20 if options.quick else options.odd, options.seed))
    timing.report("faults", tables, options, before, seed=options.seed)
    if lost := [line for table in tables for line in table.left_out.values()]:
        sys.exit("\n".join(["faults: not as it should be:", *lost, f"the runs are in {place}"]))
    shutil.rmtree(place)


def killed(place: Path, kills: int, seed: int) -> Table:
    """SIGKILL at random moments of training: alone, among two ranks, with loader workers."""
    from faults.harness import Case, Plan, cases, disturb

    rows, wrong = [], {}
    six = cases()
    warmup, step = six[3], six[0]
    more = {
        Case("warmup_cosine, two ranks", warmup.overrides, ranks=2): max(1, kills // 5),
        Case("step, two loader workers", (*step.overrides, "data.cache=none", "data.workers=2")): max(1, kills // 10),
    }
    for case, count in {**dict.fromkeys(six, max(1, kills // len(six))), **more}.items():
        timing.note(f"kills: {case.name}")
        tally = disturb(case, place / case.name.replace(" ", "-"), Plan(count, seed=seed))
        rows.append(
            {
                "name": case.name,
                "kills in training": tally.stops,
                "of these in a checkpoint's write": tally.inside,
                "runs": tally.runs,
                "runs that differ": len(tally.wrong),
                "longest until all ended, s": round(tally.slowest, 1),
            }
        )
        if tally.wrong:
            wrong[case.name] = "; ".join(tally.wrong)
    sums = {key: sum(row[key] for row in rows) for key in list(rows[0])[1:5]}
    return Table("Killed (SIGKILL) and resumed", "", [*rows, {"name": "all", **sums}], wrong)


def asked(place: Path, signals: int, seed: int) -> Table:
    """SIGTERM, SIGINT, SIGHUP and SIGUSR1 at random moments of training, evaluation and saving."""
    from faults.harness import Plan, cases, disturb

    rows, wrong = [], {}
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        timing.note(f"signals: {number.name}")
        tally = disturb(cases()[2], place / number.name, Plan(signals, seed=seed, number=number))
        codes = ", ".join(f"{code}: {count}" for code, count in sorted(tally.codes.items()))
        rows.append(
            {
                "name": number.name,
                "signals in training": tally.stops,
                "exit codes": codes,
                "runs that differ": len(tally.wrong),
                "longest until all ended, s": round(tally.slowest, 1),
            }
        )
        if tally.wrong or set(tally.codes) != {128 + number}:
            wrong[number.name] = "; ".join([f"exit codes {codes}", *tally.wrong])
    return Table("Asked to stop, and resumed", "", rows, wrong)


def broken(place: Path, seed: int) -> Table:
    """Five ways to break lrlab, each of which must be noticed."""
    from faults import mutants
    from faults.harness import Plan, cases, disturb

    rows: list[dict[str, Any]] = []
    missed = {}
    for mutant in mutants.ALL:
        timing.note(f"mutants: {mutant.__name__}")
        inside = 1.0 if mutant is mutants.saved_in_place else 0.0
        plan = Plan(40, seed=seed, inside=inside, per_run=3, broken=mutant)
        tally = disturb(cases()[3], place / mutant.__name__, plan)
        name = mutant.__name__.replace("_", " ")
        rows.append({"name": name, "kills until it was noticed": tally.stops, "by": "".join(tally.wrong[:1])[:120]})
        if not tally.wrong:
            missed[name] = f"not noticed in {tally.stops} kills"
    return Table("lrlab broken on purpose", "", rows, missed)


def odd(place: Path, count: int, seed: int) -> Table:
    """Settings with values that nobody meant, a sample of all there are."""
    from faults.mutations import SLOW_SECONDS, mutations, try_all

    timing.note(f"odd settings: {count}")
    every = mutations()
    counts = try_all(random.Random(seed).sample(every, count), place / "odd")
    row = {
        "name": f"of {len(every):,} settings with an odd value",
        "cases": count,
        "one line": counts.outcomes["one line"],
        "trained": counts.outcomes["accepted"],
        "diverged": counts.outcomes["diverged"],
        "tracebacks, more lines or leftovers": len(counts.wrong),
        f"over {SLOW_SECONDS:g} s": len(counts.slow),
    }
    wrong = {one: one for one in [*counts.wrong, *counts.slow]}
    return Table("Odd values in settings", "", [row], wrong)


if __name__ == "__main__":
    main()
