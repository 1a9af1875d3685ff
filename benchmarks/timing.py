"""What every benchmark shares: interleaved repeats, rows with ratios, the machine, the table and the JSON file.

A measurement returns its columns by name, the first of which is the one that is compared: `{"ms per update": 0.8}`.
It raises `Missing` where it cannot be made here; its row is then left out, and the report says why.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent
PEERS = ("lightning", "accelerate", "pytorch-ignite", "hydra-core", "hydra-joblib-launcher")

Measured = Mapping[str, float]
Measure = Callable[[], Measured]


class Missing(Exception):
    """Something that a row needs is not here; the message says what."""


@dataclass(frozen=True)
class Table:
    """What was measured side by side. A row holds medians by column, and the median, lowest and highest ratio."""

    title: str
    base: str  # the row that ratios are to
    rows: list[dict[str, Any]]
    left_out: dict[str, str] = field(default_factory=dict)  # row: why


def compare(
    title: str, cases: Mapping[str, Measure], *, base: str, repeats: int, say: Callable[[str], None] | None = None
) -> Table:
    """Measure every case once, then every case again, `repeats` times, and compare each with `base`.

    Whatever slows the machine down for a while so falls on all cases, and a ratio is taken within one repeat.
    """
    say = say or note
    samples: dict[str, list[Measured]] = {name: [] for name in cases}
    left_out: dict[str, str] = {}
    for repeat in range(repeats):
        for name, measure in cases.items():
            if name in left_out:
                continue
            try:
                measured = measure()
            except Missing as reason:
                left_out[name] = str(reason)
                say(f"{title}: {name}: left out: {reason}")
                continue
            samples[name].append(measured)
            shown = ", ".join(f"{value:,.4g} {column}" for column, value in measured.items())
            say(f"{title}: repeat {repeat + 1} of {repeats}: {name}: {shown}")
    complete = {name: found for name, found in samples.items() if name not in left_out}
    return Table(title, base, rows(complete, base), left_out)


def rows(samples: Mapping[str, Sequence[Measured]], base: str) -> list[dict[str, Any]]:
    """A row for each case, in the order of `samples`; without the base there is nothing to compare with.

    >>> rows({"a": [{"s": 1.0}, {"s": 2.0}], "b": [{"s": 2.0}, {"s": 6.0}]}, base="a")[1]["ratio"]
    2.5
    """
    found = []
    for name, measured in samples.items():
        first = next(iter(measured[0]))
        values = [one[first] for one in measured]
        row: dict[str, Any] = {"name": name}
        row |= {column: statistics.median(one[column] for one in measured) for column in measured[0]}
        row |= {"lowest": min(values), "highest": max(values)}
        if base in samples:
            ratios = [own / one[first] for own, one in zip(values, samples[base], strict=True)]
            row |= {"ratio": statistics.median(ratios), "ratio_lowest": min(ratios), "ratio_highest": max(ratios)}
        found.append({column: _rounded(value) for column, value in row.items()})
    return found


def _rounded(value: Any) -> Any:
    """Four significant digits: no measurement here is better than that."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def columns_of(table: Table, hidden: Sequence[str]) -> list[str]:
    """The columns of all rows, in the order in which they first appear."""
    found: dict[str, None] = {}
    for row in table.rows:
        found.update(dict.fromkeys(row))
    return [column for column in found if column not in hidden]


def cells(table: Table) -> list[list[str]]:
    """The table as text, its header first."""
    if not table.base:  # counts, which have no spread
        columns = columns_of(table, hidden=("name",))
        return [["", *columns], *([row["name"], *(str(row.get(one, "")) for one in columns)] for row in table.rows)]
    hidden = ("name", "lowest", "highest", "ratio", "ratio_lowest", "ratio_highest")
    columns = columns_of(table, hidden)
    lines = [["", *columns[:1], "lowest to highest", f"to {table.base}", *columns[1:]]]
    for row in table.rows:
        ratio = (
            f"{row['ratio']:.3g} ({row['ratio_lowest']:.3g} to {row['ratio_highest']:.3g})" if "ratio" in row else ""
        )
        values = [number(row[column]) if column in row else "" for column in columns]
        spread = f"{number(row['lowest'])} to {number(row['highest'])}"
        lines.append([row["name"], *values[:1], spread, ratio, *values[1:]])
    return lines


def number(value: float) -> str:
    """`value` as it is read most easily: 0.8312, 12.35, 1,234."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def machine() -> dict[str, Any]:
    """What computed: the processor, not whose it is; and the load of the minute before, which should be near 0."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpus": _gpus(),
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "versions": _versions(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _versions() -> dict[str, str]:
    from lrlab.runs import summary

    found = summary.versions()
    for name in PEERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def parser(module: str, description: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks {module}", description=(description or "").split("\n")[0]
    )
    made.add_argument("--repeats", type=int, default=None, help=f"of every row, interleaved (default: {repeats})")
    made.add_argument("--quick", action="store_true", help="one short repeat, to try the script; not kept")
    made.set_defaults(usual_repeats=repeats)
    return made


def repeats(options: argparse.Namespace) -> int:
    """How often to measure."""
    return options.repeats or (1 if options.quick else options.usual_repeats)


def report(
    name: str, tables: Sequence[Table], options: argparse.Namespace, before: dict[str, Any], **facts: Any
) -> None:
    """Print the tables, and write them beside the script: NAME.json, or NAME.quick.json, which is not kept.

    `before` is the machine as it was before the first measurement; `facts` say what was measured.
    """
    for table in tables:
        show(table)
    contents = {
        "benchmark": name,
        "quick": options.quick,
        "repeats": repeats(options),
        **facts,
        "machine": before,
        "tables": [asdict(table) for table in tables],
    }
    path = FOLDER / f"{name}{'.quick' if options.quick else ''}.json"
    path.write_text(json.dumps(contents, indent=2, allow_nan=False) + "\n")
    print(f"\nwritten: {path.relative_to(ROOT)}", flush=True)


def show(table: Table) -> None:
    """Print `table` with its columns under each other."""
    lines = cells(table)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    print(f"\n{table.title}")
    for line in lines:
        first, *rest = (
            text.ljust(width) if not index else text.rjust(width)
            for index, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join([first, *rest]).rstrip())
    for name, reason in table.left_out.items():
        print(f"left out: {name}: {reason}")


def note(line: str) -> None:
    """Say on stderr how far it is, so that stdout holds the tables alone."""
    print(line, file=sys.stderr, flush=True)
