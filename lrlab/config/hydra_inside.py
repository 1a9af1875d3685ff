"""What lrlab uses of Hydra's private parts, and what Hydra's versions call differently. Seen with 1.3.2 to 1.4.0rc3.

Nothing else imports `hydra._internal`.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import hydra
import hydra.utils
import omegaconf
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

# It is lrlab that looks at what configs name, so Hydra 1.4 is told not to; before that it never did.
_UNCHECKED = getattr(hydra.utils, "UNSAFE_DISABLE_EXECUTION_CHECKS", None)
_VERSION = tuple(map(int, hydra.__version__.split(".")[:2]))

AS_OF_VERSION: dict[str, Any] = {} if _VERSION >= (1, 4) else {"version_base": "1.3"}  # 1.4 has no older behaviour
OF_MAIN: dict[str, Any] = AS_OF_VERSION if _UNCHECKED is None else {"execution_whitelist": _UNCHECKED}


def argument_parser() -> argparse.ArgumentParser:
    """Hydra's parser of options: a copy of it would miss what a later Hydra adds."""
    return get_args_parser()


def split_arguments(overrides: Sequence[Override]) -> list[list[str]]:
    """The overrides of every run, as Hydra's basic sweeper multiplies them out.

    Hydra has no public way to ask before it runs, and lrlab checks all runs before the first begins.
    """
    return BasicSweeper.split_arguments(list(overrides), max_batch_size=None)[0]


def register_resolver(name: str, function: Callable[..., Any]) -> None:
    """Let configs say `${name:...}`. OmegaConf 2.4 calls it otherwise, and warns of the earlier name."""
    is_named_anew = tuple(map(int, omegaconf.__version__.split(".")[:2])) >= (2, 4)
    register: Any = OmegaConf.register_resolver if is_named_anew else OmegaConf.register_new_resolver
    register(name, function, replace=True)


def instantiate(node: dict[str, Any], **given: Any) -> Any:
    """What the `_target_` of a node makes."""
    own = {} if _UNCHECKED is None else {"_execution_whitelist_": _UNCHECKED}
    return hydra.utils.instantiate(node, **given, **own)
