"""Which schedule to take where nothing is known of a task: how far each is from the best, over all tasks of the bank.

Reads the runs of the benchmark `forecast` (`forecast_bank/`: twelve schedules, three or five base LRs, four seeds, by
task, model and optimizer). For each setting the final validation loss of a schedule, a mean over its seeds, is taken
relative to the lowest of all schedules: at its own best LR, and at the LR that is best for cosine, at a quarter of that
and at four times that. Shown are geometric means over the settings, at four times medians, for some diverge there; and
how far a mean moves where whole tasks are drawn anew (a standard error, by the bootstrap).
"""

from collections.abc import Sequence

import numpy as np

from benchmarks import forecast_runs as bank
from benchmarks import timing
from benchmarks.timing import Table

DRAWS = 1000
QUARTER, RIGHT, FOUR = bank.SCORED


def main(arguments: Sequence[str] | None = None) -> None:
    options = timing.parser("defaults", __doc__, repeats=1).parse_args(arguments)
    before = timing.machine()
    timing.report("defaults", [over_all_tasks()], options, before, seed=0)


def over_all_tasks() -> Table:
    """A row a schedule, the one that is nearest to the best at its own LR first."""
    settings = {**bank.DEVELOPMENT, **bank.REPORT}
    trained = {name: setting for name, setting in settings.items() if bank.place(name).exists()}
    losses = {name: bank.finals(bank.read(name), "val").mean(axis=-1) for name in trained}  # (schedule, LR)
    own = np.array([relative(loss.min(axis=1)) for loss in losses.values()])  # (setting, schedule)
    at = {
        multiple: np.array([relative(losses[name][:, one.multiples.index(multiple)]) for name, one in trained.items()])
        for multiple in bank.SCORED
    }
    tasks = [name.partition("_")[0] for name in trained]
    rows = []
    for index in np.argsort(excess(own)):
        rows.append(
            {
                "name": bank.SCHEDULES[index],
                "at its own best LR": f"{excess(own)[index]:+.1%}",
                "standard error": f"{error(own[:, index], tasks):.1%}",
                "the best in": f"{int((own[:, index] == 1.0).sum())} of {len(trained)}",
                "at cosine's LR": f"{excess(at[RIGHT])[index]:+.1%}",
                "at a quarter": f"{excess(at[QUARTER])[index]:+.1%}",
                "at four times, median": f"{np.median(at[FOUR][:, index]) - 1:+.0%}",
            }
        )
    left_out = {name: "not trained yet" for name in settings if name not in trained}
    title = f"{len(trained)} settings of {len(set(tasks))} tasks: final validation loss above the best schedule's"
    return Table(title, "", rows, left_out)


def relative(losses: np.ndarray) -> np.ndarray:
    """Each schedule's loss over the lowest."""
    return losses / losses.min()


def excess(ratios: np.ndarray) -> np.ndarray:
    """The geometric mean over the settings of (setting, schedule), less 1.

    >>> float(excess(np.array([[1.0], [1.21]]))[0].round(6))
    0.1
    """
    return np.exp(np.log(ratios).mean(axis=0)) - 1


def error(ratios: np.ndarray, tasks: Sequence[str]) -> float:
    """The standard error of one schedule's excess, where whole tasks are drawn."""
    generator, names = np.random.default_rng(0), sorted(set(tasks))
    places = {name: [place for place, task in enumerate(tasks) if task == name] for name in names}
    found = []
    for _ in range(DRAWS):
        drawn = [place for name in generator.choice(names, len(names)) for place in places[str(name)]]
        found.append(np.exp(np.log(ratios[drawn]).mean()) - 1)
    return float(np.std(found))


if __name__ == "__main__":
    main()
