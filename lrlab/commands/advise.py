"""From a task to a schedule and its base LR: `lrlab advise data=mnist model=cnn`."""

from dataclasses import dataclass, replace

from lrlab.commands.command import Command, overrides_of_runs
from lrlab.config import options
from lrlab.system import spelling, streams


@dataclass(frozen=True)
class AdviseSettings:
    """What `advise.NAME=...` on the command line says."""

    budget: float = options.option(
        16.0,
        options.number(low=4, example=16),
        "what it may cost, in runs' worth of updates; also budget=16",
        shown="16",
    )
    file: str | None = options.option(
        None, options.file(".png", ".svg", ".pdf"), "a figure of all losses over the base LR", shown="advice.png"
    )
    json: str | None = options.option(None, options.file(".json"), "what it found, for machines", shown="FILE.json")


def _run(settings: AdviseSettings, typed: list[str]) -> None:
    from lrlab.api import advising
    from lrlab.drawing.terminal import aligned
    from lrlab.runs import machine
    from lrlab.sweeps.advice_request import read_request

    short = [one for one in typed if one.startswith("budget=")]
    if short:  # as it may be typed too
        settings = replace(settings, budget=COMMAND.read_settings({"budget": short[-1].partition("=")[2]}).budget)
    overrides = overrides_of_runs([one for one in typed if one not in short], several=True)
    request = read_request(overrides, settings.budget)
    found = advising.carry_out(request, told=lambda line: print(line, flush=True))
    print("", *aligned(found.table(), streams.width()), "", found.sentence, *found.notes, sep="\n")
    if settings.json is not None:
        machine.write(settings.json, "advise", found.facts())
        print(f"wrote {settings.json}")
    if settings.file is not None:
        found.plot().save(settings.file)
        print(f"wrote {settings.file}")


COMMAND = Command(
    name="advise",
    title="lrlab advise: which schedule to take for a task, at which LR, by few runs.",
    examples=[
        ("for the default choice", ""),
        ("for a task of yours", "data=mnist model=cnn"),
        ("for less, of these only", "budget=9 scheduler=linear,wsd"),
    ],
    note=lambda: (
        f"Besides, it takes what `{spelling.command('train')}` takes, but for LRs and seeds, which it chooses.\n"
        "The same command goes on with what was stopped. It is no verdict; those are given by\n"
        f"`{spelling.command('study')}`."
    ),
    settings=AdviseSettings,
    run=_run,
    trains=True,
)
main, start, read_settings = COMMAND.main, COMMAND.start, COMMAND.read_settings
