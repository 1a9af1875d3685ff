"""`lrlab.predict`: what schedules that were not trained would have led to, from the loss curve of one run."""

from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from lrlab.api.predictions import FOUND, REFINED, Predictions
from lrlab.api.running import Run, Runs
from lrlab.api.schedule import schedule, schedule_names
from lrlab.api.schedule_value import Schedule
from lrlab.api.wording import of_arguments
from lrlab.comparison import curve_tables, foreign, loss_curves, results
from lrlab.config import names
from lrlab.errors import UserError, wrong
from lrlab.forecast import shapes
from lrlab.forecast.fit import TooLittle
from lrlab.forecast.predictions import TrainedCurves, Untrained, forecast
from lrlab.schedules.law import wrong_argument
from lrlab.system import disk
from lrlab.words import kind_of


def predict(
    what: Any,
    *schedules: str | Schedule,
    lr: float | Sequence[float] | None = None,
    step: str | None = None,
    learning_rate: str | None = None,
    train: str | None = None,
    val: str | None = None,
    run: str | None = None,
    grad_norm: str | None = None,
    search: bool = False,
) -> Predictions:
    """The final losses that `schedules` would lead to, predicted from the loss curve of one run or of several.

    `what` is a run of `lrlab.train`, several, their folders, or a table of any loop: a CSV file, a pandas DataFrame, a
    dict of columns or a list of rows, with a row a step and columns for the step (counted in updates), the LR and the
    training or validation loss. `step`, `learning_rate`, `train`, `val` and `run` name these columns where they are
    called otherwise. `schedules` are names (`lrlab.schedule_names()`, all of them by default) or schedules of one's
    own; `lr` is another base LR, or several.

    A law is fitted to the curve: L0 + A S^-alpha + B Q, with S the sum of the LRs so far and Q the noise term of the
    last-iterate bound (`lrlab.forecast.laws`). Each prediction has two 90 % intervals, for the mean over seeds and for
    one new run. It says what is a guess: an LR beyond those that were trained, say. Where the law is far off on a part
    of the curve that it was not fitted to, nothing is predicted.

    With `search`, straight lines through a few knots are tried by the law too, and the best are among the predictions:
    `found.shape` is `scheduler=piecewise_linear` with its settings. Where a table has gradient norms (`grad_norm`), so
    is `found.refined`, the schedule that makes the convex bound least for them, where the law does not find it worse.

    Raises ValueError where neither loss can be predicted, with the reason.
    """
    columns = {"step": step, "learning_rate": learning_rate, "train": train, "val": val, "run": run}
    columns["grad_norm"] = grad_norm
    _require_schedules(schedules)
    with of_arguments():
        lrs = _base_lrs(lr, schedules)
        folders = _folders(what)
        if folders is None:
            return _of_table(what, columns, schedules, lrs, search=search)
        given = [name for name, value in columns.items() if value is not None]
        if given:
            raise wrong_argument(given[0], got=repr(columns[given[0]]), allowed="of a table only", do="leave it out")
        overrides = _as_typed(schedules, lrs)
        own = [one for one in schedules if isinstance(one, Schedule)]
        return of_folders(
            folders, overrides if overrides or not own else None, own, tolerant=not schedules, search=search
        )


def _require_schedules(schedules: Sequence[Any]) -> None:
    for one in schedules:
        if not isinstance(one, str | Schedule):
            allowed, do = "the name of a schedule, or one of lrlab.schedule(...)", 'lrlab.predict(run, "wsd")'
            raise wrong_argument("schedules", got=kind_of(one), allowed=allowed, do=do)


def of_folders(
    folders: Sequence[Path],
    runs: Sequence[Sequence[str]] | None,
    own: Sequence[Schedule] = (),
    *,
    tolerant: bool = False,
    search: bool = False,
) -> Predictions:
    """The predictions of `runs`, each the overrides of one run on top of the first that was trained, and of `own`.

    With `search` the best shape is among them. A `tolerant` one lets a run that cannot be planned stand among the
    others with the reason.
    """
    found = results.find(folders, "predict")
    _require_of_lrlab(found)
    _require_alike(found)
    trained = [loss_curves.of_run(result) for result in found]
    require_some(Predictions(forecast(trained, [])))  # before every candidate is planned
    candidates = [_planned(found[0], one, runs or (), tolerant=tolerant) for one in runs or ()]
    candidates += [Untrained(_name(one), one.lr, np.array(one.values())) for one in own]
    return _predictions(trained, candidates, search=search)


def _predictions(trained: Sequence[TrainedCurves], candidates: list[Untrained], *, search: bool) -> Predictions:
    """The predictions, with the best shape among them where it is searched for."""
    found = require_some(Predictions(forecast(trained, candidates)))
    if not search:
        return found
    first, judged_by = trained[0], found.judged_by
    shape = shapes.best(found.fits[judged_by], first.lrs, first.lr)
    fitted = found.fits[judged_by]
    named = {FOUND: shape}
    refused = ""
    if first.gradient_norms is not None:
        try:
            named[REFINED] = shapes.refined(fitted, first.gradient_norms, first.lrs, first.lr, shape.loss)
        except TooLittle as reason:
            refused = f"no refinement by gradient norms is offered: {reason}"
    drawn = [Untrained(name, first.lr, one.lrs(first.lr, len(first.lrs)), first.beside) for name, one in named.items()]
    return Predictions(forecast(trained, [*candidates, *drawn]), named, refused)


def require_some(predictions: Predictions) -> Predictions:
    """Raise UserError where neither loss is predicted."""
    if len(predictions.refused) == 2:
        reasons = "; ".join(line for line in predictions.notes if "not predicted" in line)
        raise wrong(
            "predict",
            got=f"curves of which a law says nothing: {reasons}",
            allowed="a loss that falls, measured at 8 points or more, and that the law describes",
            do="train longer, or at another LR; or give a second run beside this one, with a constant LR",
        )
    return predictions


def _require_of_lrlab(found: Sequence[results.Result]) -> None:
    """Raise UserError for runs of other loops, which no config describes."""
    for one in found:
        if one.logged_by is not None:
            got = f"{one.folder}, which a loop of yours wrote ({one.logged_by})"
            do = f'lrlab.predict("{one.folder / "history.csv"}", "linear", "wsd") in Python'
            raise wrong("predict", got=got, allowed="folders of lrlab's own runs, or a table", do=do)


def _require_alike(found: Sequence[results.Result]) -> None:
    """Raise UserError for runs that differ in more than schedule, base LR and seed."""

    def kind(result: results.Result) -> dict[str, Any]:
        free = ("seed", "optimizer.lr")
        return {
            key: value for key, value in result.settings.items() if key not in free and not key.startswith("scheduler")
        }

    first = kind(found[0])
    for other in found[1:]:
        here = kind(other)
        differing = sorted(key for key in first.keys() | here.keys() if first.get(key) != here.get(key))
        if differing:
            key = differing[0]
            got = f"{first.get(key)} and {here.get(key)}"
            allowed = "runs that differ in schedule, base LR and seed only"
            raise wrong(key, got=got, allowed=allowed, do="give those that are alike")


def _planned(
    trained: results.Result, overrides: Sequence[str], all_of_them: Sequence[Sequence[str]], *, tolerant: bool
) -> Untrained:
    """A run as a candidate, under the name that a sweep would give it."""
    loss_curves.refuse_what_no_law_knows(overrides, trained)
    fixed = names.fixed_keys(all_of_them)
    left_out = ["optimizer.lr", *(key for key in fixed if key != "scheduler")]
    name = names.run_name(overrides, left_out).removeprefix("scheduler=")
    try:
        plan, lr = loss_curves.planned(trained, overrides)
    except UserError as error:
        if not tolerant:
            raise
        lr = float(trained.settings.get("optimizer.lr") or 0)
        return Untrained(name, lr, None, refused=error.complaint)
    return loss_curves.candidate(name, plan, lr)


def _base_lrs(lr: Any, schedules: Sequence[str | Schedule]) -> list[float]:
    """The base LRs that were asked for. Raises ValueError for what is none, and beside schedules with their own."""
    if lr is None:
        return []
    several = [lr] if isinstance(lr, Real | str) else list(lr)
    if not all(isinstance(one, Real) and float(one) > 0 for one in several):
        raise wrong_argument("lr", got=repr(lr), allowed="a number above 0, or several", do="lr=0.05")
    if any(isinstance(one, Schedule) for one in schedules):
        got = f"{lr}, beside a schedule that has an LR of its own"
        raise wrong_argument("lr", got=got, allowed="for schedules by name", do="leave it out")
    return [float(one) for one in several]


def _folders(what: Any) -> list[Path] | None:
    """The folders of runs that were given; None for a table."""
    several = what if isinstance(what, list | tuple) and what else [what]
    folders: list[Path] = []
    for one in several:
        if isinstance(one, Run):
            folders.append(one.folder)
        elif isinstance(one, Runs):
            folders += [run.folder for run in one]
        elif isinstance(one, str | Path) and Path(one).suffix.lower() not in foreign.SUFFIXES:
            folders.append(disk.expanded(str(one), "predict"))
        else:
            return None
    return folders


def _as_typed(schedules: Sequence[str | Schedule], lrs: Sequence[float]) -> list[list[str]]:
    """The runs that are meant, as overrides."""
    chosen = [one for one in schedules if isinstance(one, str)] if schedules else schedule_names()
    runs = []
    for one in chosen:
        key, _, _ = one.partition("=")
        override = one if key != one else f"scheduler={one}"
        runs += [[override, f"optimizer.lr={value!r}"] for value in lrs] if lrs else [[override]]
    return runs


def _name(given: Schedule) -> str:
    return str(given.name)


def _of_table(
    table: Any,
    columns: dict[str, str | None],
    schedules: Sequence[str | Schedule],
    lrs: Sequence[float],
    *,
    search: bool,
) -> Predictions:
    rows = _rows(table)
    trained = curve_tables.of_table(rows, columns)
    candidates = []
    for one in schedules or schedule_names():
        if isinstance(one, Schedule):
            candidates.append(Untrained(_name(one), one.lr, np.array(one.values())))
        else:
            is_one = bool(schedules)
            candidates += [_by_name(one, value, trained[0], is_one=is_one) for value in lrs or [trained[0].lr]]
    return _predictions(trained, candidates, search=search)


def _rows(table: Any) -> list[dict[str, Any]]:
    """The rows of a table, or of a CSV file. Raises ValueError for what is neither."""
    if isinstance(table, str | Path):
        if not Path(table).is_file():
            raise wrong_argument("what", got=f"{table}, which is no file", allowed="a CSV file", do="correct its path")
        return foreign.read_rows(Path(table))
    try:
        return foreign.rows_of(table)
    except UserError as error:
        allowed = "runs of lrlab, folders, one CSV file, a data frame, or rows that are mappings"
        raise wrong_argument("what", got=str(error.got), allowed=allowed, do='lrlab.predict(run, "wsd")') from error


def _by_name(name: str, lr: float, trained: TrainedCurves, *, is_one: bool) -> Untrained:
    """A schedule of the catalogue over the trained length. Where all were meant, one may be impossible."""
    try:
        made = schedule(name.removeprefix("scheduler="), lr=lr, total_steps=len(trained.lrs))
        return Untrained(name, lr, np.array(made.values()))
    except UserError as error:
        if is_one:
            raise
        return Untrained(name, lr, None, refused=error.complaint)
