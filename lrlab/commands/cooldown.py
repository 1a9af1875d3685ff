"""A trunk is trained once and ended from several moments on: `lrlab cooldown outputs/runs/NAME at=40%,60%,80%`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lrlab.commands.command import Command, overrides_of_runs
from lrlab.config import options
from lrlab.errors import wrong
from lrlab.system import spelling


def _shapes() -> Sequence[str]:
    from lrlab.sweeps.cooldowns import SHAPES

    return SHAPES


@dataclass(frozen=True)
class CooldownSettings:
    """What `NAME=...` on the command line says; every one may be several values, with commas between them."""

    at: str | None = options.option(
        None,
        options.text(),
        "when the decay begins: a share of RUN, epochs (8ep) or updates (500st)",
        shown="40%,60%,80%",
    )
    decay: str = options.option(
        "20%",
        options.text(),
        "how long it is, and then the run ends: a share of the whole run, decay included (20% after 80 epochs are 20 "
        "epochs), or epochs, updates, or rest: up to where RUN ends",
    )
    shape: str = options.option(
        "one_minus_sqrt",
        options.OptionKind(str, lambda key, value: None, _shapes),  # noqa: ARG005
        "1-sqrt for short, linear, cosine, mirror_cosine, square, geometric, inverse_linear",
    )
    floor: str = options.option("0", options.text(), "where it ends, a fraction of the LR where it begins")


def _run(settings: CooldownSettings, typed: list[str]) -> None:
    from lrlab.sweeps import cooldowns
    from lrlab.sweeps import request as requests

    arguments = overrides_of_runs(typed, several=False)
    run = _run_among(arguments)
    others = [one for one in arguments if one != run]
    cooldowns.refuse_unknown(others, options.names(CooldownSettings))
    own = [f"{name}={value}" for name, value in vars(settings).items() if value is not None]
    given = [one for one in own if one.partition("=")[2] != str(getattr(CooldownSettings(), one.partition("=")[0]))]
    requests.carry_out(
        cooldowns.read_request(
            run,
            others,
            at=settings.at,
            decay=settings.decay,
            shape=settings.shape,
            floor=settings.floor,
            typed=[run, *given, *others],
        )
    )


def _run_among(arguments: Sequence[str]) -> str:
    """The folder among what was typed: a word without `=`, or one that is a path."""
    paths = [one for one in arguments if "=" not in one or _is_path(one)]
    if len(paths) != 1:
        got = f"{len(paths)} runs ({', '.join(paths)})" if paths else "no run"
        do = f"{spelling.command('cooldown')} outputs/runs/NAME at=80%"
        raise wrong("run", got=got, allowed="the folder of one run", do=do)
    return paths[0]


def _is_path(argument: str) -> bool:
    """Whether something with `=` in it is no setting: the folders of runs are named after what was typed."""
    key = argument.partition("=")[0]
    return Path(argument).is_dir() or ("/" in key and not key.startswith("hydra/"))


COMMAND = Command(
    name="cooldown",
    title="lrlab cooldown: a run that was begun, ended by a decay of its LR, from several moments on.",
    examples=[
        ("from three moments", "RUN at=40%,60%,80%"),
        ("in two shapes", "RUN at=80% shape=linear,1-sqrt"),
        ("ten epochs each", "RUN at=20ep,40ep decay=10ep"),
    ],
    note=lambda: (
        "RUN is the folder of a run, finished or not, and what its cooldowns have in common is\n"
        f"trained once. It is a sweep like any other: `{spelling.command('compare')}` reads it, and the same\n"
        "command goes on with it. Besides, it takes sweep=NAME, hydra.launcher.*, and where the runs read and\n"
        "compute (data.root, trainer.device)."
    ),
    settings=CooldownSettings,
    run=_run,
    trains=True,
    needs_more=True,
    is_bare=True,
)
main, start, read_settings = COMMAND.main, COMMAND.start, COMMAND.read_settings
