"""Advice as it was asked for: what is to be trained, the schedules to choose from, and how much it may cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from lrlab.config import compose, names
from lrlab.config.arguments import as_override, key_of, value_of
from lrlab.config.secrets import mask_overrides
from lrlab.errors import UserError, wrong
from lrlab.forecast.evidence import Probe
from lrlab.forecast.laws import Numbers
from lrlab.sweeps import plan
from lrlab.sweeps.job import Job
from lrlab.sweeps.settings import LauncherSettings, read_settings
from lrlab.system import spelling

FOLDER = Path("outputs", "advice")
PILOT, CONSTANT = "cosine", "constant"
USUAL = (
    *(CONSTANT, PILOT, "linear", "polynomial", "step", "exponential", "rex", "inverse_sqrt", "wsd", "onecycle"),
    *("warmup_cosine", "warmup_linear"),
)
BUDGET = 16.0  # runs' worth of updates
FEWEST = 4  # runs' worth: three pilots and one more
# What advice chooses itself, or needs to be alike in all runs. Of a recipe it is not heeded.
_CHOSEN = (
    *("seed", "sweep", "optimizer.lr", "hydra/launcher", "hydra.sweep.dir", "trainer.budget", "trainer.stop_early"),
)
_SAME = 1e-6  # relative


@dataclass
class AdviceRequest:
    """What is to be trained, and the schedules to choose from."""

    typed: list[str]  # as it was typed, to type it again
    common: list[str]  # the overrides of every run
    schedules: list[str]
    budget: float  # runs' worth of updates
    launcher: LauncherSettings
    asked_for: frozenset[str] = frozenset()  # schedules by name: others that cannot be planned are left out
    left_out: dict[str, str] = field(default_factory=dict)  # schedules, with the reason
    checks: plan.Checks = field(default_factory=plan.Checks)

    @property
    def folder(self) -> Path:
        """The same for the same words."""
        return FOLDER / names.run_name(self.common)

    @property
    def runs(self) -> Path:
        """The sweep of all that is trained."""
        return self.folder / "runs"

    @property
    def again(self) -> str:
        return f"{spelling.command('advise')} {spelling.typed(mask_overrides(self.typed))}".rstrip()

    def overrides(self, probe: Probe) -> list[str]:
        """What a run would be typed as, but for its seed."""
        return [*self.common, f"scheduler={probe.schedule}", *self.lr_as_typed(probe.lr)]

    def lr_as_typed(self, lr: float) -> list[str]:
        """A base LR as overrides. Muon has a second one, whose ratio to the first stays."""
        optimizer = self._optimizer
        second = optimizer.get("adamw_lr")
        others = [as_override("optimizer.adamw_lr", float(f"{lr * second / optimizer['lr']:.3g}"))] if second else []
        return [as_override("optimizer.lr", lr), *others]

    @property
    def lr(self) -> float:
        """The LR of the optimizer as it is configured."""
        return float(self._optimizer["lr"])

    @property
    def _optimizer(self) -> Mapping:
        found: Mapping = compose.resolve(self.checks.config(self.common))["optimizer"]
        return found

    def job(self, probe: Probe) -> Job:
        """The run of a probe, checked."""
        run = [*self.overrides(probe), as_override("seed", probe.seed)]
        name = f"{probe.schedule},lr={probe.lr:g},seed={probe.seed}"
        return self.checks.job(run, self.runs, name)

    def shapes(self) -> dict[str, Numbers]:
        """The LRs of every schedule for a base LR of 1. What has no such LRs is left out, with the reason."""
        found, lr = {}, self.lr
        for schedule in self.schedules:
            try:
                once, twice = (self.job(Probe(schedule, at)).checked.plan for at in (lr, 2 * lr))
            except UserError as error:
                if schedule in self.asked_for:
                    raise
                self.left_out[schedule] = error.complaint
                continue
            if once.lrs is None or twice.lrs is None:
                self.left_out[schedule] = "its LR follows a metric"
                continue
            one, two = np.array(once.per_update()), np.array(twice.per_update())
            if not np.allclose(2 * one, two, rtol=_SAME, atol=0.0):
                self.left_out[schedule] = "its LRs are not in proportion to the base LR"
                continue
            found[schedule] = one / lr
        return found


def read_request(typed: Sequence[str], budget: float) -> AdviceRequest:
    """What was asked for. Raises UserError for what advice chooses itself, and for more than one run besides."""
    for key in _CHOSEN:
        if any(key_of(one) == key for one in typed) and value_of(typed, key) not in ("lrlab", "null"):
            got = f"{value_of(typed, key)}, for advice"
            allowed = "nothing: LRs, seeds and folders are chosen, and all runs have the same updates"
            raise wrong(key, got=got, allowed=allowed, do=f"leave {key} out")
    own = [one for one in typed if key_of(one).startswith("scheduler.")]
    if own:
        raise wrong(
            key_of(own[0]),
            got="a setting of one schedule, where several are chosen from",
            allowed="scheduler=NAME,NAME, as they are",
            do=f"leave {key_of(own[0])} out",
        )
    recipe = [one for one in compose.with_recipe(typed) if one not in typed and key_of(one) not in _CHOSEN]
    chosen = value_of([*typed, *recipe], "scheduler")
    common = [one for one in [*typed, *recipe] if key_of(one) != "scheduler"]
    _require_a_recipe_of_any_schedule(common)
    schedules = _schedules(chosen, common)
    runs = compose.expand(common)
    if len(runs) > 1:
        got = f"{len(runs)} runs ({', '.join(one for one in common if ',' in one)})"
        raise wrong("advise", got=got, allowed="one data set, model and optimizer", do="a command for each")
    config = compose.compose(runs[0])
    launcher = dict(OmegaConf.to_object(config.hydra.launcher))  # type: ignore[arg-type]
    launcher.pop("_target_", None)
    settings = read_settings({str(key): value for key, value in launcher.items()})
    again = [*typed, *([f"advise.budget={budget:g}"] if budget != BUDGET else [])]
    asked_for = frozenset() if chosen in (None, "all") else frozenset(chosen.split(","))
    return AdviceRequest(again, runs[0], schedules, budget, settings, asked_for)


def _require_a_recipe_of_any_schedule(common: Sequence[str]) -> None:
    """Raise UserError for a recipe that sets what only one schedule has, or when a run ends."""
    recipe = value_of(common, "experiment")
    if recipe is None:
        return
    pilot = [f"scheduler={PILOT}"]
    with_it, without = compose.compose([f"experiment={recipe}", *pilot]), compose.compose(pilot)
    told = [key for key in with_it.scheduler if with_it.scheduler.get(key) != without.scheduler.get(key)]
    found = [f"scheduler.{key}" for key in told]
    found += [f"trainer.{key}" for key in ("budget", "stop_early") if with_it.trainer.get(key) is not None]
    if found:
        raise wrong(
            "experiment",
            got=f"{recipe}, which sets {', '.join(found)}",
            allowed="a recipe that suits every schedule",
            do="type its data, model and optimizer instead",
        )


def _schedules(chosen: str | None, common: Sequence[str]) -> list[str]:
    """The schedules to choose from, the pilot and the constant LR among them."""
    named = [*USUAL] if chosen is None else chosen.split(",")
    if "" in named or ("all" in named and len(named) > 1):
        allowed = "all, or names of schedules with commas between them"
        raise wrong("scheduler", got=chosen or "nothing", allowed=allowed, do="scheduler=cosine,linear,wsd")
    if chosen == "all":
        named = compose.options("scheduler", common)
    return list(dict.fromkeys([PILOT, CONSTANT, *named]))
