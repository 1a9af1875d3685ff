"""Seconds of sweeps on digits: lrlab's, a script written by hand for the same runs, and Hydra's launchers.

From process start to end. Stops where the final weights of a run are not those of the script, bit for bit; those of
runs that train in one step are other ones in their last bits, so these have only to finish. A cold cache is one in
which nothing is compiled. What takes long is measured on six of the runs, and extrapolated by the seconds that each of
these takes beyond the first three. `--long` adds 108 runs of 200 epochs of the MLP, once, and `--long-cnn` of the CNN.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import by_hand, timing
from benchmarks.processes import environment

HAND, LRLAB, JOBLIB = "by hand, two processes", "lrlab, two at a time", "joblib's launcher, two at a time"
BASIC = "Hydra's basic launcher"
COLD, WARM = "lrlab, many runs in one step, cold cache", "lrlab, many runs in one step, warm cache"
MODELS = ("mlp", "cnn")
WAYS = {
    LRLAB: ("hydra.launcher.n_jobs=2", "hydra.launcher.threads=1"),
    "lrlab, a process for each run": (
        *("hydra.launcher.n_jobs=2", "hydra.launcher.threads=1", "hydra.launcher.reuse=false"),
    ),
    COLD: ("hydra.launcher.n_jobs=2", "hydra.launcher.threads=1", "hydra.launcher.stack=true"),
    WARM: ("hydra.launcher.n_jobs=2", "hydra.launcher.threads=1", "hydra.launcher.stack=true"),
    BASIC: ("hydra/launcher=basic",),
    JOBLIB: ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
}
EXTRAPOLATED = (BASIC, JOBLIB)


@dataclass(frozen=True)
class Size:
    """How many runs, and how long they are."""

    epochs: int
    seeds: int

    @property
    def runs(self) -> int:
        return len(by_hand.SCHEDULERS) * len(by_hand.LRS) * self.seeds


LONG = Size(200, 12)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("sweep", __doc__, repeats=3)
    parser.add_argument("--long", action="store_true", help="108 runs of 200 epochs of the MLP too, about 8 minutes")
    parser.add_argument("--long-cnn", action="store_true", help="108 runs of 200 epochs of the CNN too, half an hour")
    options = parser.parse_args(arguments)
    before = timing.machine()
    size = Size(4, 1) if options.quick else Size(20, 3)
    tables = [measured(model, size, tuple(WAYS), timing.repeats(options)) for model in MODELS]
    tables += [measured("mlp", LONG, (LRLAB, COLD, WARM, BASIC), 1)] if options.long else []
    tables += [measured("cnn", LONG, (LRLAB, WARM), 1)] if options.long_cnn else []
    timing.report("sweep", tables, options, before, extrapolated=EXTRAPOLATED)
    print("every run of lrlab's that trained alone ended with the weights of the script, bit for bit")


def measured(model: str, size: Size, ways: Sequence[str], repeats: int) -> timing.Table:
    """The seconds of the script and of these ways, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        cases = {HAND: partial(carry_out_by_hand, place, model, size)}
        cases |= {name: partial(carry_out, place, model, size, name) for name in ways}
        title = f"{size.runs} runs of {size.epochs} epochs of 21 updates, {model}, 1 thread each"
        return timing.compare(title, cases, base=HAND, repeats=repeats)


def carry_out_by_hand(place: Path, model: str, size: Size) -> timing.Measured:
    """The seconds of the script; its weights stay in `place`."""
    given = json.dumps([model, size.epochs, size.seeds, str(place)])
    return {"seconds": seconds([sys.executable, "-m", "benchmarks.by_hand", given], place)}


def carry_out(place: Path, model: str, size: Size, name: str) -> timing.Measured:
    """The seconds of one sweep by lrlab."""
    if name == JOBLIB and not _has_joblib():
        raise timing.Missing("hydra-joblib-launcher is not installed; pip install -e '.[bench]'")
    if name in EXTRAPOLATED:
        three, six = (_seconds_of(place, model, size, name, runs) for runs in (3, 6))
        return {"seconds": six + (six - three) / 3 * (size.runs - 6)}
    return {"seconds": _seconds_of(place, model, size, name, size.runs)}


def _has_joblib() -> bool:
    with suppress(ModuleNotFoundError):  # where no plugin of Hydra's is installed
        return importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is not None
    return False


def _seconds_of(place: Path, model: str, size: Size, name: str, runs: int) -> float:
    """The seconds of a sweep of so many runs, whose weights are compared with those of the script."""
    few = runs < size.runs
    schedulers = by_hand.SCHEDULERS if not few else by_hand.SCHEDULERS[: runs // 3]
    values = (
        f"scheduler={','.join(schedulers)}",
        f"optimizer.lr={','.join(map(str, by_hand.LRS))}",
        f"seed={'0' if few else ','.join(map(str, range(size.seeds)))}",
    )
    typed = ("-m", *values, f"model={model}", f"trainer.epochs={size.epochs}", *WAYS[name], "sweep=all")
    folder = Path(tempfile.mkdtemp(dir=place))
    cache = folder if name == COLD else place
    taken = seconds([sys.executable, "-m", "lrlab", *typed], folder, TORCHINDUCTOR_CACHE_DIR=str(cache / "compiled"))
    require_same_weights(place, folder)
    return taken


def seconds(command: Sequence[str], folder: Path, **variables: str) -> float:
    """The seconds that a process takes, its start included."""
    started = time.perf_counter()
    around = {**environment(1), **variables}
    subprocess.run(command, cwd=folder, env=around, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def require_same_weights(by_hand_in: Path, folder: Path) -> None:
    """Stop where a run in `folder` ended with other weights than the script's."""
    import torch

    for path in folder.glob("outputs/sweeps/all/**/checkpoints/last.pt"):
        run = path.parents[1]
        config = json.loads((run / "summary.json").read_text())
        job = job_of(run)
        ours = torch.load(path, weights_only=True)["state"]["model"]
        theirs = torch.load(by_hand_in / f"{by_hand.name_of(job)}.pt", weights_only=True)
        values = zip(ours.values(), theirs.values(), strict=True)
        equal = "stacked" in config or all(torch.equal(one, other) for one, other in values)
        if config["status"] != "finished" or not equal:
            raise SystemExit(f"{run.name} has other weights than the same run by hand")


def job_of(run: Path) -> by_hand.Job:
    """The scheduler, LR and seed of the run in a folder."""
    import yaml

    config = yaml.safe_load((run / "config.yaml").read_text())
    scheduler = json.loads((run / "summary.json").read_text())["choices"]["scheduler"]
    return scheduler, config["optimizer"]["lr"], config["seed"]


if __name__ == "__main__":
    main()
