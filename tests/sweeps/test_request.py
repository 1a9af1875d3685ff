"""Sweeps as they are typed: recipes, any order of words, other launchers and sweepers, and the mistakes."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from support import ROOT, summary, weights

from lrlab.config import compose
from lrlab.config.hydra_inside import register_resolver
from lrlab.config.names import sweep_name
from lrlab.config.prepare import plan_only, prepare
from lrlab.errors import UserError
from lrlab.lr.controls import Controls
from lrlab.sweeps import hydra_launcher, launch, request
from lrlab.sweeps.settings import LauncherSettings

SMALL = ("trainer.epochs=2", "data.batch_size=512", "model=linear")
RECIPES = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."}


def needs(package: str):
    try:
        found = importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # no plugin of Hydra's is installed
        found = False
    return pytest.mark.skipif(not found, reason=f"{package} is not installed")


def test_options_and_overrides_may_stand_in_any_order(command, tmp_path):
    assert command(*SMALL, "-m", "scheduler=step,cosine", "sweep=order").code == 0
    assert names(tmp_path / "outputs" / "sweeps" / "order") == {"scheduler=step", "scheduler=cosine"}


@pytest.mark.slow
def test_a_setting_for_all_runs_may_be_one_that_the_defaults_do_not_have(command, tmp_path):
    typed = (
        "-m",
        *SMALL,
        "scheduler=plateau,greedy",
        "scheduler.factor=0.5",
        "optimizer=adam,adamw",
        "optimizer.eps=1e-6",
    )
    assert command(*typed, "sweep=factor").code == 0
    assert len([*(tmp_path / "outputs" / "sweeps" / "factor").glob("scheduler=*")]) == 4
    outcome = command("-m", *SMALL, "scheduler=plateau,cosine", "scheduler.factor=0.5", "sweep=cosine")
    assert outcome.code == 1
    assert outcome.err.startswith("lrlab: error: scheduler.factor: got a setting that does not exist; allowed: T_max")
    assert not (tmp_path / "outputs" / "sweeps" / "cosine").exists()


@pytest.mark.slow
def test_every_recipe_can_be_carried_out_and_says_its_command():
    assert RECIPES == [
        "horizons",
        "lr_grid",
        "published_2c2d",
        "published_3c3d",
        "published_adadelta_step",
        "published_airbench",
        "published_budgets",
        "published_lenet_inv",
        "published_lenet_onecycle",
        "published_lenet_plateau",
        "published_resnet20",
        "published_schedule_free",
        "schedules_cifar10",
        "schedules_digits",
        "schedules_mnist",
        "schedules_tabular",
        "schedules_text",
        "short_and_long",
        "tutorial",
    ]
    for name in RECIPES:
        text = (ROOT / "conf" / "experiment" / f"{name}.yaml").read_text()
        assert f"#   python train.py -m experiment={name}" in text, name
        assert re.search(r"^# Cost", text, re.MULTILINE), name
        assert re.search(r"^# Gave", text, re.MULTILINE), name
        # What needs no files of its own is checked whole, the others are composed.
        needs_files = re.search(r"override /data: (mnist|fashion_mnist|cifar10)", text)
        size = 32 if "/data: cifar10" in text else 28
        own = ["data=fake", f"data.image_size={size}"] if needs_files else []
        asked = request.read_request([f"experiment={name}", *own])
        assert asked.runs
        assert asked.fixed.count("experiment") == 1


@pytest.mark.slow
def test_the_horizons_of_the_recipe_are_one_wsd_until_they_decay_and_cosines():
    runs = [settings(run) for run in request.read_request(["experiment=horizons", "seed=0", "optimizer.lr=0.1"]).runs]
    assert len(runs) == 10
    controls = {}
    for run in runs:
        plan = prepare(compose.compose(run["all"])).plan
        if run["scheduler.lr_lambda.decay"] == "20%":
            controls[run["trainer.epochs"]] = Controls.of(plan)
        else:
            typed = [f"trainer.epochs={run['trainer.epochs']}", "scheduler=cosine", "scheduler.interval=step"]
            cosine = prepare(compose.compose([*typed, "optimizer.lr=0.1"])).plan
            assert plan.curves["lr"] == pytest.approx(cosine.curves["lr"], abs=1e-12)
    common = [controls["50"].shared_with(controls[epochs]) for epochs in ("10", "20", "30", "40")]
    assert common == [8 * 21 + 1, 16 * 21 + 1, 24 * 21 + 1, 32 * 21 + 1]


def test_the_tutorials_recipe_is_the_tutorial():
    runs = {run["scheduler"]: run for run in map(settings, request.read_request(["experiment=tutorial"]).runs)}
    assert sorted(runs) == ["cosine_bounce", "exponential", "step"]
    configs = {name: compose.resolve(compose.compose(run["all"])) for name, run in runs.items()}
    assert {(one["optimizer"]["lr"], one["trainer"]["epochs"]) for one in configs.values()} == {(0.1, 100)}
    horizon = {name: prepare(compose.compose(run["all"])).plan for name, run in runs.items()}
    assert horizon["step"].curves["lr"][24:26] == (0.1, 0.05)
    assert horizon["exponential"].curves["lr"][1] == pytest.approx(0.095)
    bounce = horizon["cosine_bounce"].curves["lr"]
    assert bounce[20] == pytest.approx(0, abs=1e-9)
    assert bounce[40] == pytest.approx(0.1)


def settings(run: list[str]) -> dict:
    return {**dict(override.split("=", 1) for override in run), "all": run}


def test_the_question_of_schedules_is_asked_with_enough_of_everything():
    runs = [settings(run) for run in request.read_request(["experiment=schedules_digits"]).runs]
    assert len({run["scheduler"] for run in runs}) >= 6
    assert len({run["optimizer.lr"] for run in runs}) >= 3
    assert len({run["seed"] for run in runs}) >= 5
    assert len(runs) == len({run["scheduler"] for run in runs}) * len({run["optimizer.lr"] for run in runs}) * 5


def test_what_is_typed_replaces_what_a_recipe_says():
    runs = [settings(run) for run in request.read_request(["experiment=tutorial", "seed=7", "scheduler=wsd"]).runs]
    assert [(run["seed"], run["scheduler"]) for run in runs] == [("7", "wsd")]
    assert [key for key in runs[0] if key != "all"] == ["scheduler", "seed", "experiment"]


def test_a_sweep_says_first_what_it_varies(command):
    outcome = command("-m", "scheduler=step,cosine", "seed=0,1,2", *SMALL)
    assert outcome.out.splitlines()[0] == "sweep      6 runs: scheduler (2) x seed (3)"


def test_a_recipe_is_a_run_too(command, tmp_path):
    done = command("experiment=tutorial", "trainer.epochs=1", "model=linear")
    assert done.code == 0
    assert "warning: experiment=tutorial is a sweep over scheduler, seed, and this is one run" in done.err
    [folder] = (tmp_path / "outputs" / "runs").iterdir()
    assert yaml.safe_load((folder / "config.yaml").read_text())["optimizer"]["lr"] == 0.1


def test_runs_are_composed_before_the_first_starts(tmp_path, monkeypatch):
    conf = tmp_path / "conf"
    (conf / "scheduler").mkdir(parents=True)
    shutil.copy(ROOT / "conf" / "scheduler" / "step.yaml", conf / "scheduler" / "mine.yaml")
    asked = request.read_request([f"hydra.searchpath=[file://{conf}]", "scheduler=mine", "seed=0,1", *SMALL])
    planned = request.check(asked)
    mine = conf / "scheduler" / "mine.yaml"
    mine.write_text(mine.read_text().replace("gamma: 0.5", "gamma: 0.1"))
    monkeypatch.chdir(tmp_path)
    launch.carry_out(planned, LauncherSettings(threads=1))
    for job in planned.jobs:
        saved = yaml.safe_load((job.folder / "config.yaml").read_text())
        assert saved["scheduler"]["gamma"] == 0.5


def test_the_sweeps_folder_and_its_runs_can_be_named(command, tmp_path):
    typed = ("-m", "seed=0,1", *SMALL, f"hydra.sweep.dir={tmp_path / 'here'}", "hydra.sweep.subdir=${hydra.job.num}")
    assert command(*typed).code == 0
    assert names(tmp_path / "here") == {"0", "1"}
    assert [summary(tmp_path / "here" / name)["status"] for name in "01"] == ["finished"] * 2


@pytest.fixture
def same_second():
    """Every sweep without a name is called as if it began at one moment."""
    register_resolver("lrlab.sweep_name", lambda _name, _now: "now")
    yield
    register_resolver("lrlab.sweep_name", sweep_name)


@pytest.mark.usefixtures("same_second")
def test_sweeps_of_the_same_second_get_folders_of_their_own(command, tmp_path):
    for _ in range(2):
        assert command("-m", "seed=0", *SMALL, "hydra.launcher.in_process=true").code == 0
    assert names(tmp_path / "outputs" / "sweeps") == {"now", "now-2"}


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("sweep=../other", r"sweep: got '\.\./other'; allowed: up to 120 letters, digits .*; do: sweep=lr_study"),
        ("sweep=a/b", r"sweep: got 'a/b'; allowed: "),
        ("sweep=a,b", r"sweep: got several names; allowed: one name for one sweep; do: sweep=lr_study"),
        ("hydra.launcher.n_jobs=0", r"hydra\.launcher\.n_jobs: got 0; allowed: .*>= 1.*; do: "),
        ("hydra.launcher.n_jobs=two", r"hydra\.launcher\.n_jobs: got 'two'; allowed: "),
        ("hydra.launcher.threads=0", r"hydra\.launcher\.threads: got 0; allowed: "),
        ("hydra.launcher.n_job=2", r"hydra\.launcher\.n_job: got .*did you mean hydra\.launcher\.n_jobs"),
        ("hydra.launcher.executor=dask", r"hydra\.launcher\.executor: got 'dask'.*; allowed: processes, ray; do: "),
        (
            "hydra.launcher.in_process=true hydra.launcher.n_jobs=2",
            r"hydra\.launcher\.in_process: got true, with n_jobs set too; allowed: .*; do: ",
        ),
        ("experiment=tutorial,lr_grid", r"experiment: got 'experiment=tutorial,lr_grid'; allowed: one recipe; do: "),
        ("experiment=tutorail", r"experiment: got 'tutorail' \(did you mean tutorial\?\)"),
        ("hydra/launcher=lrlap", r"hydra/launcher: got 'lrlap' \(did you mean lrlab\?\)"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(command, tmp_path, typed, line):
    outcome = command("-m", "seed=0,1", *SMALL, *typed.split())
    assert outcome.code == 1
    assert re.match(rf"lrlab: error: {line}", outcome.err)
    assert outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_single_run_has_no_sweep(command, tmp_path):
    outcome = command("sweep=mine", *SMALL)
    assert outcome.code == 1
    assert re.match(r"lrlab: error: sweep: got mine, for a single run; allowed: .*; do: add -m", outcome.err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_hydras_own_launcher_names_and_continues_as_ours_does(command, tmp_path):
    typed = ("-m", "seed=0,1", *SMALL)
    assert command(*typed, "sweep=ours", "hydra.launcher.threads=1").code == 0
    for _ in range(2):
        assert command(*typed, "sweep=theirs", "hydra/launcher=basic").code == 0
    ours, theirs = (tmp_path / "outputs" / "sweeps" / name for name in ("ours", "theirs"))
    assert names(ours) == names(theirs)
    assert (ours / "results.csv").read_bytes() == (theirs / "results.csv").read_bytes()


@pytest.mark.slow
@needs("hydra_plugins.hydra_joblib_launcher")
def test_joblibs_launcher_trains_the_same(command, tmp_path):
    typed = ("-m", "seed=0,1", *SMALL)
    assert command(*typed, "sweep=ours", "hydra.launcher.threads=1").code == 0
    assert command(*typed, "sweep=theirs", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2").code == 0
    ours, theirs = (tmp_path / "outputs" / "sweeps" / name for name in ("ours", "theirs"))
    for name in ("seed=0", "seed=1"):
        assert weights(ours / name).keys() == weights(theirs / name).keys()
        assert summary(theirs / name)["status"] == "finished"


@needs("hydra_plugins.hydra_optuna_sweeper")
@pytest.mark.filterwarnings("ignore")  # the plugin's own
def test_optuna_minimizes_the_validation_loss_and_goes_on_when_a_run_diverges(command, tmp_path):
    typed = (
        *("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.direction=minimize"),
        *("hydra.sweeper.n_jobs=2", "optimizer.lr=choice(0.01,1e30)", "sweep=search", *SMALL),
    )
    outcome = command(*typed)
    assert outcome.code == 0, outcome.err
    folder = tmp_path / "outputs" / "sweeps" / "search"
    best = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    assert best["best_params"] == {"optimizer.lr": 0.01}
    assert best["best_value"] == summary(folder / "lr=0.01")["val_loss"]


def test_a_failure_in_a_batch_of_another_sweeper_is_raised_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = compose.compose(["seed=0", f"hydra.sweep.dir={tmp_path}", *SMALL])
    monkeypatch.setattr(hydra_launcher, "carry_out", lambda *_: {})
    [result] = hydra_launcher.launch([["seed=0", *SMALL]], [config], first=0, settings={})
    with pytest.raises(UserError, match="not run"):
        _ = result.return_value


def test_the_recipe_of_one_cycle_is_the_published_one():
    """LR 0.01 to 0.1 and back in 10 of 12 epochs, then to nearly 0; momentum 0.95 to 0.8 and back."""
    config = compose.compose(["experiment=published_lenet_onecycle", "data=fake", "data.image_size=28"])
    plan, warnings = plan_only(config, steps_per_epoch=118)
    lrs = plan.per_update()
    assert warnings == []
    assert [lrs[0], max(lrs), lrs[-1]] == pytest.approx([0.01, 0.1, 1e-7], rel=1e-6)
    assert lrs.index(max(lrs)) == pytest.approx(5 * 118, abs=1)
    assert lrs[10 * 118] == pytest.approx(0.01, rel=0.02)
    scheduler = compose.resolve(config)["scheduler"]
    assert (scheduler["base_momentum"], scheduler["max_momentum"]) == (0.8, 0.95)


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("published_lenet_onecycle", {"data.batch_size": 512, "data.mean": None, "optimizer.weight_decay": 0.0005}),
        ("published_lenet_inv", {"trainer.epochs": 85, "optimizer.lr": 0.01, "optimizer.momentum": 0.9}),
        ("published_lenet_plateau", {"scheduler.factor": 0.2, "scheduler.patience": 4, "scheduler.min_lr": 0.001}),
        ("published_schedule_free", {"data.batch_size": 64, "optimizer.lr": 0.0025, "trainer.epochs": 14}),
        ("published_adadelta_step", {"optimizer.lr": 1.0, "scheduler.gamma": 0.7, "scheduler.step_size": 1}),
        ("published_2c2d", {"optimizer.weight_decay": 0.0, "optimizer.momentum": 0.0, "data.mean": None}),
        ("published_3c3d", {"optimizer.weight_decay": 0.002, "optimizer.decay_bias_and_norm": False, "data.shift": 2}),
        ("published_resnet20", {"optimizer.weight_decay": 0.0001, "trainer.steps": 64000, "data.batch_size": 128}),
    ],
)
def test_a_published_recipe_trains_as_its_head_says(recipe, told):
    chosen = OmegaConf.create(compose.resolve(compose.compose([f"experiment={recipe}"])))
    assert {key: OmegaConf.select(chosen, key) for key in told} == told
    assert chosen.data.val == "official"
