"""What difference so many seeds can show: `lrlab noise scheduler=cosine`, or `lrlab noise outputs/sweeps/NAME`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrlab.commands.command import Command, overrides_of_runs
from lrlab.comparison import contests, machine, noise, results
from lrlab.comparison.written import shown
from lrlab.config import checks, options
from lrlab.config.arguments import key_of
from lrlab.drawing.terminal import aligned
from lrlab.errors import wrong
from lrlab.runs.machine import write
from lrlab.system import disk, spelling, streams
from lrlab.training.metrics import JUDGE, METRICS, Metric, find, is_of_average, possible_metrics
from lrlab.words import counted

if TYPE_CHECKING:
    from lrlab.comparison.noise import Noise

OUTPUTS = Path("outputs/noise")


@dataclass(frozen=True)
class NoiseSettings:
    """What `noise.NAME=...` on the command line says."""

    seeds: int = options.option(10, options.whole(low=2, example=10), "runs that are trained where no folder is named")
    metric: str | None = options.option(
        None,
        options.OptionKind(str, lambda key, value: None, possible_metrics),  # noqa: ARG005
        "what is judged by; default: what their task is",
        shown=JUDGE,
    )
    comparisons: int = options.option(
        1, options.whole(low=1, example=1), "how many are made together; 6 schedules make 15"
    )
    json: str | None = options.option(None, options.file(".json"), "the same for machines", shown="FILE.json")


def _run(settings: NoiseSettings, typed: list[str]) -> None:
    arguments = overrides_of_runs(typed, several=False)
    folders = [one for one in arguments if Path(one).is_dir() or "=" not in one]
    others = [one for one in arguments if one not in folders]
    if folders and others:
        got = f"{others[0]}, beside a folder of runs"
        raise wrong("noise", got=got, allowed="folders of runs, or settings of new ones", do="one of them")
    paths = [disk.expanded(one, "noise") for one in folders] or [_trained(settings, others)]
    runs = results.find(paths, "noise")
    metric = settings.metric or results.default_metric(runs)
    measured = set(chain.from_iterable(run.summary for run in runs))
    _require_metric(metric, _metrics(runs), averaged=any(map(is_of_average, measured)))
    settings = replace(settings, metric=metric)
    compared = contests.compare(runs, metric=metric)
    found = noise.of(compared, comparisons=settings.comparisons)
    for one in found:
        print("\n".join(_lines(one, settings)))
    if settings.json is not None:
        write(settings.json, "noise", machine.noise(found, metric, settings.comparisons))


def _metrics(runs: Sequence[Any]) -> list[Metric]:
    """What these runs measured; lrlab's table where none says so."""
    own = {one.name: one for one in chain.from_iterable(result.metrics for result in runs)}
    return [*(own or METRICS).values()]


def _require_metric(metric: str, measured: Sequence[Metric], *, averaged: bool) -> None:
    """Raise UserError where `metric` is nothing that runs can be judged by which measure these."""
    possible = possible_metrics(measured)
    checks.choice("noise.metric", metric, [name for name in possible if averaged or not is_of_average(name)])


def _trained(settings: NoiseSettings, overrides: list[str]) -> Path:
    """The folder of a sweep over seeds that is trained now, or gone on with."""
    from lrlab.config import compose, names
    from lrlab.config.prepare import prepare_typed
    from lrlab.sweeps import request as requests

    for override in overrides:
        if key_of(override) in ("seed", "sweep"):
            do = f"noise.seeds={settings.seeds}"
            raise wrong(key_of(override), got=override, allowed="nothing: seeds are counted from 0", do=do)
    folder = OUTPUTS / names.run_name(overrides)
    request = requests.read_request([*overrides, f"seed=range({settings.seeds})", f"hydra.sweep.dir='{folder}'"])
    if settings.metric is not None:  # before anything is trained
        first = request.runs[0]
        run = prepare_typed(compose.compose(first), first)
        _require_metric(settings.metric, run.task.metrics, averaged=run.average is not None)
    requests.carry_out(request)
    return folder


def _lines(found: "Noise", settings: NoiseSettings) -> list[str]:
    """What the seeds of one candidate show."""
    assert settings.metric is not None
    metric, kind = settings.metric, find(settings.metric)
    unit = " points" if kind.is_share else ""

    def amount(value: float) -> str:
        return f"{kind.scale * value:.{kind.decimals}f}"

    deviation = found.deviation
    spread = f"{amount(deviation.value)}{unit}"
    if deviation.is_known:
        spread += f" ({amount(deviation.low)} to {amount(deviation.high)})"
    lines = [
        "",
        f"{found.name}, LR {found.lr:g}: {metric.replace('_', ' ')} {shown(float(found.mean.value), metric)}, "
        f"standard deviation between {counted(len(found.values), 'seed')} {spread}",
    ]
    if not deviation.is_known:
        return [*lines, "the seeds do not differ, or there is one only: nothing is known of the noise"]
    rows = [["seeds each", f"a difference that is found in 4 of 5 comparisons{unit and ',' + unit}"]]
    for one in found.detectable:
        bounds = f"{amount(one.difference.low)} to {amount(one.difference.high)}"
        rows.append([str(one.seeds), f"{amount(one.difference.value)} ({bounds})"])
    return [*lines, *aligned(rows, streams.width())]


COMMAND = Command(
    name="noise",
    title="lrlab noise: how much runs differ by their seeds alone, and what difference so many seeds can show.",
    examples=[
        ("of a configuration", "scheduler=cosine model=mlp"),
        ("of runs", "outputs/sweeps/NAME"),
        ("in six schedules", "outputs/sweeps/NAME noise.comparisons=15"),
    ],
    note=lambda: (
        "Smaller differences than these are mostly not found, and where they are, they are exaggerated.\n"
        f"Besides, it takes what `{spelling.command('train')}` takes."
    ),
    settings=NoiseSettings,
    run=_run,
    trains=True,
    needs_more=True,
)
main, start, read_settings = COMMAND.main, COMMAND.start, COMMAND.read_settings
