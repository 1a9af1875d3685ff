"""A verdict that can be quoted: `lrlab study NAME scheduler=constant,cosine`.

Every candidate is tuned by as many runs, then judged on fresh seeds and on test images that decided nothing.
"""

from dataclasses import asdict, dataclass
from typing import Any

from lrlab.commands.command import Command, overrides_of_runs
from lrlab.comparison.pairs import TESTS
from lrlab.comparison.sequential import MOST_LOOKS
from lrlab.config import options
from lrlab.errors import wrong
from lrlab.system import spelling, streams
from lrlab.training.metrics import METRICS

_USUAL = "accuracy"  # of a classification


def _share(text: str) -> Any:
    """A number, or a share in percent; a text that is neither stays one."""
    try:
        return float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return text


def _require_margin(key: str, value: Any) -> None:
    if not isinstance(value, float) or not 0 < value < float("inf"):
        raise wrong(key, got=value, allowed="a number above 0, such as 0.005 or 0.5%", do=f"{key}=0.5%")


@dataclass(frozen=True)
class StudySettings:
    """What `study.NAME=...` on the command line says."""

    metric: str | None = options.option(
        None,
        options.choice(lambda: list(METRICS)),
        "what decides: by it LRs are chosen on val, and judged on test; default: what the task is judged by",
        shown=_USUAL,
    )
    margin: float | None = options.option(
        None,
        options.OptionKind(_share, _require_margin),
        "a difference that does not matter, such as 0.5%; without one nothing is called equivalent",
        shown="0.5%",
    )
    tuning: int = options.option(12, options.whole(low=1, example=12), "tuning runs a candidate, failed ones included")
    seeds: int = options.option(20, options.whole(low=1, example=20), "judging seeds a candidate, at most")
    looks: int = options.option(4, options.whole(low=1, high=MOST_LOOKS, example=4), "at so many sizes it may stop")
    test: str = options.option(
        "auto",
        options.choice(lambda: ("auto", *TESTS)),
        "welch: no seed in common; paired: the same seeds for all; auto: decided by the tuning runs",
    )
    predict: bool = options.option(
        False, options.flag(), "tune one in full; the LRs of the others follow from its by the bound, and are tried"
    )
    json: str | None = options.option(None, options.file(".json"), "what it found, for machines", shown="FILE.json")
    change: bool = options.option(False, options.flag(), "go on with another protocol, and be exploratory")


def _run(settings: StudySettings, typed: list[str]) -> None:
    from lrlab.comparison import machine, study_text
    from lrlab.runs.machine import write
    from lrlab.sweeps import study
    from lrlab.sweeps.study_request import Declared, read_request

    arguments = overrides_of_runs(typed, several=True)
    name = _name([one for one in arguments if "=" not in one])
    overrides = [one for one in arguments if one != name]
    declared = {key: value for key, value in asdict(settings).items() if key != "json"}
    own = {key: value for key, value in declared.items() if value != getattr(StudySettings(), key)}
    again = [*(one for one in typed if one != name), *(f"study.{key}={_written(value)}" for key, value in own.items())]
    request = read_request(name, again, overrides, Declared(**declared))
    found = study.carry_out(request)
    print("", *study_text.lines(found, streams.width()), sep="\n")
    if settings.json is not None:
        write(settings.json, "study", machine.study(found))
    print(f"its page, a methods paragraph and a LaTeX table: {spelling.command('compare')} {request.folder}")


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _name(words: list[str]) -> str:
    """The study's name, which is the one word that was typed without `=`."""
    if len(words) != 1:
        got = f"{len(words)} names ({', '.join(words)})" if words else "no name"
        do = f"{spelling.command('study')} NAME scheduler=constant,cosine"
        raise wrong("study", got=got, allowed="one name for the study", do=do)
    return words[0]


COMMAND = Command(
    name="study",
    title="lrlab study: tune every candidate, judge all on fresh seeds and on test images, claim what holds.",
    examples=[
        ("two schedules", "NAME scheduler=constant,cosine"),
        ("with LRs to begin with", "NAME scheduler=constant,cosine optimizer.lr=0.01,0.03,0.1"),
        ("what would not matter", "NAME scheduler=cosine,wsd study.margin=0.5%"),
    ],
    note=lambda: (
        f"Besides, it takes what `{spelling.command('sweep')}` takes, but for seeds and folders, which it\n"
        "chooses itself. The same command goes on with a study that was stopped."
    ),
    settings=StudySettings,
    run=_run,
    trains=True,
    needs_more=True,
)
main, start, read_settings = COMMAND.main, COMMAND.start, COMMAND.read_settings
