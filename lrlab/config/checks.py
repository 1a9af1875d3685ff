"""Checks of settings: each raises UserError with the one line for a value that is not allowed."""

import inspect
import math
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hydra.errors import InstantiationException

from lrlab.errors import UserError, closest, wrong

_HYDRA_KEYS = {"_target_", "_partial_", "_args_", "_recursive_", "_convert_"}


def check_target(node: Any, key: str, given: Iterable[str] = ()) -> Mapping[str, inspect.Parameter]:
    """Check a node's keys and numbers against the signature of its `_target_`, and return that signature's parameters.

    `given` are the arguments that lrlab passes itself. Nodes inside the node are checked too.
    """
    if not isinstance(node, dict) or not isinstance(node.get("_target_"), str):
        raise wrong(
            key, got=repr(node), allowed="a node with a _target_", do=f"choose one by name, or set {key}._target_"
        )
    parameters = parameters_of(locate(node["_target_"], key))
    if not parameters:
        return {}
    settings = {name: value for name, value in node.items() if name not in _HYDRA_KEYS}
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        require_names(settings, key, [name for name in parameters if name not in given or name in settings])
    if not node.get("_partial_") and "_args_" not in node:
        _require_values(parameters, key, {*settings, *given}, node["_target_"])
    for name, value in settings.items():
        inner = _nodes_in(value, f"{key}.{name}")
        for path, node_inside in inner:
            check_target(node_inside, path)
        if not inner and name in parameters:
            _check_kind(f"{key}.{name}", value, parameters[name])
    return parameters


def _nodes_in(value: Any, key: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The nodes with a `_target_` that `value` is or holds, each with its path."""
    if isinstance(value, dict):
        if "_target_" in value:
            return [(key, value)]
        return [found for name, part in value.items() for found in _nodes_in(part, f"{key}.{name}")]
    if isinstance(value, list):
        return [found for index, part in enumerate(value) for found in _nodes_in(part, f"{key}.{index}")]
    return []


def _require_values(parameters: Mapping[str, inspect.Parameter], key: str, present: Iterable[str], target: str) -> None:
    for name, parameter in parameters.items():
        can_be_named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if can_be_named and parameter.default is parameter.empty and name not in present:
            raise wrong(
                f"{key}.{name}", got="nothing", allowed=f"a value, which {target} needs", do=f"+{key}.{name}=VALUE"
            )


def _check_kind(key: str, value: Any, parameter: inspect.Parameter) -> None:
    """Check numbers, flags and lists of them against the annotation of their parameter, or else its default's type."""
    annotation, default = parameter.annotation, parameter.default
    kind = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    if annotation is parameter.empty:
        kind = type(default).__name__ if isinstance(default, bool | int | float) else ""
    words = set(re.findall(r"\w+", kind))
    if words & {"str", "Literal", "Callable", "Any", "dict"} or not words & {"bool", "int", "float"}:
        return
    if value is None and (default is None or words & {"None", "Optional"}):
        return
    only_list = kind.rpartition(".")[2].startswith(("Iterable[", "Sequence[", "list[", "List[")) and "|" not in kind
    if only_list and not isinstance(value, list):
        raise wrong(key, got=repr(value), allowed="a list", do=f"{key}=[{value}]")
    for one in _flat(value) if kind.count("Sequence[") > 1 else value if isinstance(value, list) else [value]:
        if words & {"int", "float"}:
            whole = "float" not in words
            example = default if isinstance(default, int | float) and default is not False else (10 if whole else 0.1)
            number(key, one, whole=whole, example=[example] if isinstance(value, list) else example)
        else:
            flag(key, one)


def _flat(value: Any) -> list[Any]:
    return [part for one in value for part in _flat(one)] if isinstance(value, list) else [value]


def parameters_of(target: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a class or function; none where it does not tell, as some written in C."""
    try:
        return dict(inspect.signature(target).parameters)
    except (TypeError, ValueError):
        return {}


def locate(target: str, key: str) -> Any:
    """The class or function that `target` names."""
    try:
        return pkgutil.resolve_name(target)
    except Exception as error:
        raise wrong(
            f"{key}._target_",
            got=f"{target}, which cannot be imported ({cause(error)})",
            allowed="the full name of a class or function, in an installed package or in the current folder",
            do=f"{key}._target_=PACKAGE.NAME",
        ) from error


def attempt(key: str, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`function(...)`, with whatever it raises turned into the line of `key`."""
    try:
        return function(*args, **kwargs)
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, InstantiationException) and isinstance(error.__cause__, UserError):
            raise error.__cause__ from error
        if "; allowed: " in cause(error):  # our own schedules say it in three parts
            raise UserError(f"{key}: {cause(error).partition(': ')[2]}") from error
        raise wrong(
            key,
            got=f"settings with which {name} fails ({cause(error)})",
            allowed=f"what {name} accepts",
            do=f"change the settings under {key}",
        ) from error


def cause(error: BaseException) -> str:
    """The first line of the error at the root of `error`, which other libraries may have wrapped."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}".rstrip(".")


def require_names(node: Mapping[str, Any], key: str, allowed: Sequence[str], required: Iterable[str] = ()) -> None:
    """Every name in `node` is `allowed`, and every one that is `required` is there."""
    inside = f"{key}." if key else ""
    for name in node:
        if name not in allowed:
            guess = closest(name, allowed)
            raise wrong(
                f"{inside}{name}",
                got="a setting that does not exist" + (f" (did you mean {inside}{guess}?)" if guess else ""),
                allowed=", ".join(allowed),
                do=f"{inside}{guess}=VALUE" if guess else f"leave {inside}{name} out",
            )
    for name in required:
        if name not in node:
            path = f"{key}.{name}".lstrip(".")
            raise wrong(path, got="nothing", allowed="a value", do=f"{path}=VALUE, or no ~{path}")


def choice(key: str, value: Any, choices: Sequence[str | bool]) -> None:
    """`value` is one of `choices`."""
    if not isinstance(value, str | bool) or value not in choices:
        written = [str(one).lower() if isinstance(one, bool) else one for one in choices]
        guess = closest(str(value), written) or written[0]
        raise wrong(key, got=repr(value), allowed=", ".join(written), do=f"{key}={guess}")


def flag(key: str, value: Any) -> None:
    """`value` is true or false."""
    if not isinstance(value, bool):
        raise wrong(key, got=repr(value), allowed="true or false", do=f"{key}=true")


def number(
    key: str,
    value: Any,
    *,
    whole: bool = False,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    example: Any,
) -> None:
    """`value` is a number, an integer where `whole`, and in the range that is given."""
    right_type = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    in_range = right_type and not (
        math.isnan(value)
        or (low is not None and value < low)
        or (above is not None and not above < value < math.inf)
        or (high is not None and value > high)
    )
    if not in_range:
        limits = [("> ", above), (">= ", low), ("<= ", high)]
        text = " and ".join(f"{sign}{limit:g}" for sign, limit in limits if limit is not None)
        raise wrong(
            key,
            got=repr(value),
            allowed=f"{'an integer' if whole else 'a number'} {text}".strip(),
            do=f"{key}={example}",
        )
