"""Train with any learning-rate schedule, see what it does, and compare.

    s = lrlab.schedule("wsd", lr=0.1, epochs=20, steps_per_epoch=469, decay="20%")
    s(37), s.values(), s.scheduler(optimizer)        # the LR of update 37, of all, torch's scheduler
    lrlab.preview("step", "cosine", s, lr=0.1, epochs=20)
    lrlab.check(make_scheduler, make_optimizer, epochs=20, steps_per_epoch=469)
    with lrlab.watch(optimizer, s): ...              # planned = applied?
    run = lrlab.train("scheduler=step", "trainer.epochs=5")
    lrlab.compare(lrlab.sweep("scheduler=step,cosine", "seed=0,1,2"))
    lrlab.predict(run, "step", "wsd", "linear")      # the final losses of schedules that were not trained
    lrlab.advise("data=mnist", "model=cnn")          # which schedule, at which LR, by few runs

Every schedule is there under its name too: `lrlab.wsd(lr=0.1, total_steps=9380)`. Names are loaded when they are asked
for: `import lrlab` takes milliseconds and no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from lrlab.api.advised import Advice as Advice
    from lrlab.api.advising import advise as advise
    from lrlab.api.compared import Compared as Compared
    from lrlab.api.compared import ComparedStudy as ComparedStudy
    from lrlab.api.comparing import compare as compare
    from lrlab.api.curves import Curve as Curve
    from lrlab.api.curves import Curves as Curves
    from lrlab.api.curves import Findings as Findings
    from lrlab.api.curves import check as check
    from lrlab.api.curves import preview as preview
    from lrlab.api.finding import FoundLR as FoundLR
    from lrlab.api.finding import find_lr as find_lr
    from lrlab.api.predicting import predict as predict
    from lrlab.api.predictions import Predictions as Predictions
    from lrlab.api.running import Run as Run
    from lrlab.api.running import Runs as Runs
    from lrlab.api.running import sweep as sweep
    from lrlab.api.running import train as train
    from lrlab.api.schedule import NamedSchedule as NamedSchedule
    from lrlab.api.schedule import schedule as schedule
    from lrlab.api.schedule import schedule_names as schedule_names
    from lrlab.api.schedule_value import Schedule as Schedule
    from lrlab.api.watching import ScheduleWarning as ScheduleWarning
    from lrlab.api.watching import Watch as Watch
    from lrlab.api.watching import watch as watch
    from lrlab.errors import UserError as UserError
    from lrlab.integrations.keras import to_keras as to_keras
    from lrlab.integrations.optax import to_optax as to_optax
    from lrlab.integrations.timm import from_timm as from_timm
    from lrlab.integrations.timm import to_timm as to_timm
    from lrlab.integrations.transformers import from_transformers as from_transformers
    from lrlab.integrations.transformers import to_transformers as to_transformers

    chained: NamedSchedule
    constant: NamedSchedule
    cosine: NamedSchedule
    cosine_bounce: NamedSchedule
    cosine_cooldown: NamedSchedule
    cosine_cycles: NamedSchedule
    cosine_power: NamedSchedule
    cosine_restarts: NamedSchedule
    cyclic: NamedSchedule
    cyclic_exp_range: NamedSchedule
    cyclic_triangular2: NamedSchedule
    exponential: NamedSchedule
    exponential_decay: NamedSchedule
    exponential_hyperbolic: NamedSchedule
    fractal_chebyshev: NamedSchedule
    hyperbolic: NamedSchedule
    inverse_sqrt: NamedSchedule
    inverse_time: NamedSchedule
    linear: NamedSchedule
    multiplicative: NamedSchedule
    multistep: NamedSchedule
    noam: NamedSchedule
    noisy_cosine: NamedSchedule
    onecycle: NamedSchedule
    onecycle_three_phase: NamedSchedule
    piecewise_constant: NamedSchedule
    piecewise_linear: NamedSchedule
    polynomial: NamedSchedule
    polynomial_cycles: NamedSchedule
    power: NamedSchedule
    product: NamedSchedule
    rex: NamedSchedule
    sequence: NamedSchedule
    sequential: NamedSchedule
    sigmoid: NamedSchedule
    slanted_triangular: NamedSchedule
    step: NamedSchedule
    tanh: NamedSchedule
    untuned_warmup_cosine: NamedSchedule
    warmup_constant: NamedSchedule
    warmup_cosine: NamedSchedule
    warmup_linear: NamedSchedule
    warmup_multistep: NamedSchedule
    warmup_polynomial: NamedSchedule
    wsd: NamedSchedule
    wsd_s: NamedSchedule

# Where each public name is at home. Those with a door of their own, which `python -m` opens, are reached through it.
_HOMES = {
    "api.advised": ("Advice",),
    "api.compared": ("Compared", "ComparedStudy"),
    "api.curves": ("Curve", "Curves", "Findings", "check"),
    "api.finding": ("FoundLR",),
    "api.predictions": ("Predictions",),
    "api.running": ("Run", "Runs", "sweep", "train"),
    "api.schedule": ("NamedSchedule", "schedule", "schedule_names"),
    "api.schedule_value": ("Schedule",),
    "api.watching": ("ScheduleWarning", "Watch", "watch"),
    "errors": ("UserError",),
    "integrations.keras": ("to_keras",),
    "integrations.optax": ("to_optax",),
    "integrations.timm": ("from_timm", "to_timm"),
    "integrations.transformers": ("from_transformers", "to_transformers"),
}
_DOORS = ("advise", "compare", "find_lr", "predict", "preview")
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_NO_NAME = ("lambda",)  # a word of Python's; `lrlab.schedule("lambda")` is the constant that it starts from


def __getattr__(name: str) -> Any:
    """A public name, loaded now; a schedule by its name."""
    if name in _HOME_OF:
        found = getattr(importlib.import_module(f"lrlab.{_HOME_OF[name]}"), name)
    elif name in _DOORS or name == "schedules":
        found = importlib.import_module(f"lrlab.{name}")
    elif not name.startswith("_") and name in _schedules():
        found = importlib.import_module("lrlab.api.schedule").NamedSchedule(name)
    else:
        raise AttributeError(f"module 'lrlab' has no attribute '{name}'")
    globals()[name] = found
    return found


def _schedules() -> list[str]:
    """The names of schedules that can be written as names."""
    return [name for name in importlib.import_module("lrlab.api.schedule").NAMES if name not in _NO_NAME]


def __dir__() -> list[str]:
    return sorted([*_HOME_OF, *_DOORS, "schedules", *_schedules(), "__version__"])
