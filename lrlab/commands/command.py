"""A command with settings of its own, mostly `PREFIX.NAME=VALUE`: how it starts, and what its --help says."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

from lrlab.commands import help
from lrlab.commands.entry import enter
from lrlab.config import options
from lrlab.config.arguments import read, split_off, split_off_named
from lrlab.errors import wrong
from lrlab.system import spelling, streams

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Command(Generic[Settings]):
    """What `lrlab NAME ...` does with what is typed after NAME."""

    name: str  # as it is typed
    title: str  # what it is for
    examples: Sequence[tuple[str, str]]  # what is done, and what is typed for it after the name
    note: Callable[[], str]  # how its --help ends
    settings: type[Settings]  # a dataclass of `options.option`
    run: Callable[[Settings, list[str]], None]  # with its own settings, and all else that was typed
    check: Callable[[Settings], None] | None = None  # raises UserError where its settings do not fit together
    trains: bool = False  # and goes on where nobody reads what it prints
    needs_more: bool = False  # without anything typed it prints its help
    is_bare: bool = False  # its settings are typed as NAME=VALUE, for it takes no others of these names

    @property
    def prefix(self) -> str:
        return "" if self.is_bare else self.name.replace("-", "_")

    def main(self) -> None:
        """`python -m lrlab.NAME`."""
        spelling.say(spelling.DOOR)
        self.start()

    def start(self) -> None:
        """Run the command with what was typed."""
        enter(self._help_or_run)

    def help_text(self) -> str:
        typed = spelling.command(self.name)
        examples = [(what, f"{typed} {more}".rstrip()) for what, more in self.examples]
        return help.page(self.title, examples, options.rows(self.settings, self.prefix), self.note())

    def read_settings(self, typed: Mapping[str, str]) -> Settings:
        """Raises UserError for the first of the `PREFIX.NAME=VALUE` that does not exist or is not allowed."""
        settings = options.read(self.settings, typed, self.prefix)
        if self.check is not None:
            self.check(settings)
        return settings

    def _help_or_run(self, typed: list[str]) -> None:
        if {"--help", "-h"} & set(typed) or (self.needs_more and not typed):
            print(self.help_text())
            return
        if self.is_bare:
            ours, others = split_off_named(typed, options.names(self.settings))
        else:
            ours, others = split_off(typed, self.prefix)
        with streams.forgiving() if self.trains else nullcontext():
            self.run(self.read_settings(ours), others)


def overrides_of_runs(typed: list[str], *, several: bool) -> list[str]:
    """The overrides among `typed`, for a command that takes no option and no resume=; `several` runs where it may."""
    arguments = read(typed)
    got = list(arguments.flags)
    got += ["resume="] if arguments.resume else []
    got += ["-m"] if arguments.multirun and not several else []
    if got:
        raise wrong("command line", got=" ".join(got), allowed="KEY=VALUE", do="see --help")
    return arguments.overrides
