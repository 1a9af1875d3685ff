"""Seconds of sweeps whose runs have beginnings in common, which are trained once or, for comparison, in every run.

From process start to end, on two processes of one thread, with three seeds where there are few runs. Stops where a run
ends with other weights in one than in the other. `updates` is the ratio of all updates to those that are trained: what
the seconds can gain at most.
"""

import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import timing
from benchmarks.sweep import seconds

ALONE, TOGETHER = "each run whole", "beginnings shared"
LINEAR = "scheduler.lr_lambda.shape=linear"
NO_WARMUP = "scheduler.lr_lambda.warmup=0"
STARTS = "scheduler.lr_lambda.decay=50%,40%,30%,20%,10%"  # of the decay, from the end
# The trees of shared beginnings of the notes on them, as sweeps.
SWEEPS = {
    "step_size 10, 20, 25, 50": ("scheduler=step", "scheduler.step_size=10,20,25,50"),
    "multistep, five sets of milestones": (
        *("scheduler=multistep", "scheduler.milestones=[30,60,90],[60,80],[50,75],[80],[90]"),
    ),
    "wsd, five starts of the decay": ("scheduler=wsd", LINEAR, NO_WARMUP, STARTS),
    "wsd, five horizons": ("scheduler=wsd", LINEAR, NO_WARMUP, "trainer.epochs=20,40,60,80,100"),
    "wsd, five LRs x five starts": (
        *("scheduler=wsd", LINEAR, NO_WARMUP, STARTS, "optimizer.lr=0.005,0.01,0.02,0.03,0.05", "seed=0"),
    ),
    "wsd, two shapes x four starts": (
        *("scheduler=wsd", "scheduler.lr_lambda.shape=linear,one_minus_sqrt"),
        "scheduler.lr_lambda.decay=50%,30%,20%,10%",
    ),
    "cosine, five horizons": ("scheduler=cosine", "scheduler.T_max=100%", "trainer.epochs=20,40,60,80,100"),
}
COMMON = ("model=cnn", "hydra.launcher.n_jobs=2", "hydra.launcher.threads=1", "sweep=it")


def main(arguments: Sequence[str] | None = None) -> None:
    options = timing.parser("beginnings", __doc__, repeats=3).parse_args(arguments)
    before = timing.machine()
    epochs = 20 if options.quick else 100
    tables = []
    for name, typed in list(SWEEPS.items())[: 1 if options.quick else None]:
        with tempfile.TemporaryDirectory() as place:
            cases = {ALONE: partial(carry_out, Path(place), typed, epochs, share=False)}
            cases |= {TOGETHER: partial(carry_out, Path(place), typed, epochs, share=True)}
            title = f"{name}, {epochs} epochs"
            tables.append(timing.compare(title, cases, base=ALONE, repeats=timing.repeats(options)))
    timing.report("beginnings", tables, options, before)
    print("every run ended with the weights that it has alone, bit for bit")


def carry_out(place: Path, typed: Sequence[str], epochs: int, *, share: bool) -> timing.Measured:
    """The seconds of one sweep, and the ratio of its updates to those that it trains."""
    length = () if any(one.startswith("trainer.epochs") for one in typed) else (f"trainer.epochs={epochs}",)
    seeds = () if "seed=0" in typed else ("seed=0,1,2",)
    folder = place / str(len([*place.iterdir()]))
    folder.mkdir()
    shares = f"hydra.launcher.share={str(share).lower()}"
    taken = seconds([sys.executable, "-m", "lrlab", "-m", *typed, *length, *seeds, *COMMON, shares], folder)
    summaries = {path.parent.name: json.loads(path.read_text()) for path in folder.rglob("summary.json")}
    require_same_weights(place, folder, summaries)
    total = sum(one["updates"] for one in summaries.values())
    not_trained = sum(one.get("begun_with", {"updates": 0})["updates"] for one in summaries.values())
    return {"seconds": taken, "updates": total / (total - not_trained)}


def require_same_weights(place: Path, folder: Path, names: Iterable[str]) -> None:
    """Stop where a run in `folder` ended otherwise than that of its name in the first sweep in `place`."""
    import torch

    for name in names:
        ours, theirs = (
            torch.load(one / "outputs/sweeps/it" / name / "checkpoints/last.pt", weights_only=True)["state"]["model"]
            for one in (folder, place / "0")
        )
        if not all(torch.equal(ours[key], theirs[key]) for key in ours):
            raise SystemExit(f"{name} has other weights than when it was trained whole")


if __name__ == "__main__":
    main()
