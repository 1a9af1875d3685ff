"""The cooldowns of a run are the run until their decays begin, and each is what it would be if it was typed."""

import contextlib
import io
import json
import re
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from faults.harness import first_difference
from support import StopAt, history, points, same_weights, summary, train, weights
from sweeps_compared import CNN, SMALL, left, shared_updates

from lrlab.commands import main
from lrlab.errors import Interrupted, UserError
from lrlab.runs import checkpoint
from lrlab.schedules.stable import fall
from lrlab.sweeps import shared

HERE = "hydra.launcher.in_process=true"
WARM = ("scheduler=warmup_constant", "scheduler.lr_lambda.steps=10st")
FOUR = ("trainer.epochs=4",)  # of 25 updates


@pytest.fixture
def cool(enter: Callable[..., Any]) -> Callable[..., Any]:
    """Run `lrlab cooldown ARGUMENTS` in this process."""
    return partial(enter, main.main, "cooldown")


def run_of(*typed: str, name: str = "trunk") -> Path:
    folder = Path(name)
    with contextlib.redirect_stdout(io.StringIO()):
        train(folder, *SMALL, *CNN, *typed)
    return folder


def runs_of(cool: Callable[..., Any], *typed: str, name: str, share: bool = True) -> dict[str, Path]:
    """The folders of the cooldowns of the run in `trunk`, by name."""
    outcome = cool("trunk", *typed, f"sweep={name}", HERE, f"hydra.launcher.share={str(share).lower()}")
    assert outcome.code == 0, outcome.err + outcome.out
    folder = Path("outputs/sweeps") / name
    return {one: folder / one for one in json.loads((folder / "sweep.json").read_text())["runs"]}


def settings(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "config.yaml").read_text())


def require_the_same_alone(cool: Callable[..., Any], *typed: str) -> list[int]:
    """The updates that the cooldowns did not train themselves, where all are what they are alone."""
    together = runs_of(cool, *typed, name="together")
    alone = runs_of(cool, *typed, name="alone", share=False)
    assert together.keys() == alone.keys()
    for name, folder in together.items():
        assert first_difference(left(folder), left(alone[name])) == "", name
    assert shared_updates(alone) == [0] * len(alone)
    return sorted(shared_updates(together))


CASES = [
    ((*WARM, *FOUR), ("at=60%,100%",), [0, 100]),
]
MORE_CASES = [
    (("scheduler=step", "scheduler.step_size=1", "scheduler.gamma=0.5", *FOUR), ("at=3ep", "decay=20st,1ep"), [0, 76]),
    (("scheduler=cosine", *FOUR), ("at=55%,3", "shape=linear,1-sqrt", "floor=0.1"), [0, 56, 56, 76]),
    (("scheduler=onecycle", *FOUR), ("at=60st,80st,99st",), [0, 61, 100]),
    (("scheduler=constant", *FOUR, "trainer.eval_every=2"), ("at=100%,60%", "decay=10st"), [0, 100]),
    ((*WARM, "trainer.steps=90"), ("at=100%,60%",), [0, 55]),
    (
        (
            "scheduler=wsd",
            *FOUR,
            "optimizer=adamw",
            "optimizer.schedule={weight_decay:cosine}",
            "optimizer.groups={head:{params:[head.*],lr_scale:0.5,delay:10%}}",
        ),
        ("at=60%,75%", "decay=rest"),
        [0, 61],
    ),
    ((*WARM, *FOUR, "trainer.average=ema", "trainer.average_start=25%"), ("at=60%,100%",), [0, 0]),
    ((*WARM, *FOUR, "trainer.stop_early=80%"), ("at=60%,100%",), [0, 100]),
    ((*WARM, *FOUR, "trainer.precision=bf16", "optimizer=muon", "optimizer.lr=0.002"), ("at=60%,100%",), [0, 100]),
]


@pytest.mark.parametrize(
    ("typed", "asked", "updates"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE_CASES)],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_every_cooldown_is_what_it_is_alone_and_has_the_lr_of_its_trunk_until_it_decays(cool, typed, asked, updates):
    trunk = run_of(*typed)
    assert require_the_same_alone(cool, *asked) == updates
    before = dict(points(trunk)["lr"])
    for folder in Path("outputs/sweeps/together").glob("at=*"):
        scheduler = settings(folder)["scheduler"]
        at, steps = scheduler["at"], scheduler["steps"]
        lrs = dict(points(folder)["lr"])
        assert sorted(lrs) == list(range(at + steps))
        assert {step: lrs[step] for step in range(at)} == {step: before[step] for step in range(at)}
        for step in range(at, at + steps):
            share = fall((step - at) / steps, shape=scheduler["shape"], floor=scheduler["floor"])
            assert lrs[step] == pytest.approx(lrs[at] * share, rel=1e-6)
        assert summary(folder)["audit"]["equal"]
        assert [one for one in summary(folder)["warnings"] if not one.startswith("trainer.stop_early: ")] == []


@pytest.mark.slow
def test_what_somebody_types_is_the_same_run(cool, command):
    """As a YAML of the user's own, from what the cooldown's config says."""
    run_of(*WARM, *FOUR)
    for name, folder in runs_of(cool, "at=60%", "decay=20%,1ep", name="named").items():
        saved = settings(folder)
        Path("mine/scheduler").mkdir(parents=True, exist_ok=True)
        Path("mine/scheduler/cooldown.yaml").write_text(yaml.safe_dump(saved["scheduler"]))
        length = next(f"trainer.{way}={saved['trainer'][way]}" for way in ("epochs", "steps") if saved["trainer"][way])
        typed = (*SMALL, *CNN, "--config-dir", "mine", "scheduler=cooldown", length, f"hydra.run.dir='typed/{name}'")
        assert command(*typed).code == 0
        named, by_hand = left(folder), left(Path("typed") / name)
        for one in (named, by_hand):
            one["config"] = yaml.safe_load(one["config"])  # in whatever order
            del one["events"]  # whose HPARAMS say what was typed
            del one["last"]["overrides"], one["best"]["overrides"]
        assert first_difference(named, by_hand) == ""


def test_a_cooldown_of_a_warmup_and_a_constant_is_the_wsd_that_somebody_types(cool):
    run_of(*WARM, *FOUR)
    (folder,) = runs_of(cool, "at=60st", "decay=15st", name="named").values()
    wsd = ("scheduler=wsd", "scheduler.lr_lambda.warmup=10st", "scheduler.lr_lambda.decay=15st", "trainer.epochs=3")
    typed = run_of(*wsd, name="typed")
    assert same_weights(weights(folder), weights(typed))
    assert history(folder) == history(typed)


def test_what_came_of_the_cooldowns_stands_in_one_table_beside_their_trunk(cool):
    run_of(*WARM, *FOUR)
    outcome = cool("trunk", "at=60%,100%", "floor=0.1", HERE)
    lines = outcome.out.splitlines()
    first = next(index for index, line in enumerate(lines) if line.split()[:1] == ["cooldown"] and "val loss" in line)
    rows = [line.split() for line in lines[first + 1 : first + 4]]
    assert [row[0] for row in rows] == ["trunk", "at=60%", "at=100%"]
    assert [row[-3] for row in rows] == ["100", "75", "125"]
    places = [Path("trunk"), *(Path("outputs/sweeps/cooldown_trunk") / name for name in ("at=60pct", "at=100pct"))]
    assert [row[-2] for row in rows] == [f"{summary(place)['val_loss']:.4f}" for place in places]
    assert lines[first + 4].startswith("more: ")


@pytest.mark.slow
def test_a_trunk_that_was_extended_since_has_other_moments(cool, command):
    run_of("scheduler=constant", *FOUR)
    assert cool("trunk", "at=40%,100%", HERE).code == 0
    assert command("resume=trunk", "extend=5").code == 0
    refused = cool("trunk", "at=40%,100%", HERE)
    assert refused.code == 1
    where = "outputs/sweeps/cooldown_trunk/at=40pct"
    assert refused.err.startswith(
        f"lrlab: error: at: got 40%, which is update 50 of the run now, and was 40 for {where};"
    )
    assert cool("trunk", "at=40%,100%", HERE, "sweep=another").code == 0


@pytest.mark.slow
def test_a_share_is_one_of_the_whole_run_and_durations_are_those_of_the_trunk(cool):
    run_of("scheduler=step", "scheduler.step_size=3", *FOUR)
    asked = ("at=40%,2,60st,1_000im", "decay=20%")
    assert cool("trunk", *asked, HERE).err.startswith("lrlab: error: at: got 1_000im, which is update 125; allowed: ")
    runs = runs_of(cool, "at=40%,2,60st,500im", "decay=20%", name="named")
    found = {
        name: (settings(one)["scheduler"]["at"], settings(one)["scheduler"]["steps"]) for name, one in runs.items()
    }
    assert found == {"at=40pct": (40, 10), "at=2": (50, 13), "at=60st": (60, 15), "at=500im": (63, 16)}
    assert [settings(one)["trainer"]["epochs"] for one in runs.values()] == [2, None, 3, None]
    rest = runs_of(cool, "at=40%,90%", "decay=rest", name="rest")
    assert [settings(one)["scheduler"]["steps"] for one in rest.values()] == [60, 10]


def test_the_same_command_does_nothing_and_a_further_moment_begins_with_what_is_there(cool):
    run_of(*WARM, *FOUR)
    first = cool("trunk", "at=60%,80%", HERE)
    assert first.code == 0, first.err
    folder = Path("outputs/sweeps/cooldown_trunk")
    lines = first.out.splitlines()
    assert lines[:6] == [
        "sweep      2 runs: at (2)",
        "trunk      trunk: warmup_constant, 4 epochs, 100 updates",
        "cooldown   at=60% decay=20%: 60 updates of the trunk, then 15 of decay, 75 in all",
        "cooldown   at=80% decay=20%: 80 updates of the trunk, then 20 of decay, 100 in all",
        "begins     anew, the beginning is trained once more; the trunk's own is not used: its checkpoint is of update "
        "100, after which no decay begins",
        "each       3 to 4 epochs; one after another in this process",
    ]
    assert "to do      2 runs, 114 of 175 updates (the rest is shared) at most" in first.out
    assert "to confirm it" not in first.out
    assert f"more: lrlab compare {folder}\n" in first.out

    before = {path: path.stat().st_mtime_ns for path in folder.glob("at=*/*")}
    again = cool("trunk", "at=60%,80%", HERE)
    assert "earlier    2 finished and skipped, 0 begun and continued\nto do      0 runs, 0 updates at most" in again.out
    assert {path: path.stat().st_mtime_ns for path in folder.glob("at=*/*")} == before

    more = cool("trunk", "at=60%,70%,80%", "shape=1-sqrt,linear", HERE)
    assert more.code == 0, more.err
    names = json.loads((folder / "sweep.json").read_text())["runs"]
    runs = {name: folder / name for name in names}
    assert dict(zip(names, shared_updates(runs), strict=True)) == {
        "at=60pct": 61,
        "at=60pct,shape=linear": 61,
        "at=70pct,shape=one_minus_sqrt": 71,
        "at=70pct,shape=linear": 71,
        "at=80pct": 0,
        "at=80pct,shape=linear": 61,
    }
    said = json.loads((folder / "sweep.json").read_text())
    assert said["trunk"] == "trunk"
    assert re.search(r"cooldown trunk at=60%,70%,80% shape=1-sqrt,linear \S+ sweep=cooldown_trunk$", said["command"])
    fewer = cool("trunk", "at=60%", HERE)
    assert "which holds runs that this command does not name" in fewer.err


@pytest.mark.slow
def test_a_stopped_trunk_is_cooled_down_from_where_it_was_stopped(cool, monkeypatch):
    with monkeypatch.context() as patch:
        StopAt(patch, signal.SIGINT, 59)
        with pytest.raises(Interrupted):
            run_of(*WARM, *FOUR)
    assert summary(Path("trunk"))["status"] == "interrupted"
    outcome = cool("trunk", "at=55st,70st", "sweep=said", HERE)
    assert (
        "begins     with the 60 updates of the trunk's checkpoint; what begins to decay before them trains its "
        "beginning once more\n" in outcome.out
    )
    assert require_the_same_alone(cool, "at=60st,80%", "decay=10st,20%") == [60, 61, 61, 81]


@pytest.mark.slow
def test_a_cooldown_is_resumed_and_extended_like_any_run(cool, command):
    run_of(*WARM, "trainer.epochs=2")
    (folder,) = runs_of(cool, "at=50%", "decay=1ep", "floor=0.5", name="named").values()
    assert "nothing to do: all 2 epochs of" in command(f"resume={folder}").out
    assert command(f"resume={folder}", "extend=3").code == 0
    lrs = dict(points(folder)["lr"])
    assert len(lrs) == 75
    assert lrs[74] == pytest.approx(0.5 * lrs[25])


@pytest.mark.slow
def test_cooldowns_of_a_run_of_a_sweep_are_named_after_both(cool, command):
    typed = (*SMALL, *CNN, *WARM, "trainer.epochs=2", "seed=0,1", "sweep=both", HERE)
    assert command("-m", *typed).code == 0
    assert cool("outputs/sweeps/both/seed=1", "at=50%", HERE).code == 0
    (folder,) = Path("outputs/sweeps/cooldown_both_seed=1").glob("at=*")
    assert settings(folder)["seed"] == 1
    of_both = cool("outputs/sweeps/both", "at=50%")
    assert re.search(r"run: got outputs/sweeps/both, a folder of 2 runs; allowed: the folder of one run; ", of_both.err)
    assert re.search(r"do: lrlab cooldown '?outputs/sweeps/both/seed=0'? at=80%$", of_both.err.strip())


# The trunk's own checkpoint.


def of_other_threads(trunk: Path) -> None:
    change(trunk, computed_by={"device": "cpu (7 threads)"})


def extended(trunk: Path) -> None:
    change(trunk, progress={"extended_from": 2})


def off_its_plan(trunk: Path) -> None:
    change(trunk, audit={"differing": 1})


def with_another_history(trunk: Path) -> None:
    file = trunk / "history.csv"
    file.write_text(file.read_text().replace("0", "1"))


def with_another_best(trunk: Path) -> None:
    contents = checkpoint.load(trunk / checkpoint.BEST)
    contents["progress"]["best_epoch"] = 7
    checkpoint.save(trunk / checkpoint.BEST, contents)


def without_a_checkpoint(trunk: Path) -> None:
    shutil.rmtree(trunk / "checkpoints")


def change(trunk: Path, **parts: dict[str, Any]) -> None:
    contents = checkpoint.load(trunk / checkpoint.LAST)
    for name, new in parts.items():
        contents[name] = {**contents[name], **new}
    checkpoint.save(trunk / checkpoint.LAST, contents)


@pytest.mark.parametrize(
    ("hurt", "why"),
    [
        (of_other_threads, "it was computed with cpu (7 threads), not cpu (1 thread)"),
        pytest.param(extended, "it was extended, or stopped early", marks=pytest.mark.slow),
        pytest.param(off_its_plan, "its LR was not the planned one", marks=pytest.mark.slow),
        (with_another_history, "trunk/history.csv, which is not as the run wrote it: another program has changed it"),
        pytest.param(
            with_another_best, "its best.pt is of another epoch than its last.pt says", marks=pytest.mark.slow
        ),
        (without_a_checkpoint, "trunk/checkpoints/last.pt, which does not exist"),
    ],
)
def test_what_a_trunk_has_trained_is_not_used_where_it_may_be_something_else(cool, hurt, why):
    trunk = run_of(*WARM, *FOUR)
    hurt(trunk)
    outcome = cool("trunk", "at=100%", "decay=5st,10st", HERE)
    assert outcome.code == 0, outcome.err
    line = f"begins     anew, the beginning is trained once more; the trunk's own is not used: {why}\n"
    assert line in outcome.out
    assert "to do      2 runs, 114 of 215 updates (the rest is shared) at most" in outcome.out


@pytest.mark.slow
def test_the_harness_would_notice_a_loss_or_a_mean_that_is_not_the_trunks(cool, monkeypatch):
    from lrlab.sweeps import trunk

    run_of(*WARM, *FOUR)
    for name, broken in (("_losses", torch.zeros(100)), ("_best", None)):
        with monkeypatch.context() as patch:
            patch.setattr(trunk, name, lambda *_, result=broken: result)
            with pytest.raises((AssertionError, UserError)):
                require_the_same_alone(cool, "at=100%")
        shutil.rmtree("outputs")


def test_a_full_disk_keeps_the_trunks_state_from_being_taken_over(cool, monkeypatch):
    from lrlab.sweeps import trunk

    run_of(*WARM, *FOUR)
    monkeypatch.setattr(trunk, "_CHECKPOINTS_OF_A_RUN", 10**12)
    outcome = cool("trunk", "at=100%", HERE)
    assert outcome.code == 0, outcome.err
    assert "begins     anew, " in outcome.out
    assert not (Path("outputs/sweeps/cooldown_trunk") / shared.FOLDER).exists()


# Mistakes.

DO = "do: lrlab cooldown outputs/runs/NAME at=80%"


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (("at=80%",), f"run: got no run; allowed: the folder of one run; {DO}"),
        (("nowhere", "at=80%"), f"run: got nowhere, which does not exist; allowed: a run's folder; {DO}"),
        (("a/b=c", "at=80%"), f"run: got a/b=c, which does not exist; allowed: a run's folder; {DO}"),
        (("trunk/config.yaml", "at=80%"), "run: got trunk/config.yaml, which is no folder; allowed: a run's folder; "),
        (("trunk/checkpoints", "at=80%"), "run: got trunk/checkpoints, a folder without a config.yaml; allowed: "),
        (("trunk", "trunk/checkpoints", "at=80%"), "run: got 2 runs (trunk, trunk/checkpoints); allowed: the folder "),
        (
            ("trunk",),
            "at: got nothing; allowed: when the decay begins: 40%, 8ep, 500st, or several of them; do: lrlab ",
        ),
        (("trunk", "at="), "at: got ''; allowed: values with commas between them; do: at=VALUE,VALUE"),
        (("trunk", "at=0"), "at: got 0, which is update 0; allowed: update 1 to 50, where the run that is cooled "),
        (("trunk", "at=3ep"), "at: got 3ep, which is update 75; allowed: update 1 to 50, where the run that is "),
        (
            ("trunk", "at=late"),
            "at: got 'late', which is no duration; allowed: a whole number of steps such as 25, or ",
        ),
        (("trunk", "at=0.5%"), "at: got 0.5%, which is 0.25 steps and rounds to zero; allowed: at least half a step, "),
        (("trunk", "at=50%,50%"), "at: got 50% twice; allowed: each value once; do: at=50%"),
        (
            ("trunk", "at=50%,1ep"),
            "at: got 50% and 1ep, which are both 25 updates; allowed: each value once; do: leave",
        ),
        (
            ("trunk", "at=50%", "decay=0"),
            "decay: got 0, which is none; allowed: at least one update, after 25 updates; ",
        ),
        (("trunk", "at=50%", "decay=100%"), "decay: got 100%; allowed: below 100%, a share of the whole run with its "),
        (("trunk", "at=50%", "decay=soon"), "decay: got 'soon', which is no duration; allowed: "),
        (
            ("trunk", "at=100%", "decay=rest"),
            "decay: got rest, with a decay that begins at the end of the run that is ",
        ),
        (
            ("trunk", "at=50%", "decay=20%,6st"),
            "decay: got 20% and 6st, which are both 6 updates; allowed: each value ",
        ),
        (("trunk", "at=50%", "shape=liner"), "shape: got 'liner'; allowed: linear, one_minus_sqrt, cosine, mirror_cos"),
        (
            ("trunk", "at=50%", "shape=linear,linear"),
            "shape: got linear twice; allowed: each value once; do: shape=lin",
        ),
        (("trunk", "at=50%", "shape=1-sqrt,one_minus_sqrt"), "shape: got one_minus_sqrt twice; allowed: each value "),
        (
            ("trunk", "at=50%", "floor=2"),
            "floor: got 2; allowed: 0 to 1, a fraction of the LR where the decay begins; ",
        ),
        (("trunk", "at=50%", "floor=0,0.0"), "floor: got 0.0 twice; allowed: each value once; do: floor=0.0"),
        (("trunk", "at=50%", "floor=low"), "floor: got low; allowed: 0 to 1, a fraction of the LR where the decay "),
        (
            ("trunk", "at=50%", "shape=geometric"),
            "floor: got 0; allowed: above 0 for shape geometric, which never comes",
        ),
        (
            ("trunk", "at=50%", "shapes=linear"),
            "command line: got shapes=linear (did you mean shape?); allowed: at, dec",
        ),
        (
            ("trunk", "at=50%", "seed=1"),
            "seed: got 1, but the run that is cooled down has 0; allowed: its own settings ",
        ),
        (("trunk", "at=50%", "seed=0,1"), "command line: got 'seed=0,1'; allowed: several values of at, decay, shape "),
        (("trunk", "at=50%", "trainer.epochs=9"), "trainer.epochs: got 9, but the run that is cooled down has 2; "),
        (
            ("trunk", "at=50%", "scheduler=step"),
            "scheduler._target_: got torch.optim.lr_scheduler.StepLR, but the run ",
        ),
        (("trunk", "at=50%", "extend=9"), "extend: got extend=9; allowed: hydra.launcher.*, and where the runs read "),
        (
            ("trunk", "at=50%", "hydra/launcher=basic"),
            "hydra/launcher: got hydra/launcher=basic; allowed: hydra.launch",
        ),
        (("trunk", "at=50%", "resume=x"), "command line: got resume=; allowed: KEY=VALUE; do: see --help"),
        (("trunk", "at=50%", "sweep="), "sweep: got ''; allowed: up to 120 letters, digits and any of "),
        (("trunk", "at=50%", "sweep=a/b"), "sweep: got 'a/b'; allowed: up to 120 letters, digits and any of "),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line(cool, typed, line):
    if typed[0].startswith("trunk"):
        shutil.copytree(small_trunk(), "trunk")
    outcome = cool(*typed)
    assert outcome.code == 1
    assert outcome.err.startswith(f"lrlab: error: {line}"), outcome.err
    assert outcome.err.count("\n") == 1
    assert not Path("outputs").exists()


_MADE: dict[tuple[str, ...], Path] = {}


@pytest.fixture(scope="module", autouse=True)
def place_of_trunks(tmp_path_factory):
    _MADE.clear()
    _MADE[()] = tmp_path_factory.mktemp("trunks")


def small_trunk(*typed: str) -> Path:
    """A run of 50 updates, trained once for all tests."""
    if typed not in _MADE or not typed:
        folder = _MADE[()] / f"of{len(_MADE)}-{'-'.join(typed).replace('/', '')}"[:100]
        key = typed or ("scheduler=constant", "scheduler.interval=step")
        if key not in _MADE:
            train(folder, *SMALL, "model=linear", "trainer.epochs=2", *key)
            _MADE[key] = folder
        return _MADE[key]
    return _MADE[typed]


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (
            ("scheduler=plateau",),
            "scheduler: got plateau, which follows a metric, of the run to cool down; allowed: a scheduler whose LR is "
            "known before; do: train one with scheduler=wsd, or another",
        ),
        (("scheduler=greedy",), "scheduler: got greedy, which follows a metric"),
        (("scheduler=warmup_plateau",), "scheduler: got warmup_plateau, which follows a metric"),
        (
            ("scheduler=wsd", "trainer.epochs=null", "trainer.budget=1s"),
            "trainer.budget: got 1s, of the run that is cooled down, whose updates are not known; allowed: ",
        ),
        (
            ("scheduler=wsd", "optimizer.groups.head={params:[head.*],schedule:linear}", "model=mlp"),
            "optimizer.groups.head.schedule: got linear, of the run that is cooled down; allowed: groups that follow ",
        ),
        (
            ("scheduler=step", "optimizer.schedule.weight_decay=cosine"),
            "optimizer.schedule.weight_decay: got a schedule by epochs, of the run that is cooled down update by ",
        ),
        (
            ("scheduler=multistep", "scheduler.milestones=[1]", "scheduler.gamma=0.0"),
            "at: got 75%, where the LR of the run that is cooled down is 0 already; allowed: a moment before that; ",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_run_that_cannot_be_cooled_down_is_told_in_one_line(cool, typed, line):
    outcome = cool(str(small_trunk(*typed)), "at=75%")
    assert outcome.code == 1
    assert outcome.err.startswith(f"lrlab: error: {line}"), outcome.err
    assert not Path("outputs").exists()


def test_a_setting_that_does_not_fit_the_shorter_run_names_it(cool):
    run_of(*WARM, *FOUR, "trainer.average=ema", "trainer.average_start=90%")
    outcome = cool("trunk", "at=20%,90%", HERE)
    assert outcome.err.startswith("lrlab: error: at=20pct: trainer.average: got ema of 0 weights in 25 updates")


def test_a_config_that_is_damaged_or_not_plain_is_refused(cool):
    shutil.copytree(small_trunk(), "trunk")
    config = Path("trunk/config.yaml")
    sound = config.read_text()
    config.write_text("a: [")
    assert cool("trunk", "at=50%").err.startswith("lrlab: error: run: got trunk, whose config.yaml cannot be read")
    config.write_text(sound.replace("lrlab.models.linear", "os.system"))
    assert "model._target_: got os.system, which " in cool("trunk", "at=50%").err
    config.write_text("seed: 0\n")
    assert cool("trunk", "at=50%").code == 1


@pytest.mark.slow
def test_a_scheduler_of_ones_own_is_cooled_down_once_it_is_typed_again(cool, command):
    Path("mine.py").write_text(
        "from torch.optim.lr_scheduler import ExponentialLR\n\nclass Mine(ExponentialLR):\n    pass\n"
    )
    own = "scheduler._target_=mine.Mine"
    typed = (own, "scheduler.gamma=0.9", "trainer.epochs=2", "hydra.run.dir=trunk")
    assert command(*SMALL, *CNN, *typed).code == 0
    assert own in cool("trunk", "at=50%", HERE).err
    outcome = cool("trunk", own, "at=50%", HERE)
    assert outcome.code == 0, outcome.err
    (folder,) = Path("outputs/sweeps/cooldown_trunk").glob("at=*")
    assert settings(folder)["scheduler"]["trunk"]["_target_"] == "mine.Mine"
