"""A study as it was typed: its candidates, the base LRs that tuning begins with, and the protocol that follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from lrlab.comparison import design, led, results, sequential
from lrlab.comparison.design import Following, Protocol
from lrlab.config import compose, names
from lrlab.config.arguments import as_override, key_of, of_the_run, value_of
from lrlab.config.identity import MACHINE, NO_SETTING, TUNED
from lrlab.config.prepare import Prepared, prepare_typed
from lrlab.config.secrets import mask_overrides
from lrlab.errors import closest, wrong
from lrlab.forecast.bound import base_lr_ratio
from lrlab.sweeps import plan
from lrlab.sweeps.job import Job
from lrlab.sweeps.settings import LauncherSettings, read_settings
from lrlab.sweeps.tuner import grid_around
from lrlab.system import spelling
from lrlab.training.metrics import METRICS
from lrlab.words import counted

FOLDER = Path("outputs", "studies")

_LARGEST_MARGIN = 0.1  # of a share: a tenth of all images is no difference that does not matter
_FEWEST_SAMPLES = 10


@dataclass(frozen=True)
class Declared:
    """What `study.NAME=...` says of the protocol."""

    metric: str | None = None
    margin: float | None = None
    tuning: int = 12  # runs a candidate
    seeds: int = 20  # a candidate, at most
    looks: int = 4
    test: str = "auto"
    predict: bool = False  # the LRs to try of one candidate from those of another
    change: bool = False  # the protocol of a study that has been looked at


@dataclass
class StudyRequest:
    """A study, as it was typed."""

    name: str
    typed: list[str]  # after the name
    settings: Declared
    candidates: dict[str, list[str]]  # the overrides of each, without base LR and seed
    grids: dict[str, list[float]]
    launcher: LauncherSettings
    jobs: dict[tuple[str, float, int, str], Job] = field(default_factory=dict)  # that were checked
    checks: plan.Checks = field(default_factory=plan.Checks)

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def again(self) -> str:
        return f"{spelling.command('study')} {spelling.typed([self.name, *mask_overrides(self.typed)])}"

    @property
    def where(self) -> list[str]:
        """The overrides that only say where it is computed."""
        return [one for one in self.typed if key_of(one) in MACHINE]

    def job(self, candidate: str, lr: float, seed: int, sweep: str) -> Job:
        """The run of a candidate, checked once."""
        key = (candidate, lr, seed, sweep)
        if key not in self.jobs:
            run = [*self.candidates[candidate], as_override("optimizer.lr", lr), as_override("seed", seed)]
            name = names.run_name(run, leave_out=[*self.fixed, *MACHINE])
            self.jobs[key] = self.checks.job(run, self.folder / sweep, name)
        return self.jobs[key]

    @property
    def fixed(self) -> list[str]:
        """The keys that are the same for all candidates."""
        keys = [{key_of(one): one for one in overrides} for overrides in self.candidates.values()]
        return [key for key in keys[0] if len({one.get(key) for one in keys}) == 1]


def read_request(name: str, typed: list[str], overrides: list[str], settings: Declared) -> StudyRequest:
    """The study that was asked for: `overrides` are what was typed but for its own settings. Raises UserError."""
    names.require_sweep_name(name, key="study")
    for key in ("seed", "sweep", "hydra/launcher", "hydra.sweep.dir"):
        if any(key_of(one) == key for one in overrides) and value_of(overrides, key) != "lrlab":
            got = f"{value_of(overrides, key)}, for a study"
            allowed = "nothing: a study chooses seeds and folders itself, and carries its runs out by lrlab's launcher"
            raise wrong(key, got=got, allowed=allowed, do="leave it out")
    _refuse_averages(overrides)
    overrides = [one for one in compose.with_recipe(overrides) if key_of(one) != "seed"]  # a recipe may have seeds
    runs = compose.expand(overrides)
    config = compose.compose(compose.without_sweeps(overrides))
    candidates, grids = _candidates(runs)
    launcher = dict(OmegaConf.to_object(config.hydra.launcher))  # type: ignore[arg-type]
    launcher.pop("_target_", None)
    return StudyRequest(
        name=name,
        typed=typed,
        settings=settings,
        candidates=candidates,
        grids=grids,
        launcher=read_settings({str(key): value for key, value in launcher.items()}),
    )


def _refuse_averages(overrides: Sequence[str]) -> None:
    """Raise UserError where weights would be averaged, for a study judges them as they are."""
    for one in overrides:
        key, _, value = one.lstrip("+").partition("=")
        if key.startswith("trainer.average") and value != "null":
            raise wrong(
                key,
                got=f"{value}, for a study, which judges the weights of the end as they are",
                allowed="null; a sweep judges averages, by compare.metric=average_val_accuracy",
                do=f"leave {key} out",
            )


def _candidates(runs: Sequence[Sequence[str]]) -> tuple[dict[str, list[str]], dict[str, list[float]]]:
    """The candidates by name, each with its overrides and the base LRs that were typed for it."""
    fixed = names.fixed_keys(runs)
    found: dict[str, list[str]] = {}
    typed: dict[str, list[str]] = {}
    for run in runs:
        own = [one for one in run if key_of(one) not in TUNED]
        varying = [one for one in own if key_of(one) not in fixed]
        name = ", ".join(_short(one) for one in varying) or "the only one"
        found.setdefault(name, own)
        typed.setdefault(name, [])
        typed[name] += [one.partition("=")[2] for one in run if key_of(one) == "optimizer.lr"]
    if len(found) < 2:
        raise wrong(
            "study",
            got=f"one candidate ({', '.join(found)})",
            allowed="at least two, separated by commas",
            do=f"{spelling.command('study')} NAME scheduler=constant,cosine",
        )
    return found, {name: _grid(found[name], texts) for name, texts in typed.items()}


def _short(override: str) -> str:
    """How an override names a candidate.

    >>> _short("scheduler=cosine"), _short("scheduler.gamma=0.5")
    ('cosine', 'gamma=0.5')
    """
    key, _, value = override.lstrip("+").partition("=")
    return value if key == "scheduler" else f"{key.rpartition('.')[2]}={value}"


def _grid(overrides: Sequence[str], typed: Sequence[str]) -> list[float]:
    """The LRs that tuning begins with: those that were typed, or some around the one that the optimizer has."""
    lrs = [_lr_of([*overrides, f"optimizer.lr={text}"]) for text in typed] or [_lr_of(overrides)]
    return sorted(set(lrs)) if len(lrs) > 1 else list(grid_around(lrs[0]))


def _lr_of(overrides: Sequence[str]) -> float:
    """The base LR of a run. Raises UserError where it has none that can be tuned."""
    lr = compose.resolve(compose.compose(overrides))["optimizer"].get("lr")
    if not results.is_number(lr) or lr <= 0:
        allowed = "a number above 0 for every candidate"
        raise wrong("optimizer.lr", got=lr, allowed=allowed, do="optimizer.lr=0.01,0.1")
    return float(lr)


def protocol_of(request: StudyRequest) -> Protocol:
    """What is decided before anything is trained, checked. Raises UserError where it could claim nothing."""
    settings, candidates = request.settings, request.candidates
    prepared = [_prepared(request, name) for name in candidates]
    for one in prepared:
        _require_one_length(one)
    _require_alike(dict(zip(candidates, prepared, strict=True)))
    design.require_possible(settings.seeds, settings.looks, settings.test, len(candidates))
    metric = _metric(settings.metric, prepared[0])
    largest = max(len(grid) for grid in request.grids.values())
    if settings.tuning < largest:
        allowed = f"at least {largest}, a run for each base LR"
        raise wrong("study.tuning", got=settings.tuning, allowed=allowed, do=f"study.tuning={largest + 5}")
    if settings.margin is not None and METRICS[metric].is_share and settings.margin >= _LARGEST_MARGIN:
        got = f"{settings.margin:g}, which is {100 * settings.margin:g} points"
        raise wrong("study.margin", got=got, allowed=f"below {_LARGEST_MARGIN:.0%} of {metric}", do="study.margin=0.5%")
    if prepared[0].splits.target_shape == ():  # texts have many targets a sample
        _require_samples(prepared[0].splits.sizes)
    data = prepared[0].config["data"]
    return Protocol(
        candidates={name: mask_overrides(_telling(overrides)) for name, overrides in candidates.items()},
        metric=metric,
        margin=settings.margin,
        epochs=prepared[0].horizon.passes,
        split={
            **prepared[0].splits.sizes,
            "data": prepared[0].checked.choices.get("data"),
            "held_out": data.get("val"),
            "split_seed": data.get("split_seed"),
        },
        tuning=settings.tuning,
        grids=request.grids,
        maximum=settings.seeds,
        looks=list(sequential.looks(settings.seeds, settings.looks)),
        test=settings.test,
        led=_led(request) if settings.predict else None,
    )


def _require_samples(sizes: Mapping[str, int]) -> None:
    """Raise UserError for splits of so few samples that one of them outweighs what schedules differ in."""
    for key, what in (("val", "choose the base LRs"), ("test", "judge")):
        do = "data.val=20%, or a larger data set" if key == "val" else "a larger test set"
        if key in sizes and sizes[key] < _FEWEST_SAMPLES:
            got = f"{counted(sizes[key], 'sample')} that {what}"
            allowed = f"{_FEWEST_SAMPLES} or more, of which none is worth more than {100 / _FEWEST_SAMPLES:g} points"
            raise wrong("study", got=got, allowed=allowed, do=do)


def _led(request: StudyRequest) -> Following:
    """Which candidate is tuned in full, and how the best LRs of the others follow from its.

    Raises UserError where they differ in more than their schedules, and where fewer than two have a planned LR.
    """
    for overrides in request.candidates.values():
        own = [key_of(one) for one in overrides if not key_of(one).startswith("scheduler")]
        varying = [key for key in own if key not in request.fixed]
        if varying:
            raise wrong(
                "study.predict",
                got=f"true, for candidates that differ in {varying[0]}",
                allowed="candidates that differ in their schedules only: the bound knows nothing else",
                do="study.predict=false",
            )
    shapes = {}
    for name, grid in request.grids.items():
        plan = request.job(name, grid[0], 0, design.TUNING).checked.plan
        if plan.lrs is not None:
            shapes[name] = np.trim_zeros(np.array(plan.per_update()) / grid[0], "b")
    if len(shapes) < 2:
        allowed = "at least two candidates whose LRs are known before training"
        raise wrong("study.predict", got="true", allowed=allowed, do="study.predict=false")
    leader = "cosine" if "cosine" in shapes else next(iter(shapes))
    others = {name: shape for name, shape in shapes.items() if name != leader}
    return Following(
        leader,
        min(led.RUNS, request.settings.tuning),
        {name: round(base_lr_ratio(shape, shapes[leader]), 4) for name, shape in others.items()},
    )


def _require_one_length(prepared: Prepared) -> None:
    """Raise UserError where a candidate's runs would not all be of one length."""
    for name, value in (("budget", prepared.trainer.budget), ("stop_early", prepared.trainer.stop_early)):
        if value is not None:
            allowed = "null, in a study: all its runs have the same updates"
            raise wrong(f"trainer.{name}", got=value, allowed=allowed, do=f"trainer.{name}=null")


def _telling(overrides: Sequence[str]) -> list[str]:
    """The overrides that make a candidate that candidate, without those that say where and how it is computed."""
    return [one for one in of_the_run(overrides) if key_of(one) not in NO_SETTING]


def _prepared(request: StudyRequest, candidate: str) -> Prepared:
    overrides = [*request.candidates[candidate], as_override("optimizer.lr", request.grids[candidate][0])]
    return prepare_typed(compose.compose(overrides), overrides)


def _require_alike(prepared: Mapping[str, Prepared]) -> None:
    """Raise UserError where candidates differ in their data or budget, so that nothing could be compared."""
    for one, other in combinations(prepared, 2):
        for key in ("data", "epochs"):
            ours, theirs = (_what_is_shared(prepared[name])[key] for name in (one, other))
            if ours != theirs:
                raise wrong(
                    "study",
                    got=f"candidates with different {'data' if key == 'data' else 'trainer.epochs'} ({one}; {other})",
                    allowed="the same data and the same budget for all",
                    do="a study for each",
                )


def _what_is_shared(prepared: Prepared) -> dict[str, Any]:
    return {"data": prepared.config["data"], "epochs": (prepared.trainer.epochs, prepared.trainer.steps)}


def _metric(metric: str | None, prepared: Prepared) -> str:
    """What decides: by default what the task is judged by. Raises UserError for what it does not measure."""
    measured = [one.name for one in prepared.task.metrics if one.name in METRICS]
    if metric is None:
        return measured[-1]
    if metric not in measured:
        do = f"study.metric={closest(metric, measured) or measured[-1]}"
        raise wrong("study.metric", got=metric, allowed=", ".join(measured), do=do)
    return metric
