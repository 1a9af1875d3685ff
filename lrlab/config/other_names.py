"""What schedules and settings are called elsewhere, so that somebody who comes from there is led to the name here.

Hugging Face's are those of `transformers.SchedulerType`, `get_..._schedule` and `TrainingArguments`, timm's those of
its command line. A name that is known from elsewhere is never guessed by its letters: `warmup_epochs` is no `epochs`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lrlab.errors import closest

RAMP = "lrlab.schedules.warmup"  # a warm-up and something after it, whose `steps` are called a warm-up elsewhere
# Where a command line has what Python code gives as arguments.
ON_A_COMMAND_LINE = {"lr": "optimizer.lr", "epochs": "trainer.epochs", "total_steps": "trainer.steps"}


@dataclass(frozen=True)
class Meaning:
    """What a setting of others means: its names here, of which there is one or none, and what its numbers are."""

    names: tuple[str, ...]
    unit: str = ""  # ep, st, or % of the run; "lr", or a "share" of the base LR


_DECAY = ("decay", "step_size")
_LRS = ("eta_min", "min_lr", "base_lr")  # that are LRs, and no shares of one
_WARMUPS = {
    **dict.fromkeys(("warmup_epochs",), Meaning(("warmup",), "ep")),
    **dict.fromkeys(("warmup_steps", "num_warmup_steps", "warmup_iters"), Meaning(("warmup",), "st")),
    "warmup_ratio": Meaning(("warmup",), "%"),
    "warmup": Meaning(("warmup",)),
}
_SETTINGS = {
    **_WARMUPS,
    **dict.fromkeys(("learning_rate", "base_lr", "init_lr", "initial_lr", "peak_lr", "max_lr"), Meaning(("lr",), "lr")),
    **dict.fromkeys(("num_epochs", "max_epochs", "n_epochs", "num_train_epochs"), Meaning(("epochs",))),
    **dict.fromkeys(("num_training_steps", "max_steps", "num_steps"), Meaning(("total_steps",))),
    **dict.fromkeys(("lr_min", "min_lr", "eta_min", "end_lr", "final_lr"), Meaning((*_LRS, "floor"), "lr")),
    **dict.fromkeys(("min_lr_ratio", "lr_min_ratio"), Meaning(("floor", *_LRS), "share")),
    **dict.fromkeys(("num_decay_steps", "cooldown_steps"), Meaning(("decay",), "st")),
    **dict.fromkeys(("decay_ratio", "cooldown_ratio"), Meaning(("decay",), "%")),
    "decay_steps": Meaning(_DECAY, "st"),
    "decay_epochs": Meaning(_DECAY, "ep"),
    "decay_rate": Meaning(("gamma",)),
}
_SCHEDULES = {
    **dict.fromkeys(("warmup_stable_decay", "trapezoid", "trapezoidal", "trapezium"), "wsd"),
    **dict.fromkeys(("cosine_with_warmup", "linear_warmup_cosine", "cosine_with_min_lr"), "warmup_cosine"),
    **dict.fromkeys(("linear_with_warmup", "linear_warmup_linear"), "warmup_linear"),
    **dict.fromkeys(("cosine_with_restarts", "cosine_with_hard_restarts", "sgdr"), "cosine_restarts"),
    "cosine_with_hard_restarts_with_warmup": "cosine_restarts",
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


def is_warmup(name: str) -> bool:
    """Whether a setting of this name is the length of a warm-up, somewhere."""
    return name in _WARMUPS


def is_known(name: str) -> bool:
    """Whether others have a setting of this name."""
    return name.lower() in _SETTINGS


def elsewhere(name: str) -> tuple[str, ...]:
    """What settings are called here that others call `name`.

    >>> elsewhere("min_lr")
    ('eta_min', 'base_lr', 'floor')
    """
    meaning = _SETTINGS.get(name.lower())
    return tuple(one for one in meaning.names if one != name) if meaning else ()


def setting(name: str, options: Collection[str]) -> str | None:
    """The one of `options` that was probably meant by the setting `name`; None where none was.

    >>> setting("learning_rate", ["rate", "lr"]), setting("warmup_ratio", ["warmup"]), setting("flor", ["floor"])
    ('lr', 'warmup', 'floor')
    >>> setting("warmup_epochs", ["epochs"]), setting("x", ["lr"])
    (None, None)
    """
    if is_known(name):
        return next((one for one in elsewhere(name) if one in options), None)
    return closest(name, options)


def value(name: str, meant: str, written: str) -> tuple[str | None, str]:
    """What is `written` for the setting `name`, as `meant` takes it, and what that takes where it cannot be said so.

    >>> value("warmup_epochs", "steps", "2.5"), value("warmup_ratio", "warmup", "0.1")
    (('2.5ep', ''), ('10%', ''))
    >>> value("min_lr", "eta_min", "0.1"), value("min_lr", "floor", "0.001")
    (('0.1', ''), (None, 'a share of the base LR'))
    """
    unit = _SETTINGS[name.lower()].unit if is_known(name) else ""
    number = _number(written)
    if unit in ("lr", "share") and (meant == "floor") is (unit == "lr"):
        return None, "a share of the base LR" if unit == "lr" else "an LR, and no share of one"
    if number is None or unit not in ("ep", "st", "%"):
        return written, ""
    return f"{100 * number if unit == '%' else number:g}{unit}", ""


def schedule(name: str, options: Sequence[str]) -> str | None:
    """The one of `options` that was probably meant by the schedule `name`; None where none looks like it.

    >>> schedule("warmup_stable_decay", ["linear", "wsd"]), schedule("cosin", ["cosine", "wsd"])
    ('wsd', 'cosine')
    >>> schedule("get_linear_schedule_with_warmup", ["linear", "warmup_linear"])
    'warmup_linear'
    """
    plain = name.lower().replace("-", "_").replace(" ", "_").removeprefix("get_").replace("_schedule", "")
    known = _SCHEDULES.get(plain, plain)
    return known if known in options else closest(name, options)


def _number(written: str) -> float | None:
    try:
        return float(written)
    except ValueError:
        return None
