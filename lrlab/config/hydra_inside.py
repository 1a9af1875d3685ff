"""What lrlab uses of Hydra's private parts, seen to work with Hydra 1.3.8. Nothing else imports `hydra._internal`."""

import argparse
from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override


def argument_parser() -> argparse.ArgumentParser:
    """Hydra's parser of options: a copy of it would miss what a later Hydra adds."""
    return get_args_parser()


def split_arguments(overrides: Sequence[Override]) -> list[list[str]]:
    """The overrides of every run, as Hydra's basic sweeper multiplies them out.

    Hydra has no public way to ask before it runs, and lrlab checks all runs before the first begins.
    """
    return BasicSweeper.split_arguments(list(overrides), max_batch_size=None)[0]
