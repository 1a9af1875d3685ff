"""The preview shows the LR of every update, of every schedule, without data, model or heavy imports."""

import csv
import struct
import subprocess
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from support import UPDATES

from lrlab.api.lines import line_of
from lrlab.commands import preview, preview_curves
from lrlab.config import compose

TUTORIAL = ("scheduler=step,exponential,cosine_bounce", "optimizer.lr=0.1", "trainer.epochs=100")
BY_HAND = {
    "step": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, step_size=25, gamma=0.5),
    "exponential": lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.95),
    "cosine_bounce": lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0),
}


@pytest.fixture
def show(enter):
    """Run `python -m lrlab.preview ARGUMENTS` in this process."""
    return partial(enter, preview.main)


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_tutorials_figure_is_torchs_classes_stepped_by_hand_bit_for_bit(show):
    done = show(*TUTORIAL, "preview.steps_per_epoch=1", "preview.file=figure.png", "preview.csv=figure.csv")
    assert done.code == 0, done.err
    table = rows("figure.csv")
    assert list(table[0]) == ["step", "epoch", "scheduler=step", "scheduler=exponential", "scheduler=cosine_bounce"]
    assert [row["epoch"] for row in table] == [row["step"] for row in table] == [str(step) for step in range(100)]
    for name, make in BY_HAND.items():
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        scheduler, lrs = make(optimizer), []
        for _ in range(100):
            lrs.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        assert [float(row[f"scheduler={name}"]) for row in table] == lrs
    width, height = struct.unpack(">II", Path("figure.png").read_bytes()[16:24])
    assert width > height > 500


def test_the_table_has_start_peak_end_mean_and_the_updates_at_zero(show):
    lines = show(*TUTORIAL, "preview.steps_per_epoch=1").out.splitlines()
    header = next(line for line in lines if line.startswith("curve"))
    assert header.split() == ["curve", "updates", "start", "peak", "at", "end", "mean", "at", "zero"]
    step = next(line for line in lines if line.startswith("a scheduler=step"))
    assert step.split() == ["a", "scheduler=step", "0..99", "0.1", "0.1", "0", "0.0125", "0.04688", "0"]
    bounce = next(line for line in lines if line.startswith("c scheduler=cosine_bounce"))
    assert bounce.endswith("2 (20..60)")


def test_the_drawing_fits_80_columns_and_every_curve_is_in_it(show):
    drawing = [line for line in show(*TUTORIAL).out.splitlines() if "│" in line or "┤" in line or "└" in line]
    assert len(drawing) == 17
    assert {len(line) for line in drawing} == {80}
    assert {"a", "b", "c"} <= set("".join(line[6:] for line in drawing))


def test_an_epoch_is_as_long_as_the_data_says(show):
    for typed, updates in (([], UPDATES), (["data=mnist"], 422), (["data=cifar10", "data.batch_size=100"], 450)):
        show(*typed, "trainer.epochs=2", "preview.csv=curves.csv")
        assert len(rows("curves.csv")) == 2 * updates
    show("data=digits", "data.drop_last=true", "trainer.epochs=1", "preview.csv=curves.csv")
    assert len(rows("curves.csv")) == 20


def test_data_that_is_not_there_is_not_missed(show):
    assert show("data=cifar10", "data.root=/nowhere", "data.download=false").code == 0
    assert show("data=imagefolder", "data.root=/nowhere", "preview.steps_per_epoch=10").code == 0
    assert "data.root: got /nowhere" in show("data=imagefolder", "data.root=/nowhere").err


@pytest.mark.slow
def test_every_schedule_is_on_the_contact_sheet_a_users_own_among_them(show, tmp_path):
    (tmp_path / "mine" / "scheduler").mkdir(parents=True)
    text = (compose.CONF / "scheduler" / "step.yaml").read_text()
    (tmp_path / "mine" / "scheduler" / "own.yaml").write_text(text)
    files = ("preview.file=all.svg", "preview.csv=all.csv", "preview.steps_per_epoch=3")
    done = show("scheduler=all", "--config-dir", "mine", *files)
    assert done.code == 0, done.err
    texts = {
        "".join(node.itertext()).strip() for node in ElementTree.parse("all.svg").iter() if node.tag.endswith("text")
    }
    names = {"own", *(path.stem for path in (compose.CONF / "scheduler").glob("*.yaml"))}
    assert names <= texts
    assert {f"scheduler={name}" for name in names - {"plateau", "greedy"}} == set(rows("all.csv")[0]) - {
        "step",
        "epoch",
    }
    assert "scheduler=plateau follows a metric" in done.out
    assert "the same LR at every update: scheduler=constant, scheduler=lambda" in done.out
    assert "the same LR at every update: scheduler=own, scheduler=step" in done.out


@pytest.mark.parametrize(("axis", "last"), [("epoch", 10.0), ("step", 40.0), ("percent", 100.0)])
def test_curves_stand_over_epochs_updates_or_percent(axis, last):
    [by_step] = preview_curves.plan_curves(["scheduler=warmup_cosine", "trainer.epochs=10"], 4)
    [by_epoch] = preview_curves.plan_curves(["scheduler=step", "trainer.epochs=10"], 4)
    for curve in (by_step, by_epoch):
        line = line_of(curve.name, curve.plan, axis=axis)
        assert len(line.edges) == len(line.values) + 1
        assert (line.edges[0], line.edges[-1]) == (0, pytest.approx(last))


def test_runs_of_different_lengths_end_where_they_end(show):
    show("trainer.epochs=1,2", "preview.steps_per_epoch=2", "preview.csv=curves.csv")
    table = rows("curves.csv")
    assert [row["epochs=1"] for row in table[2:]] == ["", ""]
    assert all(row["epochs=2"] for row in table)


def test_curves_are_named_as_a_sweep_names_its_runs(command, show, tmp_path):
    typed = ["scheduler=step,constant", "optimizer.lr=0.01,0.02", "trainer.epochs=2", "data.batch_size=720"]
    show(*typed, "preview.csv=curves.csv")
    assert command("-m", *typed).code == 0
    [sweep] = (tmp_path / "outputs" / "sweeps").iterdir()
    runs = {path.name for path in sweep.iterdir() if path.is_dir()}
    assert runs == set(rows("curves.csv")[0]) - {"step", "epoch"}


def test_groups_momentum_and_weight_decay_can_be_shown(show):
    group = ["optimizer.groups.head.lr_scale=0.5", "optimizer.groups.head.delay=1ep", "trainer.epochs=3"]
    fixed = ["preview.steps_per_epoch=2", "preview.csv=c.csv"]
    assert show("scheduler=step", *group, *fixed, "preview.show=lr/head").code == 0
    [name] = set(rows("c.csv")[0]) - {"step", "epoch"}
    assert [float(row[name]) for row in rows("c.csv")] == [0, 0, 0.005, 0.005, 0.0025, 0.0025]
    assert show("scheduler=onecycle", *fixed, "preview.show=momentum").code == 0
    assert float(rows("c.csv")[0]["scheduler=onecycle"]) == 0.95
    assert (
        "preview.show: got lr/tail; allowed: lr, lr/head, momentum, weight_decay"
        in show(*group, "preview.show=lr/tail").err
    )


def test_warnings_are_shown_with_their_curve(show):
    out = show("scheduler=step,cosine", "scheduler.interval=epoch", "trainer.epochs=20").out
    assert "warning" not in out
    out = show("scheduler=cosine", "scheduler.T_max=15,20", "trainer.epochs=20").out
    assert "warning: T_max=15: scheduler: the LR rises at the end" in out
    assert out.count("warning") == 1


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["preview.fle=x.png"], r"preview.fle: got a setting that does not exist (did you mean preview.file?)"),
        (["preview.file=x.jpg"], "preview.file: got x.jpg; allowed: a name that ends with .png, .svg, .pdf"),
        (["preview.csv=x.txt"], "preview.csv: got x.txt; allowed: a name that ends with .csv"),
        (["preview.file=no/x.png"], "preview.file: got no, which is no folder"),
        (["preview.x=epochs"], "preview.x: got 'epochs'; allowed: epoch, step, percent; do: preview.x=epoch"),
        (["preview.log=yes"], "preview.log: got 'yes'; allowed: true or false"),
        (["preview.steps_per_epoch=0"], "preview.steps_per_epoch: got 0; allowed: an integer >= 1"),
        (["preview.steps_per_epoch=2.5"], "preview.steps_per_epoch: got '2.5'; allowed: an integer >= 1"),
        (["scheduler=cosin"], "scheduler: got 'cosin' (did you mean cosine?)"),
        (["scheduler=plateau"], "scheduler: got only schedulers that follow a metric"),
        (["scheduler=step,cosine", "scheduler.T_max=-3"], "scheduler.T_max"),
        (["scheduler=step,cosine", "optimizer.lr=-1"], "optimizer.lr: got -1; allowed: a number > 0"),
        (["~scheduler"], "scheduler: got nothing; allowed: an option of conf/scheduler"),
        (["preview.file="], "preview.file: got ; allowed: a name that ends with .png"),
        (["scheduler=step,step"], "command line: got two curves named scheduler=step"),
        (["data.batch_size=64,128", "preview.csv=c.csv"], "preview.csv: got curves with 11 and 21 updates an epoch"),
        (["optimizer.schedule.weight_decay=warmup"], "weight_decay: got warmup, which needs steps, then; allowed"),
        (["resume=somewhere"], "command line: got resume="),
        (["--cfg", "job"], "command line: got --cfg job; allowed: KEY=VALUE"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(show, tmp_path, typed, message):
    done = show(*typed, *([] if "preview.csv" in str(typed) else ["preview.csv=curves.csv"]))
    assert done.code == 1
    assert message in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_says_what_there_is(show):
    done = show("--help")
    assert done.code == 0
    for field in fields(preview.PreviewSettings):
        assert f"preview.{field.name}=" in done.out


@pytest.mark.slow
def test_it_imports_neither_torchvision_nor_tensorboard_nor_matplotlib_without_need():
    script = (
        "import sys; sys.argv = ['preview', 'scheduler=step,warmup_cosine', 'data=cifar10', 'preview.csv=c.csv']\n"
        "from lrlab import preview; preview.main()\n"
        "print([name for name in ('torchvision', 'tensorboard', 'matplotlib', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_what_cannot_be_shown_with_these_settings_is_left_out_of_all(show):
    done = show("scheduler=all", "trainer.epochs=1", "preview.steps_per_epoch=30", "preview.file=all.svg")
    assert done.code == 0, done.err
    assert "scheduler=chained: scheduler.schedulers.start.total_iters: got 20%, which is 0.2 epochs" in done.out
    assert "scheduler=warmup_cosine" in done.out
    assert "not with these" in Path("all.svg").read_text()


def test_a_file_that_cannot_be_written_is_one_line(show):
    done = show("scheduler=step", "preview.csv=/proc/curves.csv")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "file: got /proc/curves.csv" in done.err


def test_groups_may_be_typed_as_one_mapping_and_beside_a_swept_optimizer(show):
    typed = ["preview.show=lr/head", "preview.csv=c.csv", "preview.steps_per_epoch=1", "trainer.epochs=4"]
    assert show("optimizer.groups={head:{lr_scale:3}}", *typed).code == 0
    assert show("optimizer=sgd,adam", "optimizer.groups.head.lr_scale=10", *typed).code == 0
    assert [float(rows("c.csv")[0][f"optimizer={name}"]) for name in ("sgd", "adam")] == pytest.approx([0.2, 0.01])


def test_a_recipe_of_many_runs_says_in_what_they_differ(show):
    told = "(the recipe trains many runs, which differ in trainer.epochs, scheduler.lr_lambda.decay, optimizer.lr;"
    assert told in show("experiment=horizons").out
    typed = ("trainer.epochs=10,20", "scheduler.lr_lambda.decay=20%,50%", "optimizer.lr=0.1,0.2")
    assert "the recipe" not in show("experiment=horizons", *typed).out
