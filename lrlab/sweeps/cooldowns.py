"""The cooldowns of a run, its trunk: a sweep of runs that are the trunk for a while, and end with a decay of the LR.

Each is what would be trained if somebody had typed such a schedule, and what they have in common is trained once, as in
every sweep.
"""

import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig

from lrlab.config import checks, compose, names
from lrlab.config.arguments import key_of, value_of
from lrlab.errors import UserError, closest, wrong
from lrlab.schedules.stable import ALL_SHAPES
from lrlab.sweeps.request import SweepRequest
from lrlab.system import disk, spelling
from lrlab.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lrlab.config.prepare import Prepared
    from lrlab.sweeps.job import Job
    from lrlab.sweeps.plan import Planned

COMMAND = "cooldown"
SHAPES = tuple(shape for shape in ALL_SHAPES if shape not in ("power", "exponential"))  # which have a parameter more
_ALSO = {"1-sqrt": "one_minus_sqrt"}  # as papers write it
_OF_THE_SWEEP = ("sweep", "hydra.sweep.dir", "hydra.launcher")  # all else that is typed is about the runs
_UNSAFE = re.compile(r"[^\w=,.+-]", re.ASCII)
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Asked:
    """When the LR of one run is to decay and how, as it was typed."""

    at: str
    decay: str
    shape: str
    floor: str

    @property
    def overrides(self) -> list[str]:
        return [f"{name}={value}" for name, value in vars(self).items()]


def read_request(
    run: str, others: Sequence[str], *, at: str | None, decay: str, shape: str, floor: str, typed: Sequence[str]
) -> SweepRequest:
    """The sweep of the cooldowns of `run` that was `typed`. Raises UserError where it is none.

    `at`, `decay`, `shape` and `floor` are values with commas between them, `others` whatever else was typed.
    """
    # The runs.
    folder = _folder_of(run)
    if at is None:
        do = f"{spelling.command(COMMAND)} {spelling.typed([run, 'at=80%'])}"
        raise wrong("at", got="nothing", allowed="when the decay begins: 40%, 8ep, 500st, or several of them", do=do)
    shapes = [_ALSO.get(one, one) for one in _values("shape", shape)]
    for one in shapes:
        checks.choice("shape", one, SHAPES)
    floors = _values("floor", floor)
    for one in floors:
        _require_floor(one, shapes)
    parts = {"at": _values("at", at), "decay": _values("decay", decay), "shape": shapes, "floor": floors}
    for name, values in parts.items():
        _require_once(name, values)
    _require_once("floor", [str(float(one)) for one in floors])
    asked = [Asked(*one) for one in itertools.product(*parts.values())]

    # The sweep.
    own = [one for one in others if key_of(one).startswith(_OF_THE_SWEEP)]
    if not {"sweep", "hydra.sweep.dir"} & {*map(key_of, own)}:
        own.append(f"sweep='{_name_for(folder)}'")
    if "sweep" in map(key_of, own):
        names.require_sweep_name(value_of(own, "sweep") or "")
    config = compose.compose(own)
    HydraConfig.instance().set_config(config)
    runs = [one.overrides for one in asked]
    return SweepRequest(
        typed=list(typed),
        overrides=own,
        runs=runs,
        fixed=names.fixed_keys(runs),
        config=config,
        named=True,
        launcher="lrlab",
        folder=Path(config.hydra.sweep.dir),
        maker=Cooldowns(folder, asked, _of_the_run([one for one in others if one not in own])),
    )


def _values(name: str, written: str) -> list[str]:
    values = written.split(",")
    if not all(values):
        raise wrong(name, got=f"'{written}'", allowed="values with commas between them", do=f"{name}=VALUE,VALUE")
    return values


def _require_once(name: str, values: Sequence[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise wrong(
                name, got=f"{value} twice", allowed="each value once", do=f"{name}={','.join(dict.fromkeys(values))}"
            )


def _require_floor(written: str, shapes: Sequence[str]) -> None:
    """A floor is a fraction; for the shapes that never come to 0 it is above that."""
    try:
        floor = float(written)
    except ValueError:
        floor = -1
    lowest_is_open = [shape for shape in shapes if shape in ("geometric", "inverse_linear")]
    if not 0 <= floor <= 1:
        allowed = "0 to 1, a fraction of the LR where the decay begins"
        raise wrong("floor", got=written, allowed=allowed, do="floor=0.1")
    if floor == 0 and lowest_is_open:
        allowed = f"above 0 for shape {lowest_is_open[0]}, which never comes to 0"
        raise wrong("floor", got=written, allowed=allowed, do="floor=0.01")


def _of_the_run(others: Sequence[str]) -> list[str]:
    """What was typed about the runs themselves: single values."""
    for one in others:
        key = key_of(one)
        if key.startswith("hydra") or key in ("extend", "replay", "experiment"):
            do = "leave it out"
            raise wrong(key, got=one, allowed="hydra.launcher.*, and where the runs read and compute", do=do)
    for override in compose.parse(list(others)):
        if override.is_sweep_override():
            got, allowed = f"'{override.input_line}'", "several values of at, decay, shape and floor alone"
            raise wrong("command line", got=got, allowed=allowed, do="the cooldowns of each run by themselves")
    return list(others)


def _folder_of(run: str) -> Path:
    """The folder of the run that was typed. Raises UserError where there is none."""
    folder = spelling.shortest(disk.expanded(run, "run"))
    do = f"{spelling.command(COMMAND)} outputs/runs/NAME at=80%"
    if not folder.is_dir():
        what = "which is no folder" if folder.exists() else "which does not exist"
        raise wrong("run", got=f"{run}, {what}", allowed="a run's folder", do=do)
    if not (folder / "config.yaml").is_file():
        inside = sorted(folder.glob("*/config.yaml"))
        what = "a folder without a config.yaml"
        if inside:
            what = f"a folder of {counted(len(inside), 'run')}"
            do = f"{spelling.command(COMMAND)} {spelling.typed([str(inside[0].parent), 'at=80%'])}"
        raise wrong("run", got=f"{run}, {what}", allowed="the folder of one run", do=do)
    return folder


def _name_for(run: Path) -> str:
    """The name of the sweep of a run's cooldowns, where the user gave none: the same for the same run."""
    whole = run.absolute()
    parts = [whole.parent.name, whole.name] if (whole.parent / "sweep.json").is_file() else [whole.name]
    raw = "_".join([COMMAND, *parts])
    name = _UNSAFE.sub("-", raw)
    if name != raw or len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}-{hashlib.sha256(raw.encode()).hexdigest()[:8]}"
    return name


@dataclass
class Cooldowns:
    """The runs of such a sweep, which are known once their trunk was read."""

    folder: Path  # of the trunk
    asked: list[Asked]
    typed: list[str]  # where the runs read and compute
    command: str = COMMAND
    trunk: "Prepared | None" = None
    decays: list[Any] = field(default_factory=list)  # one for each that was asked for
    folders: list[Path] = field(default_factory=list)  # likewise
    said: list[str] = field(default_factory=list)  # before they begin

    def jobs(self, folder: Path, names: Sequence[str]) -> "list[Job]":
        """The runs, checked, for the sweep in `folder`. Raises UserError for the first mistake in them."""
        from omegaconf import OmegaConf

        from lrlab.config import cooled
        from lrlab.config.prepare import prepare
        from lrlab.sweeps.job import Job
        from lrlab.sweeps.trunk import trunk_in

        self.trunk = trunk = trunk_in(self.folder, self.typed)
        self.decays = decays = self._decays(trunk)
        self.folders = [folder / name for name in names]
        self._require_the_same_moments()
        jobs = []
        for decay, name in zip(decays, names, strict=True):
            config = OmegaConf.create(cooled.config_of(trunk, decay))
            choices = {**trunk.checked.choices, "scheduler": cooled.NAME}
            own = [f"scheduler.{key}={getattr(decay, key)}" for key in ("at", "steps", "shape", "floor")]
            with _named(name):
                jobs.append(Job(name, folder / name, prepare(config, choices, own).checked))
        self.said = _introduction(self.folder, trunk, self.asked, decays)
        return jobs

    def _require_the_same_moments(self) -> None:
        """Raise UserError where a cooldown that is there begins to decay at another update: the trunk was extended."""
        from lrlab.comparison import results

        for one, decay, folder in zip(self.asked, self.decays, self.folders, strict=True):
            scheduler = (results.config_of(folder) or {}).get("scheduler")
            before = scheduler.get("at") if isinstance(scheduler, dict) else None
            if isinstance(before, int) and before != decay.at:
                raise wrong(
                    "at",
                    got=f"{one.at}, which is update {decay.at:,} of the run now, and was {before:,} for {folder}",
                    allowed="a run of the length that it had",
                    do="another name, sweep=NAME",
                )

    def _decays(self, trunk: "Prepared") -> list[Any]:
        """When the LR of each run decays. Raises UserError where two of them are the same."""
        from lrlab.config import cooled

        begins = {at: cooled.begins_at(at, trunk) for at in dict.fromkeys(one.at for one in self.asked)}
        _require_different("at", begins)
        lengths: dict[tuple[str, str], int] = {}
        for at, update in begins.items():
            own = {}
            for decay in dict.fromkeys(one.decay for one in self.asked):
                own[decay] = cooled.decays_for(decay, update, trunk)
                lengths[at, decay] = own[decay]
            _require_different("decay", own)
        return [
            cooled.Decay(begins[one.at], lengths[one.at, one.decay], one.shape, float(one.floor)) for one in self.asked
        ]

    def lines(self) -> list[str]:
        """What is cooled down, when, and what of it is trained once more."""
        return self.said

    def facts(self) -> dict[str, Any]:
        """By which others know what kind of a sweep it is."""
        return {"trunk": str(self.folder)}

    def result(self, width: int | None) -> list[str]:
        """A table of what each cooldown came to, by when it decays, beside what its trunk came to."""
        from lrlab.drawing.terminal import aligned
        from lrlab.runs import summary

        if self.trunk is None:
            return []
        metrics = self.trunk.task.metrics
        rows = [["cooldown", "updates", *(f"val {metric.in_words}" for metric in metrics)]]
        named = [(str(self.folder), self.trunk.horizon.steps, self.folder)]
        for one, decay, folder in zip(self.asked, self.decays, self.folders, strict=True):
            floor = f" floor={one.floor}" if float(one.floor) else ""
            named.append((f"at={one.at} decay={one.decay} shape={one.shape}{floor}", decay.total, folder))
        for name, updates, folder in named:
            said = summary.read(folder)
            known = said if said.get("status") == "finished" else {}
            values = [(metric, known.get(f"val_{metric.name}")) for metric in metrics]
            written = [metric.written(value) if value is not None else "" for metric, value in values]
            rows.append([name, f"{updates:,}", *written])
        return aligned(rows, width)

    def leave(self, planned: "Planned", threads: int) -> None:
        """Let the runs begin with what their trunk has trained, and say what that is."""
        from lrlab.sweeps.trunk import leave

        if self.trunk is None or not planned.to_do:
            return
        found = leave(self.folder, self.trunk, planned, threads)
        if found.updates:
            line = f"with the {counted(found.updates, 'update')} of the trunk's checkpoint"
            line += "" if found.for_all else "; what begins to decay before them trains its beginning once more"
        else:
            line = f"anew, the beginning is trained once more; the trunk's own is not used: {found.why_not}"
        self.said.append(f"begins     {line}")


@contextmanager
def _named(run: str) -> "Iterator[None]":
    """Let an error in this block name the run."""
    try:
        yield
    except UserError as error:
        raise error.under(run) from error


def _require_different(name: str, updates: Mapping[str, int]) -> None:
    """Raise UserError where two durations are the same number of updates."""
    for (one, count), (other, same) in itertools.combinations(updates.items(), 2):
        if count == same:
            got = f"{one} and {other}, which are both {counted(count, 'update')}"
            raise wrong(name, got=got, allowed="each value once", do=f"leave {other} out")


def _introduction(folder: Path, trunk: "Prepared", asked: Sequence[Asked], decays: Sequence[Any]) -> list[str]:
    """What is cooled down, when, and for how long."""
    steps = trunk.horizon.steps
    scheduler = trunk.checked.choices.get("scheduler", "its scheduler")
    lines = [f"trunk      {folder}: {scheduler}, {trunk.horizon.in_words}, {counted(steps, 'update')}"]
    told = {(one.at, one.decay): decay for one, decay in zip(asked, decays, strict=True)}
    for (at, length), decay in told.items():
        lines.append(
            f"cooldown   at={at} decay={length}: {decay.at:,} updates of the trunk, then {decay.steps:,} of decay, "
            f"{decay.total:,} in all"
        )
    return lines


def refuse_unknown(others: Sequence[str], own: Sequence[str]) -> None:
    """Raise UserError for a mistyped one of the command's `own` settings among what `others` were typed."""
    for one in others:
        key = key_of(one)
        if "=" in one and "." not in key and (guess := closest(key, own)):
            got = f"{one} (did you mean {guess}?)"
            value = one.partition("=")[2]
            raise wrong("command line", got=got, allowed=", ".join(own), do=f"{guess}={value}")
