"""Whether an optimizer is one that the loop can use: made of parameters, with an LR, one update from one gradient."""

from collections.abc import Callable
from typing import Any

import torch

from lrlab.config import checks
from lrlab.config.checks import Node
from lrlab.errors import UserError, WrongArgument, first_line, wrong
from lrlab.lr.hyperparameters import scale_of, schedule_of
from lrlab.lr.lint import averages_by_itself
from lrlab.lr.plan import Plan
from lrlab.words import kind_of

_ONE_GRADIENT = "an optimizer that makes one update from one gradient"


def made(node: Node, make_it: Callable[[], Any]) -> Any:
    """What `make_it` makes, which is the node's optimizer. Raises UserError, with a way out, where that fails."""
    target = node["_target_"]
    try:
        return checks.call("optimizer", target, make_it)
    except UserError as error:
        cause = error.__cause__
        if isinstance(cause, WrongArgument) and cause.key is not None:  # an optimizer's arguments are settings
            raise wrong(
                f"optimizer.{cause.key}", got=cause.got, allowed=str(cause.allowed), do=f"optimizer.{cause.do}"
            ) from error
        if isinstance(cause, ValueError) and "muon" in target.lower():
            raise wrong(
                "optimizer._target_",
                got=f"{target}, which does not divide a model itself ({first_line(cause)})",
                allowed="what takes all parameters of a model",
                do="optimizer=muon, which gives AdamW what is no matrix",
            ) from error
        if cause is not None and _wants_more(cause):
            raise wrong(
                "optimizer._target_",
                got=f"{target}, which cannot be made of parameters and settings ({first_line(cause)})",
                allowed="what is called with the parameters of a model and plain settings",
                do="optimizer=adamw, or a function of yours that makes it (docs/optimizers.md)",
            ) from error
        raise


def _wants_more(cause: BaseException) -> bool:
    """Whether a class failed because it wants another optimizer, or the model: those that wrap one do."""
    said = str(cause)
    lacks = isinstance(cause, TypeError) and "missing" in said and "argument" in said
    return lacks or isinstance(cause, AttributeError) or "`params`" in said


def require_usable(optimizer: Any, target: str) -> None:
    """Raise UserError unless `optimizer` is torch's kind, has LRs, and makes an update from one gradient."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise wrong(
            "optimizer._target_",
            got=f"{target}, which makes {kind_of(optimizer)}",
            allowed="a class derived from torch.optim.Optimizer",
            do="optimizer=sgd",
        )
    if not all("lr" in group for group in optimizer.param_groups):
        raise wrong(
            "optimizer._target_",
            got=f"{target}, whose parameter groups have no lr",
            allowed="an optimizer with an LR, which the scheduler multiplies",
            do="optimizer=sgd",
        )
    groups = optimizer.param_groups
    has_lrs_apart = len(set(map(scale_of, groups))) > 1 or any(schedule_of(group) is not None for group in groups)
    if type(optimizer).__module__.startswith("prodigyopt") and has_lrs_apart:
        raise wrong(
            "optimizer.groups",
            got=f"groups with LRs of their own, for {type(optimizer).__name__}, which finds one for all",
            allowed="groups with a delay or a weight decay, and without lr_scale, schedule and layer_decay",
            do="leave lr_scale, schedule and layer_decay out, or optimizer=adamw",
        )
    if not {"state", "param_groups"} <= optimizer.state_dict().keys():
        raise wrong(
            "optimizer._target_",
            got=f"{target}, whose state_dict() has no state and no param_groups",
            allowed="a state of the form that torch's optimizers have, which a run is resumed from",
            do="optimizer=adamw, or another state_dict() and load_state_dict()",
        )
    if _wants_closure(optimizer):
        raise wrong(
            "optimizer._target_",
            got=f"{target}, whose step() wants a closure",
            allowed=_ONE_GRADIENT,
            do="optimizer=sgd",
        )


def require_steady_momentum(node: Node, plan: Plan) -> None:
    """Raise UserError where a plan changes the momentum of a schedule-free optimizer.

    Such a one keeps the weights that it trains, and finds the average of them by its first beta. Where that is another
    one by then, it finds something else.
    """
    target = str(node["_target_"])
    if "momentum" in plan.driven() and averages_by_itself(target):
        raise wrong(
            "scheduler",
            got=f"a momentum that changes, with {target}, which finds its average weights by it",
            allowed="one momentum throughout",
            do="scheduler=constant, scheduler.cycle_momentum=false, or no optimizer.schedule.momentum",
        )


def require_finite(node: Node) -> None:
    """Raise UserError where a number that was chosen is none by which weights of 32 bits each can be changed.

    What a class has as its default may be infinite, as Prodigy's `growth_rate` is.
    """
    for name, value in node.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        is_too_long = isinstance(value, int) and abs(value) >= 2**63
        if is_number and (is_too_long or not abs(value) <= torch.finfo(torch.float32).max):
            most = f"at most {torch.finfo(torch.float32).max:.3g}"
            raise wrong(f"optimizer.{name}", got=value, allowed=most, do=f"optimizer.{name}=0.01")


def _wants_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether step() cannot be called without an argument: its signature says so, or it fails when it is tried.

    It is tried without gradients, which some want, so that only what it says of a closure counts.
    """
    closure = checks.parameters_of(optimizer.step).get("closure")
    if closure is not None and closure.default is closure.empty:
        return True
    if type(optimizer).__module__.startswith("torch.optim"):
        return False
    try:
        optimizer.step()
    except Exception as error:
        said = f"{type(error).__name__} {error}".lower()
        return "closure" in said or "'nonetype' object is not callable" in said or "required positional" in said
    return False
