"""A run before it starts: every setting checked and the LR planned, once, with nothing read or written.

`prepare` makes it of a config. A single run, a resumed one, a run of a sweep and every rank begin with what it returns;
where another process carries the run out it gets what is `checked`, and `equip` makes the rest there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lrlab.config import averages, budgeted, build, checks, identity, length, settings, stackable, stopping
from lrlab.config.arguments import key_of, of_the_run, without_deletions
from lrlab.config.compose import resolve
from lrlab.config.earlier import in_todays_words, moved_targets
from lrlab.config.equipment import Equipment, basis_of, choose_cache, horizon_on, read
from lrlab.config.found_out import FoundOut
from lrlab.config.groups import ModelParameters, layer_decay_of
from lrlab.config.identity import Identity
from lrlab.config.scheduler import check_rhythm, scheduler_settings
from lrlab.config.scheduler_nodes import is_pure, naming_settings
from lrlab.config.targets import chosen
from lrlab.config.usable import require_steady_momentum
from lrlab.data import room
from lrlab.data.batches import Batching
from lrlab.data.kinds import bytes_of_an_image
from lrlab.data.splits import Splits
from lrlab.lr.horizon import Horizon, Samples
from lrlab.lr.plan import Plan, factors, has_factors, scaled, simulate
from lrlab.system import compiler
from lrlab.training.task import check_loss, for_data


@dataclass(frozen=True)
class Checked:
    """A run whose settings are checked and whose LR is planned: plain values, which any process can be given."""

    config: dict[str, Any]  # resolved
    choices: dict[str, str]  # what was chosen in each group
    overrides: list[str]  # what the user typed
    plan: Plan
    warnings: list[str]  # about the plan
    contents: dict[str, Any] | None = None  # of its data, as far as they are known

    @property
    def seed(self) -> int:
        return self.config["seed"]

    def at(self, seed: int) -> "Checked":
        """The same run with another seed, where no other setting refers to that: it is checked as well."""
        config = {**self.config, "seed": seed}
        settings.check_top_level(config)
        typed = [f"seed={seed}" if key_of(one) == "seed" else one for one in self.overrides]
        return replace(self, config=config, overrides=typed)

    def in_form(self, form: str) -> "Checked":
        """The same run in a form of the arithmetic of runs that train in one step."""
        trainer = {**self.config["trainer"], "stacked": form}
        return replace(self, config={**self.config, "trainer": trainer})

    @cached_property
    def identity(self) -> Identity:
        """What makes it that run."""
        return identity.of(self.saved_config, self.contents)

    @property
    def knows_its_data(self) -> bool:
        """Whether its data is known by what it holds, and not only by where it lies."""
        return Identity({}, self.contents).knows_its_data

    @property
    def saved_config(self) -> dict[str, Any]:
        """The config of the run itself, without how this process came to carry it out, and who else is told of it."""
        own = {name: node for name, node in self.config.items() if name != "tracking"}
        return {**own, "resume": None, "extend": None, "sweep": None}


@dataclass(frozen=True)
class Prepared(Equipment):
    """A checked run with what this process carries it out with, before its data is read or its folder is made."""

    checked: Checked
    trial: build.Trial | None = None  # the model, where it was built to be tried

    @property
    def config(self) -> dict[str, Any]:
        return self.checked.config

    @property
    def plan(self) -> Plan:
        return self.checked.plan

    @property
    def seed(self) -> int:
        return self.checked.seed

    def facts(self) -> dict[str, Any]:
        """What a resumed run must find as it was, beside its settings: the data and the planned LR."""
        return {
            "data": {**self.splits.sizes, "shape": list(self.splits.shape), **_predicted(self.splits)},
            "contents": self.checked.contents,
            "plan": {"steps_per_epoch": self.horizon.steps_per_epoch, "sha256": self.plan.fingerprint()},
        }


def prepare_typed(config: DictConfig, overrides: Sequence[str]) -> Prepared:
    """`prepare` for a `config` that was just composed of `overrides`."""
    task = of_the_run(overrides)
    return prepare(config, chosen(config, task), without_deletions(task))


def prepare(config: DictConfig, choices: Mapping[str, str] | None = None, overrides: Sequence[str] = ()) -> Prepared:
    """Check every setting of a run and plan its LR. Raises UserError for the first mistake; leaves no trace.

    `choices` and `overrides` are what was chosen in each group and what was typed; the run's files tell them.
    """
    return prepare_resolved(resolve(config), choices, overrides, asked=_typed_for(config))


def prepare_resolved(
    typed: dict[str, Any],
    choices: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    *,
    asked: Sequence[str] = (),
    known: FoundOut | None = None,
) -> Prepared:
    """`prepare` for a resolved config, of which `asked` was typed.

    What is `known` of other runs of a sweep, which have parts of their configs in common, is not found out again.
    """
    # The settings are read, each for itself and then together.
    known = known or FoundOut()
    if typed.get("tracking") is not None:
        checks.check_target(typed["tracking"], "tracking", given=("folder", "name", "settings", "resumed"))
    plain = in_todays_words(typed)
    settings.check_top_level(plain)
    plain = length.with_one_length(plain, asked)
    basis = basis_of(plain, known)
    parts = read(plain, together=True, known=known)
    plain = {**plain, "trainer": {**plain["trainer"], "monitor": parts.trainer.monitor}}
    splits = parts.splits

    # The model is built and tried; stand-ins of its parameters tell the optimizer its groups.
    tried, trial = build.try_model(plain["model"], splits.interface, plain["seed"])
    known("trial", basis, partial(_require_trainable, parts, plain["model"], tried, trial))

    # One optimizer and one scheduler are stepped through the whole run.
    driven = (*basis, known.number(plain["optimizer"]), known.number(plain["scheduler"]))
    plan, about_plan = known("plan", driven, partial(_plan, parts, plain, tried, known))

    contents = known("contents", basis, lambda: checks.call("data", "what tells its contents", lambda: splits.contents))
    warnings = [*moved_targets(typed), *splits.notes, *about_plan]
    warnings += stopping.warnings(parts.early, parts.horizon, parts.trainer.eval_every)
    checked = Checked(plain, dict(choices or {}), list(overrides), plan, warnings, contents)
    prepared = Prepared(**vars(parts), checked=checked, trial=trial)
    stackable.require(prepared, plain, plan)
    return prepared


def _require_trainable(
    parts: Equipment, model: dict[str, Any], tried: build.KnownModel, trial: build.Trial | None
) -> None:
    """Raise UserError where the model does not fit the task, or the smallest part of a batch."""
    check_loss(parts.task, tried.output_shape, parts.splits)
    advice = settings.advice_for_single_images(len(parts.splits.train), parts.trainer, parts.batching)
    if advice is not None:
        build.require_trainable_on_one(model, parts.splits.interface, trial, do=advice)


def _plan(parts: Equipment, plain: dict[str, Any], tried: build.KnownModel, known: FoundOut) -> tuple[Plan, list[str]]:
    """The plan of a run, and warnings about it."""
    horizon, interval = parts.horizon.planned, parts.scheduler.interval
    with compiler.left_out():
        optimizer = build.build_optimizer(plain["optimizer"], tried.parameters)
    if parts.average is not None:
        averages.require_one_point(optimizer)
    with naming_settings(parts.scheduler.resolved, typed=plain["scheduler"]):
        scheduler = parts.scheduler.build(optimizer)
        check_rhythm(scheduler, parts.scheduler.monitor, parts.trainer.eval_every)
        plan = None
        if has_factors(scheduler) and is_pure(parts.scheduler.resolved):  # at another base LR it has the same ones
            of = (known.number(parts.scheduler.resolved), known.number(horizon.total(interval)))
            by = known("factors", of, lambda: factors(scheduler, horizon.total(interval)))
            plan = scaled(optimizer, by, horizon, interval) if by is not None else None
        if plan is None:
            plan = simulate(lambda _: scheduler, lambda: optimizer, horizon, interval)
        budgeted.require_shares(plan, plain, tried.parameters, parts.task.metrics)
    require_steady_momentum(plain["optimizer"], plan)
    return plan, parts.scheduler.warnings(plan, plain["optimizer"])


def _predicted(splits: Splits) -> dict[str, Any]:
    """What is predicted of a sample; the shape of a target is () unless it is told."""
    shape = {"target_shape": list(splits.target_shape)} if splits.target_shape else {}
    return {"num_classes": splits.num_classes, **shape}


def equip(checked: Checked, known: FoundOut | None = None) -> Prepared:
    """What another process checked, with what this one carries it out with. What is `known` is not found out again."""
    return Prepared(**vars(read(checked.config, together=False, known=known or FoundOut())), checked=checked)


def _typed_for(config: DictConfig) -> list[str]:
    """What was typed for a config that was just composed; of one that a run saved that is not known, nor needed."""
    return list(OmegaConf.select(config, "hydra.overrides.task", default=None) or [])


def place_images(prepared: Prepared) -> tuple[Prepared, room.Choice]:
    """The run with the place where its images are kept settled, and that place."""
    batching, splits = prepared.batching, prepared.splits
    kept = choose_cache(batching, splits, prepared.device)
    if kept.place == "none" and batching.workers:
        batch_bytes = batching.batch_size * bytes_of_an_image(splits.train)
        room.require_shared_memory(batch_bytes, workers=batching.workers, prefetch=batching.prefetch)
    return replace(prepared, batching=replace(prepared.batching, cache=kept.place)), kept


def plan_only(
    config: DictConfig, steps_per_epoch: int | None = None, progress: Callable[[int, int], None] | None = None
) -> tuple[Plan, list[str]]:
    """The plan of the run that `config` describes, and warnings about it, without its model and without reading data.

    The model is built where the LR depends on its layers (`optimizer.layer_decay`). `steps_per_epoch` is taken from the
    known size of the data set if it is not given. `progress` is told how far it is.
    Raises UserError as `prepare`.
    """
    plain = resolve(config)
    settings.check_top_level(plain)
    plain = length.with_one_length(plain, _typed_for(config))
    task = build.build_task(plain["task"])
    if steps_per_epoch is None:
        splits, batching = _opened(plain["data"])
        task = for_data(task, splits)
        horizon = horizon_on(plain["trainer"], splits, batching)
    else:
        horizon = _horizon_of(plain, steps_per_epoch)
    settings.trainer_settings(plain["trainer"], task.metrics)
    optimizer = plain["optimizer"]
    parameters = _parameters(plain) if layer_decay_of(optimizer) is not None else None
    make_optimizer = partial(build.build_optimizer, optimizer, parameters)
    scheduler = scheduler_settings(plain["scheduler"], horizon.planned, optimizer, task.metrics)
    with compiler.left_out(), naming_settings(scheduler.resolved, typed=plain["scheduler"]):
        plan = simulate(scheduler.build, make_optimizer, horizon.planned, scheduler.interval, progress)
        budgeted.require_shares(plan, plain, parameters, task.metrics)
    require_steady_momentum(optimizer, plan)
    return plan, scheduler.warnings(plan, optimizer)


def _parameters(plain: dict[str, Any]) -> ModelParameters:
    """Stand-ins of the model's parameters, for a plan that depends on its layers; the model is built."""
    splits, _ = _opened(plain["data"])
    tried, _ = build.try_model(plain["model"], splits.interface, plain["seed"])
    return tried.parameters


def _horizon_of(plain: dict[str, Any], steps_per_epoch: int) -> Horizon:
    """How long the run is, with epochs of so many updates."""
    batching, _ = settings.split_batching(plain["data"])
    samples = Samples(steps_per_epoch * batching.batch_size, batching.batch_size)
    return length.horizon_of(plain["trainer"], steps_per_epoch, samples)


def _opened(data: dict[str, Any]) -> tuple[Splits, Batching]:
    """The data set, opened but neither read nor fetched."""
    batching, node = settings.split_batching(data)
    holding, node = settings.split_holding(node)
    checks.check_target(node, "data")
    unread = {"download": True} if "download" in node else {}  # nothing is fetched before it is read
    return settings.held_out(build.make({**node, **unread}, "data"), holding), batching
