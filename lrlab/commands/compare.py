"""What a sweep showed: `python -m lrlab.compare outputs/sweeps/NAME`.

Reads any mix of runs, and writes report.html, results.csv and figures. Nothing is trained.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrlab.commands.entry import enter
from lrlab.comparison import contests, report, results, text
from lrlab.config import checks
from lrlab.config.arguments import split_off
from lrlab.drawing.figures import SUFFIXES
from lrlab.errors import closest, wrong
from lrlab.runs import folders, summary
from lrlab.system import disk
from lrlab.training.metrics import JUDGE, find

HELP = """lrlab.compare: what a sweep showed.

python -m lrlab.compare outputs/sweeps/NAME                 a sweep
python -m lrlab.compare outputs/sweeps/A outputs/runs       any mix of runs; those that cannot be compared are named

compare.metric=val_accuracy    what schedules are judged by, and their best LR chosen by: val_accuracy, val_loss,
                               best_val_accuracy, best_val_loss, train_accuracy, train_loss
compare.reference=NAME         the schedule that the others are held against; default: constant, or else the first
compare.target=0.95            count epochs until the validation metric reaches this; default: what the mean of every
                               schedule reaches
compare.folder=FOLDER          where report.html, results.csv and figures/ go; default: the sweep's own folder
compare.figures=svg            or png, pdf
"""
OUTPUTS = Path("outputs/compare")


@dataclass(frozen=True)
class Settings:
    """What `compare.NAME=...` on the command line says."""

    metric: str = JUDGE
    reference: str | None = None
    target: float | None = None
    folder: Path | None = None
    suffix: str = ".svg"


def main() -> None:
    """The command line of the comparison."""
    enter(_main)


def _main(typed: list[str]) -> None:
    if {"--help", "-h"} & set(typed) or not typed:
        print(HELP)
        return
    ours, others = split_off(typed, "compare")
    settings, paths = read_settings(ours), _paths(others)
    found = results.find(paths)
    compared = contests.compare(found, metric=settings.metric, reference=settings.reference, target=settings.target)
    compared.left_out += results.not_begun(paths, found)
    folder = settings.folder or (paths[0] if len(paths) == 1 else OUTPUTS / "-".join(path.name for path in paths))
    folders.require_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    print("\n".join(text.lines(compared)))
    results.write(folder, found)
    figures = report.write_figures(compared, folder / "figures", settings.suffix)
    page = report.page(
        compared,
        title=f"Comparison of {', '.join(path.resolve().name for path in paths)}",
        command=str(summary.read(paths[0], results.SWEEP).get("command") or "") if len(paths) == 1 else None,
        facts=report.facts(compared),
    )
    disk.write_whole(folder / "report.html", page)
    print(f"report     {folder / 'report.html'}")
    print(f"results    {folder / results.TABLE}")
    print(f"figures    {', '.join(str(path) for path in figures)}")


def read_settings(typed: Mapping[str, str]) -> Settings:
    """Raises UserError for a setting that does not exist or is not allowed."""
    names = ("metric", "reference", "target", "folder", "figures")
    for name in typed:
        if name not in names:
            guess = closest(name, names)
            raise wrong(
                f"compare.{name}",
                got="a setting that does not exist" + (f" (did you mean compare.{guess}?)" if guess else ""),
                allowed=", ".join(f"compare.{one}" for one in names),
                do=f"compare.{guess or names[0]}=VALUE",
            )
    checks.choice("compare.metric", typed.get("metric", JUDGE), contests.possible_metrics())
    suffix = "." + typed.get("figures", "svg").lstrip(".")
    checks.choice("compare.figures", suffix[1:], [one[1:] for one in SUFFIXES])
    metric = typed.get("metric", JUDGE)
    target = _number(typed["target"]) if "target" in typed else None
    if target is not None and find(metric).is_share and not 0 <= target <= 1:
        raise wrong(
            "compare.target", got=typed["target"], allowed="an accuracy, 0 to 1 or 0% to 100%", do="compare.target=95%"
        )
    folder = Path(typed["folder"]).expanduser() if typed.get("folder") else None
    return Settings(metric, typed.get("reference"), target, folder, suffix)


def _number(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise wrong("compare.target", got=text, allowed="a number, such as 0.95 or 95%", do="compare.target=0.95")
    return value


def _paths(typed: Sequence[str]) -> list[Path]:
    for one in typed:
        if one.startswith("-"):
            raise wrong("command line", got=one, allowed="folders, and compare.NAME=VALUE", do="see --help")
    if not typed:
        raise wrong(
            "compare", got="no folder", allowed="folders of runs", do="python -m lrlab.compare outputs/sweeps/NAME"
        )
    return [Path(one).expanduser() for one in typed]
