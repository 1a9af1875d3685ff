"""What schedules and settings are called elsewhere, so that somebody who comes from there is led to the name here.

Hugging Face's are those of `transformers.SchedulerType` and `TrainingArguments`, timm's those of its command line.
"""

import re
from collections.abc import Sequence

from lrlab.errors import closest

WARMUPS = ("warmup", "warmup_steps", "warmup_epochs", "warmup_ratio", "num_warmup_steps", "warmup_iters")
_LENGTHS = ("total_steps", "total_iters")
_LOWEST = ("floor", "eta_min", "min_lr")
_SETTINGS = {
    **dict.fromkeys(("learning_rate", "base_lr", "init_lr", "initial_lr", "peak_lr", "max_lr"), ("lr",)),
    **dict.fromkeys(("num_epochs", "max_epochs", "n_epochs", "num_train_epochs"), ("epochs",)),
    **dict.fromkeys(("num_training_steps", "max_steps", "num_steps", "t_initial"), _LENGTHS),
    **dict.fromkeys(("lr_min", "min_lr", "eta_min", "min_lr_ratio", "end_lr", "final_lr"), _LOWEST),
    **dict.fromkeys(("num_decay_steps", "decay_ratio", "cooldown", "cooldown_steps"), ("decay",)),
    **dict.fromkeys(("decay_rate", "drop_rate", "lr_decay"), ("gamma",)),
    **dict.fromkeys(("decay_epochs", "decay_steps"), ("decay", "step_size")),
    **dict.fromkeys(WARMUPS, ("warmup",)),
}
_SHARES = ("warmup_ratio", "decay_ratio")
_SHARE = re.compile(r"0?\.\d+|1\.0*")
_UNITS = {
    **dict.fromkeys(("warmup_epochs", "decay_epochs"), "ep"),
    **dict.fromkeys(("warmup_steps", "num_warmup_steps", "warmup_iters", "num_decay_steps", "cooldown_steps"), "st"),
}
_SCHEDULES = {
    **dict.fromkeys(("warmup_stable_decay", "trapezoid", "trapezoidal", "trapezium"), "wsd"),
    **dict.fromkeys(("cosine_with_warmup", "linear_warmup_cosine", "cosine_with_min_lr"), "warmup_cosine"),
    **dict.fromkeys(("linear_with_warmup", "linear_warmup_linear"), "warmup_linear"),
    **dict.fromkeys(("cosine_with_restarts", "cosine_with_hard_restarts", "sgdr"), "cosine_restarts"),
    **dict.fromkeys(("polynomial_with_warmup", "polynomial_decay_with_warmup"), "warmup_polynomial"),
    **dict.fromkeys(("reduce_lr_on_plateau", "reduce_on_plateau", "reducelronplateau"), "plateau"),
    **dict.fromkeys(("linear_warmup", "constant_with_warmup"), "warmup_constant"),
    **dict.fromkeys(("one_cycle", "1cycle"), "onecycle"),
    **dict.fromkeys(("cosine_annealing", "half_cosine"), "cosine"),
    **dict.fromkeys(("triangular", "clr"), "cyclic"),
    **dict.fromkeys(("rsqrt", "invsqrt"), "inverse_sqrt"),
    **dict.fromkeys(("transformer", "attention"), "noam"),
    **dict.fromkeys(("inverse_time_decay", "inv"), "inverse_time"),
}


def setting(name: str, options: Sequence[str]) -> str | None:
    """The one of `options` that was probably meant by the setting `name`; None where none looks like it.

    >>> setting("learning_rate", ["rate", "lr"]), setting("warmup_ratio", ["decay", "warmup"]), setting("x", ["lr"])
    ('lr', 'warmup', None)
    """
    known = [one for one in elsewhere(name) if one in options]
    return known[0] if known else closest(name, options)


def elsewhere(name: str) -> tuple[str, ...]:
    """What settings are called here that others call `name`.

    >>> elsewhere("min_lr")
    ('floor', 'eta_min')
    """
    return tuple(one for one in _SETTINGS.get(name.lower(), ()) if one != name)


def as_duration(name: str, written: str) -> str | None:
    """The duration that a number means which is `written` for the setting `name`; None where the name says no unit.

    >>> as_duration("warmup_epochs", "5"), as_duration("warmup_ratio", "0.1"), as_duration("min_lr", "0.1")
    ('5ep', '10%', None)
    """
    if name in _UNITS and written.isdigit():
        return written + _UNITS[name]
    if name in _SHARES and _SHARE.fullmatch(written):
        return f"{100 * float(written):g}%"
    return None


def schedule(name: str, options: Sequence[str]) -> str | None:
    """The one of `options` that was probably meant by the schedule `name`; None where none looks like it.

    >>> schedule("warmup_stable_decay", ["linear", "wsd"]), schedule("cosin", ["cosine", "wsd"])
    ('wsd', 'cosine')
    """
    known = _SCHEDULES.get(name.lower().replace("-", "_").replace(" ", "_"))
    return known if known in options else closest(name, options)
