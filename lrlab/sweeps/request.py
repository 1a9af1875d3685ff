"""`python train.py -m ...`: how a sweep is read from what was typed, and how it is carried out."""

import json
import shlex
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from lrlab.config import compose, names
from lrlab.config.arguments import key_of, value_of
from lrlab.config.identity import GROUPS
from lrlab.config.secrets import mask_overrides
from lrlab.errors import Interrupted, UserError, wrong
from lrlab.runs import folders
from lrlab.sweeps import server
from lrlab.sweeps.settings import LauncherSettings, read_settings
from lrlab.system import lock, spelling, streams
from lrlab.words import counted

if TYPE_CHECKING:
    from lrlab.sweeps.job import Job  # need torch, and --help does not
    from lrlab.sweeps.plan import Planned


class RunMaker(Protocol):
    """What makes the runs of a sweep where their overrides alone do not say what they are."""

    command: str  # by which the sweep was asked for

    def jobs(self, folder: Path, names: Sequence[str]) -> "list[Job]":
        """The runs, checked, in the order of the request's. Raises UserError for the first mistake in them."""
        ...

    def lines(self) -> list[str]:
        """What is said of them before they begin."""
        ...

    def facts(self) -> dict[str, Any]:
        """What `sweep.json` says of them."""
        ...

    def leave(self, planned: "Planned", threads: int) -> None:
        """Put into the sweep's folder what its runs, on so many threads each, may begin with."""
        ...

    def result(self, width: int | None) -> list[str]:
        """What came of them, side by side."""
        ...


@dataclass(frozen=True)
class SweepRequest:
    """A sweep, as it was typed."""

    typed: list[str]
    overrides: list[str]  # what was typed, after what a recipe says
    runs: list[list[str]]  # the overrides of each run; empty where only the sweeper knows them
    fixed: list[str]  # keys that do not vary
    config: DictConfig  # what the runs have in common
    named: bool  # the user named the folder, so that the sweep can be continued
    launcher: str
    folder: Path
    maker: RunMaker | None = None
    said: list[str] = field(default_factory=list)  # of how its runs train, once that is known

    @property
    def is_ours(self) -> bool:
        """Whether lrlab itself carries it out, without Hydra."""
        return bool(self.runs) and self.launcher == "lrlab"

    @property
    def colour_by(self) -> str:
        """The part of the runs' names whose values TensorBoard tells apart by colour; empty where nothing varies."""
        overrides = self.runs[0] if self.runs else self.overrides
        keys = [key_of(override) for override in overrides]
        varying = [key for key in keys if key not in self.fixed and not key.startswith("hydra")]
        if "scheduler" in varying:
            return "scheduler"
        return varying[0].rpartition(".")[2] if varying else ""

    @property
    def in_words(self) -> str:
        """How many runs there are, and how many values each setting takes."""
        values: dict[str, set[str]] = {}
        for run in self.runs:
            for override in run:
                values.setdefault(key_of(override), set()).add(override)
        varying = [f"{key} ({len(several)})" for key, several in values.items() if len(several) > 1]
        runs = counted(len(self.runs), "run")
        return f"{runs}: {' x '.join(varying)}" if varying else runs

    @property
    def again(self) -> str:
        """The command that goes on with it."""
        return self._command(self.typed)

    @property
    def saved_command(self) -> str:
        """The same command without secrets, as it may stand in a file."""
        return self._command(mask_overrides(self.typed))

    def _command(self, overrides: Sequence[str]) -> str:
        typed = [override for override in overrides if key_of(override) != "sweep"]
        if value_of(typed, "hydra.sweep.dir") is None:
            typed.append(f"sweep={self.folder.name}")
        name = "sweep" if self.maker is None else self.maker.command
        return f"{spelling.command(name)} {spelling.typed(typed)}"


def read_request(typed: list[str]) -> SweepRequest:
    """The sweep that was asked for. Raises UserError where it cannot be composed."""
    # Its runs, where they are known in advance.
    overrides = typed
    runs: list[list[str]] = []
    if value_of(typed, "hydra/sweeper") in (None, "basic"):  # only this one can say in advance what it will run
        overrides = compose.with_recipe(overrides)
        runs = compose.expand(overrides)
    common = compose.without_sweeps(overrides)

    # Its name.
    if _times_named(common) < _times_named(typed):
        raise wrong("sweep", got="several names", allowed="one name for one sweep", do="sweep=lr_study")
    name = value_of(common, "sweep")
    if name is not None or "sweep=" in common:  # an empty name, of a variable of the shell say, is one too
        names.require_sweep_name(name or "")

    # What its runs have in common.
    fixed = names.fixed_keys(runs) if runs else [key_of(override) for override in common]
    first = [one for one in runs[0] if key_of(one) in GROUPS and one not in common] if runs else []
    config = compose.compose([*common, *first])  # a setting that is typed for all may be one of no default's
    HydraConfig.instance().set_config(config)
    return SweepRequest(
        typed=typed,
        overrides=overrides,
        runs=runs,
        fixed=fixed,
        config=config,
        named=any(value_of(overrides, key) is not None for key in ("sweep", "hydra.sweep.dir")),
        launcher=value_of(typed, "hydra/launcher") or "lrlab",
        folder=Path(config.hydra.sweep.dir),
    )


def _times_named(overrides: Sequence[str]) -> int:
    return len([one for one in overrides if key_of(one) == "sweep"])


def carry_out(request: SweepRequest) -> None:
    """Check all runs, then carry them out. Raises UserError at the end where some of them did not finish."""
    try:
        with checked(request) as (planned, reserved, settings):
            from lrlab.sweeps import launch, plan  # need torch, whose import elsewhere has begun now

            request = reserved
            # Say what is about to be done, and do it.
            lines = [f"sweep      {request.in_words}", *(request.maker.lines() if request.maker is not None else [])]
            lines += launch.start_lines(planned, settings, request.said)
            print(*lines, sep="\n", flush=True)
            threading.Thread(target=import_module, args=("scipy.stats",), daemon=True).start()  # for the result
            outcomes = launch.carry_out(planned, settings)
    except BaseException as stop:
        _say_how_to_go_on(request, stop)
        raise

    # Say what came of it. The folders may not know how a run ended, because of a full disk.
    show_result(request)
    ended = {name: outcome.status for name, outcome in outcomes.items()}
    if bad := plan.unfinished(planned, ended):
        raise wrong(
            str(request.folder),
            got=f"{len(bad)} of {counted(len(planned.jobs), 'run')} that did not finish ({plan.some(bad, most=6)})",
            allowed="runs that finish",
            do=f"mend the cause, and run just those: {request.again}",
        )


@contextmanager
def checked(request: SweepRequest) -> Iterator[tuple["Planned", SweepRequest, LauncherSettings]]:
    """In this block every run of the sweep is checked, its folder is there and is held against other sweeps.

    Gives what there is to do, the request with the folder, and the launcher's settings. A new folder is made only after
    the check, and its `sweep.json` says what the sweep is.
    """
    settings = read_settings(_plain(request.config.hydra.launcher))
    if not settings.in_this_process and settings.executor == "processes":
        server.started(settings.threads_per_run)  # imports torch while this process does, and checks the runs

    from lrlab.comparison import results
    from lrlab.sweeps import plan, shared, stacks
    from lrlab.system.disk import write_whole

    with ExitStack() as stack:
        if request.named and request.folder.is_dir():
            stack.enter_context(lock.held(request.folder, what="sweeping"))
            planned = check(request)
        else:
            planned, request = check(request), reserve(request)
            stack.enter_context(lock.held(request.folder, what="sweeping"))
            if request.named and any(request.folder.iterdir()):  # another sweep was a moment faster
                planned = check(request)
            planned = plan.moved(planned, request.folder)
        facts = {"command": request.saved_command, "runs": [job.name for job in planned.jobs]}
        if request.maker is not None:
            facts |= request.maker.facts()
            if settings.share:
                request.maker.leave(planned, settings.threads_per_run)
        write_whole(request.folder / results.SWEEP, json.dumps(facts, indent=2) + "\n")
        planned, said = stacks.stack(planned, settings)
        yield shared.share(planned) if settings.share else planned, replace(request, said=said), settings


def _say_how_to_go_on(request: SweepRequest, stop: BaseException) -> None:
    """Print the command that goes on with the sweep, where it is the user who stopped it."""
    if isinstance(stop, Interrupted):
        print("stopped; what was under way is saved. To go on:", f"  {request.again}", sep="\n")
    elif isinstance(stop, KeyboardInterrupt) and request.folder.is_dir():
        print("stopped at once. To go on from the last checkpoints:", f"  {request.again}", sep="\n")


def check(request: SweepRequest) -> Any:
    """Compose and check every run, and compare them with what the sweep's folder holds. Nothing is written."""
    from lrlab.sweeps import plan

    if request.maker is not None:
        told = [names.run_name(run, leave_out=request.fixed) for run in request.runs]
        jobs = request.maker.jobs(request.folder, told)
    else:
        jobs = _jobs(request)
    planned = plan.plan(jobs, request.folder)
    if not request.is_ours and [job.name for job in planned.jobs] != [job.name for job in jobs]:
        raise wrong(
            "hydra/launcher",
            got=f"{request.launcher}, for a sweep whose runs have the names of an earlier command",
            allowed="lrlab, which finds them by their settings",
            do="the command that began it, or hydra/launcher=lrlab",
        )
    return planned


def _jobs(request: SweepRequest) -> "list[Job]":
    """The runs that the overrides of a request say."""
    from lrlab.sweeps import plan

    own_names = value_of(request.overrides, "hydra.sweep.subdir") is None
    jobs, checks = [], plan.Checks()
    for number, run in enumerate(request.runs):
        name = names.run_name(run, leave_out=request.fixed) if own_names else folder_name(checks.config(run), number)
        with _named(name, run, among=len(request.runs)):
            jobs.append(checks.job(run, request.folder, name))
    return jobs


@contextmanager
def _named(run: str, overrides: Sequence[str], *, among: int) -> Iterator[None]:
    """Let an error in this block name the run, where it is about a setting that was not typed and there are several."""
    try:
        yield
    except UserError as error:
        if among > 1 and error.key is not None and error.key not in [key_of(one) for one in overrides]:
            raise error.under(run) from error
        raise


def reserve(request: SweepRequest) -> SweepRequest:
    """The request, with a folder that exists: the one that the user named, or a new one."""
    if request.named:
        request.folder.mkdir(parents=True, exist_ok=True)
        return request
    return replace(request, folder=folders.reserve(request.folder))


def show_result(request: SweepRequest) -> None:
    """Compare the runs that are finished, in the terminal and as results.csv, and say where to see more."""
    from lrlab.comparison import confirm, contests, results, text
    from lrlab.runs.display import tensorboard_hint
    from lrlab.sweeps import best

    shown = watched = spelling.shortest(request.folder)
    try:
        found = results.find([request.folder])
        results.write(request.folder, found)
        compared = contests.compare(found)
        compared.left_out += results.not_begun([request.folder], found)
        compared.confirm = confirm.command([request.folder], compared.contests)
        width = streams.width()
        lines = request.maker.result(width) if request.maker is not None else text.lines(compared, width)
        print("", *lines, sep="\n")
        print(f"more: {spelling.command('compare')} {shlex.quote(str(shown))}")
        if len(found) > best.MANY:
            print(f"every run: {shown / results.TABLE}")
            watched = best.link(shown, compared.contests) or shown
    except UserError as error:  # no run is finished
        print(error)
    print("LR and loss side by side:" if watched == shown else "LR and loss of the best side by side:")
    for line in tensorboard_hint(watched, colour_by=request.colour_by):
        print(f"  {line}")


def folder_name(config: DictConfig, number: int) -> str:
    """The name that Hydra's settings give to the folder of run `number`."""
    with open_dict(config.hydra.job):
        config.hydra.job.id = str(number)
        config.hydra.job.num = number
    HydraConfig.instance().set_config(config)
    return str(config.hydra.sweep.subdir)


def _plain(node: Any) -> dict[str, Any]:
    """The launcher's settings, without the class that they are for."""
    if not isinstance(node, DictConfig):
        raise wrong("hydra.launcher", got=node, allowed="settings such as n_jobs", do="leave it out")
    return {str(key): value for key, value in dict(OmegaConf.to_object(node)).items() if key != "_target_"}  # type: ignore[arg-type]
