"""What a sweep showed: `lrlab compare outputs/sweeps/NAME`.

Reads any mix of runs, and writes report.html, results.csv and figures. Nothing is trained.
"""

import hashlib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from lrlab.commands.command import Command
from lrlab.comparison import (
    across,
    across_text,
    design,
    machine,
    papers,
    report,
    results,
    study_page,
    study_text,
    text,
    verdict,
)
from lrlab.comparison.foreign import Columns
from lrlab.config import options
from lrlab.drawing.figures import SUFFIXES, save
from lrlab.drawing.panels import draw_panels
from lrlab.errors import wrong
from lrlab.runs import folders, summary
from lrlab.runs.machine import write
from lrlab.system import disk, spelling, streams
from lrlab.training.metrics import JUDGE, find, possible_metrics, usual

OUTPUTS = Path("outputs/compare")
_LONGEST = 120  # bytes of a folder's name
UNDECIDED = 3  # the exit code


def _share(text: str) -> Any:
    """A number, or a share in percent; a text that is neither stays one."""
    try:
        if text.endswith("%"):
            return float(text.removesuffix("%")) / 100
        return float(text)
    except ValueError:
        return text


def _require_number(key: str, value: Any) -> None:
    if not isinstance(value, float) or not math.isfinite(value):
        raise wrong(key, got=value, allowed="a number, such as 0.95 or 95%", do=f"{key}=0.95")


@dataclass(frozen=True)
class CompareSettings:
    """What `compare.NAME=...` on the command line says."""

    metric: str | None = options.option(
        None,
        options.OptionKind(str, lambda key, value: None, possible_metrics),  # noqa: ARG005
        f"what schedules are judged by, and their best LR chosen by: {', '.join(possible_metrics(usual()))}; the like "
        "of another task's metrics, and its last by default; of a table of other programs, a column",
        shown=JUDGE,
    )
    reference: str | None = options.option(
        None,
        options.text(),
        "the schedule that the others are held against; default: constant, or else the first by name",
        shown="NAME",
    )
    target: float | None = options.option(
        None,
        options.OptionKind(_share, _require_number),
        "count epochs until the validation metric reaches this; default: what the mean of every schedule reaches",
        shown="0.95",
    )
    folder: Path | None = options.option(
        None,
        options.folder(),
        "where report.html, results.csv and figures/ go; default: the sweep's own folder",
        shown="FOLDER",
    )
    figures: str = options.option("svg", options.choice(lambda: [one[1:] for one in SUFFIXES]), "or png, pdf")
    json: str | None = options.option(None, options.file(".json"), "the same for machines", shown="FILE.json")
    schedule: str | None = options.option(
        None, options.text(), "the column that says the schedule, in a CSV file or TensorBoard's files", shown="COLUMN"
    )
    lr: str | None = options.option(None, options.text(), "the column of the LR", shown="COLUMN")
    seed: str | None = options.option(None, options.text(), "the column of the seed", shown="COLUMN")
    step: str | None = options.option(
        None, options.text(), "the column of the step, where a run has several rows", shown="COLUMN"
    )
    better: str | None = options.option(
        None,
        options.choice(lambda: ("higher", "lower")),
        "which way compare.metric is better, where its name does not tell",
        shown="lower",
    )
    stopped_early: bool = options.option(
        False, options.flag(), "true: runs that were stopped early are compared too, though they had less training"
    )
    together: bool = options.option(
        False, options.flag(), "true: all budgets in one comparison: epochs, updates and times"
    )
    exit_code: bool = options.option(False, options.flag(), f"leave with {UNDECIDED} where a pair is undecided")


def _run(settings: CompareSettings, typed: list[str]) -> None:
    _refuse_bare_settings(typed)
    paths = _paths(typed)
    if len(paths) == 1 and design.is_study(paths[0]):
        undecided = _show_study(settings, paths[0])
    elif all(design.is_study(path) for path in paths):
        undecided = _show_studies(settings, paths)
    else:
        undecided = _show_runs(settings, paths)
    if undecided and settings.exit_code:
        sys.exit(UNDECIDED)


def _refuse_bare_settings(typed: Sequence[str]) -> None:
    """Raise UserError for a setting that was typed without the name of the command, as a folder's name would be."""
    names = options.names(CompareSettings)
    for one in typed:
        name, is_assigned, value = one.partition("=")
        if is_assigned and name in names and not Path(one).exists():
            got = f"a setting that does not exist (did you mean compare.{name}?)"
            allowed = ", ".join(f"compare.{known}" for known in names)
            raise wrong(name, got=got, allowed=allowed, do=f"compare.{name}={value}")


def _refuse_what_is_declared(settings: CompareSettings) -> None:
    """Raise UserError for a setting that would change what a study declared."""
    for name in ("metric", "reference", "target", "stopped_early", "together"):
        value = getattr(settings, name)
        if value != getattr(CompareSettings(), name):
            got = f"{value}, for a study, which declared what it is judged by"
            raise wrong(f"compare.{name}", got=got, allowed="nothing", do="leave it out")


def _show_runs(settings: CompareSettings, paths: Sequence[Path]) -> bool:
    """Show what runs say, in the terminal, as a table, as figures and as a page; whether a pair is undecided."""
    from lrlab.api.gathering import comparison_of, gathered

    # The runs, and what they show.
    columns = Columns(settings.schedule, settings.lr, settings.seed, None, settings.step, settings.better)
    found = gathered(paths, settings.metric, columns)
    compared = comparison_of(
        found,
        reference=settings.reference,
        target=settings.target,
        paths=paths,
        stopped_early=settings.stopped_early,
        together=settings.together,
    )

    # Where it goes.
    folder = _ready(settings.folder or _folder_for(paths))
    print("\n".join(text.lines(compared, streams.width())))
    results.write(folder, found.runs)
    figures = report.write_figures(compared, folder / "figures", f".{settings.figures}")
    page = report.page(
        compared,
        title=f"Comparison of {', '.join(path.resolve().name for path in paths)}",
        command=_command_of(paths),
        facts=report.facts(compared),
        files=[folder / results.TABLE, *figures],
        folder=folder,
    )
    disk.write_whole(folder / "report.html", page)
    print(f"report     {folder / 'report.html'}")
    print(f"results    {folder / results.TABLE}")
    if figures:
        print(f"figures    {', '.join(str(path) for path in figures)}")
    if settings.json is not None:
        write(settings.json, "comparison", machine.comparison(compared))
    pairs = chain.from_iterable(contest.pairs for contest in compared.contests)
    return any(pair.verdict == "undecided" for pair in pairs)


def _show_study(settings: CompareSettings, path: Path) -> bool:
    """Show what a study found; whether a pair is undecided."""
    _refuse_what_is_declared(settings)
    study = verdict.read(path)
    folder = _ready(settings.folder or path)
    print("\n".join(study_text.lines(study, streams.width())))
    files = {"methods.txt": papers.methods(study) + "\n", "table.tex": papers.latex(study)}
    for name, contents in files.items():
        disk.write_whole(folder / name, contents)
    drawn = study_page.panels(study)
    if drawn:
        (folder / "figures").mkdir(exist_ok=True)
        figure = folder / "figures" / f"study.{settings.figures}"
        save(draw_panels(drawn), figure)
        files[f"figures/{figure.name}"] = ""
    listed = [folder / name for name in files]
    disk.write_whole(folder / "report.html", study_page.page(study, folder=folder, files=listed))
    print(f"report     {folder / 'report.html'}")
    print(f"for papers {', '.join(str(file) for file in listed)}")
    if settings.json is not None:
        write(settings.json, "study", machine.study(study))
    return not study.is_finished or any(one.pair.verdict == "undecided" for one in study.findings)


def _show_studies(settings: CompareSettings, paths: Sequence[Path]) -> bool:
    """Show what several studies found, a data set each; whether a pair is undecided on one of them."""
    _refuse_what_is_declared(settings)
    found = across.across([verdict.read(path) for path in dict.fromkeys(path.resolve() for path in paths)])
    folder = _ready(settings.folder or _folder_for(paths))
    print("\n".join(across_text.lines(found, streams.width())))
    (folder / "figures").mkdir(exist_ok=True)
    figure = folder / "figures" / f"profiles.{settings.figures}"
    save(draw_panels([across_text.profile_panel(found)]), figure)
    print(f"figures    {figure}")
    if settings.json is not None:
        write(settings.json, "studies", machine.studies(found))
    return any(wins.undecided for wins in found.wins)


def _ready(folder: Path) -> Path:
    """The folder, made, in which results can be written."""
    folders.require_writable(folder)
    folders.require_no_link(folder / "figures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _folder_for(paths: Sequence[Path]) -> Path:
    """Where the results of these runs go unless the user says otherwise."""
    if len(paths) == 1 and paths[0].is_file():
        return OUTPUTS / paths[0].stem
    if len(paths) == 1:
        return paths[0]
    name = "-".join(path.name for path in paths)
    if len(name.encode()) > _LONGEST:
        told = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{paths[0].name[:60]}-and-{len(paths) - 1}-more-{told}"
    return OUTPUTS / name


def _command_of(paths: Sequence[Path]) -> str | None:
    """The command that made a sweep, empty where it is not known; None where there are several folders."""
    if len(paths) > 1:
        return None
    return str(summary.read(paths[0], results.SWEEP).get("command") or "")


def _check(settings: CompareSettings) -> None:
    target = settings.target
    metric = settings.metric or JUDGE
    if target is not None and metric in possible_metrics() and find(metric).is_share and not 0 <= target <= 1:
        raise wrong(
            "compare.target",
            got=f"{target:g}",
            allowed=f"a value of {metric}: 0 to 1, or 0% to 100%",
            do="compare.target=95%",
        )


def _paths(typed: Sequence[str]) -> list[Path]:
    for one in typed:
        if one.startswith("-"):
            raise wrong("command line", got=one, allowed="folders, and compare.NAME=VALUE", do="see --help")
    if not typed:
        raise wrong(
            "compare",
            got="no folder",
            allowed="folders of runs",
            do=f"{spelling.command('compare')} outputs/sweeps/NAME",
        )
    return [disk.expanded(one, "compare") for one in typed]


COMMAND = Command(
    name="compare",
    title="lrlab compare: what a sweep showed, in the terminal, as a page and as a table.",
    examples=[
        ("a sweep", "outputs/sweeps/NAME"),
        ("any runs", "outputs/sweeps/A outputs/runs"),
        ("a table", "runs.csv compare.metric=eval_loss"),
        ("a study", "outputs/studies/NAME"),
        ("several of them", "outputs/studies/A outputs/studies/B"),
    ],
    note=lambda: "Runs that cannot be compared are named, with the reason.",
    settings=CompareSettings,
    run=_run,
    check=_check,
    needs_more=True,
)
main, start, read_settings = COMMAND.main, COMMAND.start, COMMAND.read_settings
