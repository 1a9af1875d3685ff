"""Values that must not lie in files: those of settings whose names say that they are secrets."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

MASKED = "***"
_WORDS = re.compile(
    r"(?:^|_)(?:secret|token|password|passwd|passphrase|credentials?|api_?key|access_?key|private_?key)(?:_|$)"
)
_INNER_KEY = re.compile(r"(\w+)['\"]?\s*:")


@cache
def is_secret(key: str) -> bool:
    """Whether the last part of a dotted `key` names a secret.

    >>> is_secret("data.api_key"), is_secret("data.HF_TOKEN"), is_secret("model.num_tokens")
    (True, True, False)
    """
    return bool(_WORDS.search(key.rpartition(".")[2].lower()))


def may_be_in(config: Any) -> bool:
    """Whether a word of the names of secrets is anywhere in `config`; where it is not, `mask` masks nothing.

    >>> may_be_in({"data": {"api_key": None}}), may_be_in({"data": {"root": "data"}})
    (True, False)
    """
    written = repr(config).lower()
    return any(word in written for word in ("secret", "token", "passw", "passphrase", "credential", "key"))


def mask(config: Any) -> Any:
    """A copy of `config`, dicts and lists of plain values, in which secrets are masked."""
    if config is None or isinstance(config, str | int | float):
        return config
    if isinstance(config, Mapping):
        hidden = {key for key, value in config.items() if is_secret(str(key)) and value is not None}
        return {key: MASKED if key in hidden else mask(value) for key, value in config.items()}
    return [mask(value) for value in config] if isinstance(config, list) else config


def mask_overrides(overrides: Iterable[str]) -> list[str]:
    """`overrides` (KEY=VALUE) with secrets masked.

    >>> mask_overrides(["seed=1", "+data.token=abc"])
    ['seed=1', '+data.token=***']
    """
    pairs = [override.partition("=") for override in overrides]
    return [
        f"{key}={MASKED}" if value and holds_secret(key, value) else f"{key}{sign}{value}" for key, sign, value in pairs
    ]


def holds_secret(key: str, value: str) -> bool:
    """Whether what was typed as KEY=VALUE names a secret, in `key` or inside of a `value` that is a mapping.

    >>> holds_secret("+data.login", "{user: me, token: abc}")
    True
    """
    return is_secret(key) or any(map(is_secret, _INNER_KEY.findall(value)))


def masked_keys(config: Any, prefix: str = "") -> list[str]:
    """The dotted keys of `config` whose values were masked when it was saved."""
    if not isinstance(config, Mapping):
        return []
    found = []
    for key, value in config.items():
        path = f"{prefix}{key}"
        found += [path] if value == MASKED and is_secret(path) else masked_keys(value, f"{path}.")
    return found
