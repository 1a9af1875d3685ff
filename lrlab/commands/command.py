"""A command with settings of its own, `PREFIX.NAME=VALUE`: how it starts, and what its --help says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrlab.commands import help
from lrlab.commands.entry import enter
from lrlab.config import options
from lrlab.config.arguments import split_off
from lrlab.system import spelling


@dataclass(frozen=True)
class Command:
    """What `lrlab NAME ...` does with what is typed after NAME."""

    name: str  # as it is typed
    title: str  # what it is for
    examples: Sequence[tuple[str, str]]  # what is done, and what is typed for it after the name
    note: Callable[[], str]  # how its --help ends
    settings: type[Any]  # a dataclass of `options.option`
    run: Callable[[Mapping[str, str], list[str]], None]  # with its own settings by name, and all else that was typed

    @property
    def prefix(self) -> str:
        return self.name.replace("-", "_")

    def main(self) -> None:
        """`python -m lrlab.NAME`."""
        spelling.say(spelling.MODULE)
        self.start()

    def start(self) -> None:
        """Run the command with what was typed."""
        enter(self._help_or_run)

    def help_text(self) -> str:
        typed = spelling.command(self.name)
        examples = [(what, f"{typed} {more}".rstrip()) for what, more in self.examples]
        return help.page(self.title, examples, options.rows(self.settings, self.prefix), self.note())

    def _help_or_run(self, typed: list[str]) -> None:
        if {"--help", "-h"} & set(typed):
            print(self.help_text())
        else:
            self.run(*split_off(typed, self.prefix))
