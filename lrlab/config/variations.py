"""The configs of a sweep's runs: one is composed, and those that differ from it in plain settings alone are made of it.

To compose a config takes ten milliseconds, to change a value of one some microseconds. A setting can be changed so
where it stands in the composed config with the value that was typed, nothing but a plain `${key}` refers to it, and no
other override has to do with it. All other runs are composed in full.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from typing import Any

from omegaconf import DictConfig

from lrlab.config import compose, composed_once
from lrlab.config.arguments import key_of, of_the_run
from lrlab.config.targets import chosen

KeyPath = tuple[str, ...]  # the names that lead to a setting

_KEY = re.compile(r"seed|(?!hydra)[A-Za-z]\w*(?:\.[A-Za-z]\w*)+", re.ASCII)
_WHOLE = re.compile(r"-?(?:0|[1-9]\d{0,17})", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9][\w.%]*", re.ASCII)  # a text, or what Hydra makes of it
_OF_GROUPS = ("optimizer.groups.", "optimizer.schedule.")  # where a text may stand for a whole node
_REFERENCE = re.compile(r"\$\{[^}]*\}?")
_TO_ONE_SETTING = re.compile(r"\$\{([\w.]+)\}")


@dataclass(frozen=True)
class Composed:
    """The resolved config of a run, and what was chosen in each group."""

    config: dict[str, Any]  # without the `hydra` node; nobody changes it, for runs share parts of it
    choices: dict[str, str]
    places: dict[str, list[KeyPath]] = field(default_factory=dict)  # where the value of each free setting stands

    def is_alone(self, key: str) -> bool:
        """Whether a setting is free, and no other one refers to it."""
        return len(self.places.get(key, ())) == 1


class Variations:
    """Composes the runs of a sweep, in full or of another one."""

    def __init__(self) -> None:
        self._composing = composed_once.Shared()
        self._free: dict[tuple[str, ...], frozenset[str]] = {}  # by the overrides, without the values of plain ones
        self._composed: dict[tuple[Any, ...], Composed] = {}

    def config(self, overrides: Sequence[str]) -> DictConfig:
        """The whole config of a run, composed in full."""
        return compose.compose(overrides, by=self._composing)

    def of(self, overrides: Sequence[str]) -> Composed:
        """The run with these overrides. Raises UserError for whatever cannot be composed."""
        plain = dict(chain.from_iterable(map(_plain_setting, overrides)))
        form = tuple(key_of(one) if _plain_setting(one) else f"{one}=" for one in overrides)
        free = self._free.get(form)
        if free is not None:
            like = self._composed.get((form, _fixed(plain, free)))
            if like is not None and free <= like.places.keys():
                return replace(like, config=_changed(like, {key: plain[key] for key in free}))
        return self._in_full(overrides, plain, form)

    def _in_full(self, overrides: Sequence[str], plain: Mapping[str, Any], form: tuple[str, ...]) -> Composed:
        config = self.config(overrides)
        resolved = compose.resolve(config)
        places = _places(resolved, compose.plain(config), overrides, plain)
        composed = Composed(resolved, chosen(config, of_the_run(overrides)), places)
        free = self._free.setdefault(form, frozenset(places))
        self._composed[form, _fixed(plain, free)] = composed
        return composed


def _fixed(plain: Mapping[str, Any], free: frozenset[str]) -> tuple[str, ...]:
    """The settings that are not free, each as a text that tells 1 from 1.0."""
    return tuple(f"{key}={value!r}" for key, value in plain.items() if key not in free)


def _plain_setting(override: str) -> list[tuple[str, Any]]:
    """The key and the value of an override that gives a setting a number, a flag, null or a word; none for others."""
    key, sign, text = override.partition("=")
    if not sign or not _KEY.fullmatch(key):
        return []
    if _WHOLE.fullmatch(text) and text != "-0":
        return [(key, int(text))]
    if _DECIMAL.fullmatch(text):
        return [(key, float(text))]
    if key == "seed" or not _WORD.fullmatch(text) or key.startswith(_OF_GROUPS):
        return []
    return _parsed(override)


@cache
def _parsed(override: str) -> list[tuple[str, Any]]:
    """The same, as Hydra reads it: a word may be a flag, null, a number or a duration."""
    (typed,) = compose.parse([override])
    value = typed.value()
    return [(typed.key_or_group, value)] if value is None or isinstance(value, bool | int | float | str) else []


def _places(
    resolved: Mapping[str, Any], written: Mapping[str, Any], overrides: Sequence[str], plain: Mapping[str, Any]
) -> dict[str, list[KeyPath]]:
    """Where the values of the settings stand that are free."""
    typed = [key_of(one) for one in overrides]
    texts = [(place, text) for place, text in _leaves(written) if isinstance(text, str) and "${" in text]
    found = {}
    for key, value in plain.items():
        places = [] if _has_to_do_with_others(key, typed) else _with_followers(tuple(key.split(".")), texts)
        if places and all(_at(resolved, place) == (type(value), repr(value)) for place in places):
            found[key] = places
    return found


def _at(config: Mapping[str, Any], place: KeyPath) -> tuple[type, str]:
    """The type of the value at a place, and its text, which tells NaN and -0.0 too."""
    node: Any = config
    for name in place:
        node = node[name] if isinstance(node, Mapping) and name in node else None
    return type(node), repr(node)


def _has_to_do_with_others(key: str, typed: Sequence[str]) -> bool:
    """Whether a key was typed twice, or a node was that it is in, beside the option of its group."""
    inside = [other for other in typed if other.startswith(f"{key}.") or ("." in other and key.startswith(f"{other}."))]
    return typed.count(key) != 1 or bool(inside)


def _with_followers(place: KeyPath, texts: Sequence[tuple[KeyPath | None, str]]) -> list[KeyPath]:
    """The place of a setting and of all that is a plain `${}` of it; none where another text may depend on it."""
    places = [place]
    for known in places:  # which grows
        places += [other for other, text in texts if text == f"${{{'.'.join(known)}}}" and other is not None]
        if len(places) > len(set(places)):
            return []
    references: list[str] = []
    for other, text in texts:
        references += [] if other in places else _REFERENCE.findall(text)
    is_free = all(not _may_mean(one, places) for one in references)
    return places if is_free else []


def _may_mean(reference: str, places: Sequence[KeyPath]) -> bool:
    """Whether `${...}` may depend on what is at one of `places`: it names that or a node around it, or may do so."""
    target = _TO_ONE_SETTING.fullmatch(reference)
    if target is None or target[1].startswith("."):
        return True
    names = tuple(target[1].split("."))
    return any(names == place[: len(names)] for place in places)


def _leaves(node: Any, place: KeyPath | None = ()) -> Iterator[tuple[KeyPath | None, Any]]:
    """All values in a config, each with its place; None for those in lists."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _leaves(value, None if place is None else (*place, str(name)))
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value, None)
    else:
        yield place, node


def _changed(like: Composed, values: Mapping[str, Any]) -> dict[str, Any]:
    """The config with other values of free settings. Nodes in which nothing changed are the same objects."""
    config = dict(like.config)
    own: dict[KeyPath, dict[str, Any]] = {(): config}  # the nodes that were copied
    for key, value in values.items():
        for *path, name in like.places[key]:
            node = config
            place: KeyPath = ()
            for step in path:
                place = (*place, step)
                if place not in own:
                    own[place] = node[step] = dict(node[step])
                node = own[place]
            node[name] = value
    return config
