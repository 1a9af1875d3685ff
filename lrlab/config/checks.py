"""Checks of settings: each raises UserError with the one line for a value that is not allowed."""

import inspect
import json
import math
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from itertools import chain
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lrlab.errors import UserError, WrongArgument, closest, wrong
from lrlab.moved import SETTINGS, imported
from lrlab.schedules.lengths import parameters_of

Node = dict[str, Any]  # one with a `_target_`, in a resolved config
_HYDRA_KEYS = {"_target_", "_partial_", "_args_", "_recursive_", "_convert_"}
_LISTS = re.compile(r"(?:Iterable|Sequence|list|tuple)\[", re.IGNORECASE)
_NULL_INSIDE = re.compile(r"\[[^\]]*None")  # as in the annotation of Adafactor's eps, tuple[float | None, float]


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
        inside = _nodes_in(value, f"{key}.{name}")
        for path, inner in inside:
            check_target(inner, path)
        if not inside and name in parameters:
            _check_kind(f"{key}.{name}", value, parameters[name])
    return parameters


def taker(node: Any, key: str, name: str) -> str:
    """The parameter of the node's `_target_` that takes what lrlab calls `name`: that of this name, or else the first.

    Many call it otherwise, as `opt` or `model_or_params`. Where the target does not tell its parameters, it is `name`.
    """
    target = node.get("_target_") if isinstance(node, dict) else None
    parameters = parameters_of(locate(target, key)) if isinstance(target, str) else {}
    first = (one.name for one in parameters.values() if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD))
    return name if name in parameters else next(first, name)


def handing(function: Callable[..., Any], parameters: Mapping[str, inspect.Parameter], name: str, value: Any) -> Any:
    """`function` with `value` as its argument `name`: by position where it comes first, or has another name there."""
    names = [*parameters]
    if name in names and names.index(name) > 0:
        return partial(function, **{name: value})
    return partial(function, value)


def _nodes_in(value: Any, key: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The nodes with a `_target_` that `value` is or holds, each with its path."""
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        if "_target_" in value:
            return [(key, value)]
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    found = []
    for name, part in parts:
        found += _nodes_in(part, f"{key}.{name}")
    return found


def _require_values(parameters: Mapping[str, inspect.Parameter], key: str, present: Iterable[str], target: str) -> None:
    for name, parameter in parameters.items():
        can_be_named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if can_be_named and parameter.default is parameter.empty and name not in present:
            raise wrong(
                f"{key}.{name}", got="nothing", allowed=f"a value, which {target} needs", do=f"+{key}.{name}=VALUE"
            )


def _check_kind(key: str, value: Any, parameter: inspect.Parameter) -> None:
    """Check numbers, flags and lists of them against the annotation of their parameter, or else its default's type."""
    default = parameter.default
    if words_allowed := _literals(parameter.annotation):
        choice(key, value, words_allowed)
        return
    kind = _expected(parameter)
    words = _words_in(kind)
    if words & {"str", "Literal", "Callable", "Any", "dict"} or not words & {"bool", "int", "float"}:
        return
    if value is None and (default is None or words & {"None", "NoneType", "Optional"}):
        return
    only_list = kind.rpartition(".")[2].startswith(("Iterable[", "Sequence[", "list[", "List[")) and "|" not in kind
    if only_list and not isinstance(value, list):
        raise wrong(key, got=repr(value), allowed="a list", do=f"{key}=[{_entry(value, default)}]")
    takes_several = words & {"list", "List", "tuple", "Tuple", "Sequence", "Iterable", "Tensor"}
    if isinstance(value, list) and not takes_several and parameter.annotation is not parameter.empty:
        allowed = "a number" if words & {"int", "float"} else "true or false"
        one: Any = 0.1 if words & {"int", "float"} else "true"
        if default is not parameter.empty and default is not None:
            one = default
        raise wrong(key, got=value, allowed=allowed, do=f"{key}={one}")
    whole = "float" not in words
    example: Any = 10 if whole else 0.1
    if isinstance(default, int | float) and default is not False:
        example = default
    may_be_null = _NULL_INSIDE.search(kind) is not None
    for one in _parts(value, nested=len(_LISTS.findall(kind)) > 1):
        if one is None and may_be_null:
            continue
        if words & {"int", "float"}:
            number(key, one, whole=whole, example=[example] if isinstance(value, list) else example)
        else:
            flag(key, one)


@cache
def _words_in(kind: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", kind))


def _entry(value: Any, default: Any) -> Any:
    """What may stand in a list that is asked for: the value itself where it is a number, or what a default has."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return next(iter(default), 10) if isinstance(default, list | tuple) else 10


def _literals(annotation: Any) -> tuple[Any, ...]:
    """The values that an annotation lists, where it lists all: `Literal["cycle", "iterations"]`, perhaps with None."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        parts = [_literals(one) if one is not type(None) else (None,) for one in get_args(annotation)]
        return tuple(chain.from_iterable(parts)) if all(parts) and parts != [(None,)] else ()
    return ()


def _expected(parameter: inspect.Parameter) -> str:
    """The annotation of a parameter as a text; for want of one, what its default says.

    Many write the default of a number as an int where any number will do, such as `weight_decay=0`.
    """
    if parameter.annotation is not parameter.empty:
        return _written(parameter.annotation)
    if isinstance(parameter.default, bool):
        return "bool"
    return "float" if isinstance(parameter.default, int | float) else ""


def _written(annotation: Any) -> str:
    """An annotation as it would be written, without what `Annotated` adds to it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _written(arguments[0])
    if origin in (Union, UnionType):
        return " | ".join(map(_written, arguments))
    if origin is not None:
        return f"{getattr(origin, '__name__', origin)}[{', '.join(map(_written, arguments))}]"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _parts(value: Any, *, nested: bool) -> list[Any]:
    if nested:
        return _flat(value)
    return value if isinstance(value, list) else [value]


def _flat(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    return list(chain.from_iterable(map(_flat, value)))


def locate(target: Any, key: str) -> Any:
    """The class or function that `target` names, whatever was typed there."""
    if not isinstance(target, str):
        raise _no_target(key, got=f"{target}, which is no name")
    if (found := imported(target)) is not None:
        return found
    try:
        return pkgutil.resolve_name(target)
    except Exception as error:
        raise _no_target(key, got=f"{target}, which cannot be imported ({cause(error)})") from error


def _no_target(key: str, got: str) -> UserError:
    return wrong(
        f"{key}._target_",
        got=got,
        allowed="the full name of a class or function, in an installed package or in the current folder",
        do=f"{key}._target_=PACKAGE.NAME",
    )


def call(key: str, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """`function(...)`, with whatever it raises turned into the line of `key`."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        mistake = _mistake_in(error)
        if isinstance(mistake, WrongArgument):  # it names an argument, and knows nothing of keys
            raise mistake.under(key) from error
        if mistake is error:
            raise
        if mistake is not None:
            raise mistake from None  # what wraps it has it as its cause, and a circle of causes has no end
        raise wrong(
            key,
            got=f"settings with which {name} fails ({cause(error)})",
            allowed=f"what {name} accepts",
            do=f"change the settings under {key}",
        ) from error


def _mistake_in(error: BaseException) -> UserError | None:
    """The UserError that `error` is, or that another library, as Hydra does, has wrapped."""
    inside: BaseException | None = error
    while inside is not None and not isinstance(inside, UserError):
        inside = inside.__cause__
    return inside


def cause(error: BaseException) -> str:
    """The first line of the error at the root of `error`, which other libraries may have wrapped."""
    while error.__cause__ is not None:
        error = error.__cause__
    said = str(error).strip() or "no message"
    return f"{type(error).__name__}: {said.splitlines()[0]}".rstrip(".")


def require_names(node: Mapping[str, Any], key: str, allowed: Sequence[str], required: Iterable[str] = ()) -> None:
    """Every name in `node` is `allowed`, and every one that is `required` is there."""
    inside = f"{key}." if key else ""
    for name in node:
        if name not in allowed:
            refuse_moved(f"{key}.{name}")
            guess = closest(name, allowed)
            hint = f" (did you mean {inside}{guess}?)" if guess else ""
            value = node[name] if isinstance(node[name], int | float | str) else "VALUE"
            written = str(value).lower() if isinstance(value, bool) else value
            raise wrong(
                f"{inside}{name}",
                got=f"a setting that does not exist{hint}",
                allowed=", ".join(allowed),
                do=f"{inside}{guess}={written}" if guess else f"leave {inside}{name} out",
            )
    for name in required:
        if name not in node:
            path = f"{key}.{name}".lstrip(".")
            raise wrong(path, got="nothing", allowed="a value", do=f"{path}=VALUE, or no ~{path}")


def refuse_moved(key: str) -> None:
    """Raise UserError where `key` is the old name of a setting."""
    if key in SETTINGS:
        new = SETTINGS[key]
        raise wrong(key, got=f"a setting that is {new} now", allowed=new, do=f"{new}=VALUE")


def choice(key: str, value: Any, choices: Sequence[str | bool | None]) -> None:
    """`value` is one of `choices`."""
    if not isinstance(value, str | bool | None) or value not in choices:
        written = [one if isinstance(one, str) else json.dumps(one) for one in choices]
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
    kinds = int if whole else int | float
    right_type = isinstance(value, kinds) and not isinstance(value, bool)
    if right_type and _in_range(value, low, above, high):
        return
    limits = [("> ", above), (">= ", low), ("<= ", high)]
    text = " and ".join(f"{sign}{limit if whole else f'{limit:g}'}" for sign, limit in limits if limit is not None)
    kind = "an integer" if whole else "a number"
    raise wrong(key, got=repr(value), allowed=f"{kind} {text}".strip(), do=f"{key}={example}")


def _in_range(value: float, low: float | None, above: float | None, high: float | None) -> bool:
    if math.isnan(value):
        return False
    if low is not None and value < low:
        return False
    if above is not None and not above < value < math.inf:
        return False
    return high is None or value <= high
