"""The command line as a user types it: what a start imports and says, and what ends it."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from forked import group_lives, start, wait_for
from support import ROOT, UPDATES, history, points, summary

from lrlab.runs.display import tensorboard_hint

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def run_python(*arguments: str) -> str:
    """What `python ARGUMENTS` prints: a start as a user's, which imports everything anew and complains of nothing."""
    done = subprocess.run([sys.executable, *arguments], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.slow
def test_a_run_from_the_script_prints_lines_and_no_bar_where_there_is_no_terminal(tmp_path):
    lines = run_python(str(ROOT / "train.py"), "scheduler=cosine", "trainer.epochs=3").splitlines()
    assert [line.split()[0] for line in lines[:6]] == ["data", "model", "optimizer", "scheduler", "device", "folder"]
    assert [line[:10] for line in lines[6:9]] == ["epoch 1/3 ", "epoch 2/3 ", "epoch 3/3 "]
    assert len({line.index("val loss") for line in lines[6:9]}) == 1
    assert lines[9].startswith("finished: val loss ")
    folder = next((tmp_path / "outputs" / "runs").iterdir())
    assert folder.name.endswith("_scheduler=cosine,epochs=3")
    assert re.match(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_", folder.name)
    assert lines[11].strip() == f"tensorboard --logdir outputs/runs/{folder.name} --samples_per_plugin scalars=1000000"
    assert "epoch 3/3" in (folder / "train.log").read_text()


def test_a_real_signal_saves_and_the_path_that_is_printed_resumes(tmp_path):
    process = start("scheduler=cosine", "seed=1", "trainer.epochs=400")
    wait_for(lambda: list(tmp_path.glob("outputs/runs/*/history.csv")))
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert (process.returncode, err) == (143, "")
    resume = out.splitlines()[-1].split()[-1]
    assert "scheduler=cosine,seed=1" in resume
    folder = tmp_path / resume.removeprefix("resume=")
    done = summary(folder)["updates"]
    assert 0 < done < 400 * UPDATES
    assert len(points(folder)["lr"]) == done


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_to_the_whole_process_group_saves_although_it_reaches_the_loader_workers(tmp_path, number):
    fake = ("data=fake", "data.image_size=8", "data.train_images=640", "model=linear")
    process = start(*fake, "data.cache=none", "data.workers=2", "trainer.epochs=1000")
    wait_for(lambda: list(tmp_path.glob("outputs/runs/*/history.csv")))
    os.killpg(process.pid, number)
    out, err = process.communicate()
    assert (process.returncode, err) == (128 + number, "")
    assert summary(next(tmp_path.glob("outputs/runs/*")))["status"] == "interrupted"
    assert "to go on:" in out
    wait_for(lambda: not group_lives(process.pid))  # no worker is left


def test_help_says_what_can_be_chosen_and_needs_no_torch():
    probe = (
        "import runpy, sys; sys.argv = ['lrlab', '--help']\n"
        "try: runpy.run_module('lrlab', run_name='__main__')\n"
        "except SystemExit as leaving: assert not leaving.code\n"
        "print('imported:', sorted({'torch', 'torchvision', 'tensorboard'} & sys.modules.keys()))"
    )
    out = run_python("-c", probe)
    for word in (
        "scheduler: chained, constant, cosine, cosine_bounce",
        "python -m lrlab -m scheduler=step,cosine",
        "python -m lrlab compare",
        "resume=",
        "25%",
        "optimizer: adadelta, adafactor, adagrad, adam",
    ):
        assert word in out
    assert out.splitlines()[-1] == "imported: []"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "arguments", "unused"),
    [
        (
            "lrlab.preview",
            ["scheduler=cosine"],
            {"torchvision", "tensorboard", "matplotlib", "sklearn", "scipy"},
        ),
        ("lrlab", ["trainer.epochs=1"], {"torchvision", "sklearn", "PIL", "matplotlib", "pandas", "jinja2", "ray"}),
    ],
)
def test_a_command_imports_nothing_heavy_that_it_does_not_use(module, arguments, unused):
    probe = (
        f"import runpy, sys; sys.argv = ['lrlab', *{arguments}]\n"
        f"runpy.run_module('{module}', run_name='__main__')\n"
        f"print('imported:', sorted({unused} & sys.modules.keys()))"
    )
    assert run_python("-c", probe).splitlines()[-1] == "imported: []"


def test_a_world_without_a_rank_is_one_process(command, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    outcome = command("scheduler=nope")
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert outcome.err.startswith("lrlab: error: scheduler: got 'nope'")


def test_two_runs_of_the_same_second_never_share_a_folder(tmp_path):
    for process in [start("trainer.epochs=1", "model=linear") for _ in range(2)]:
        assert process.wait() == 0
    folders = list((tmp_path / "outputs" / "runs").iterdir())
    assert len(folders) == 2
    assert all(len(history(folder)) == 1 for folder in folders)


def get(url: str, body: dict | None = None) -> dict:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@pytest.fixture
def tensorboard():
    """Start TensorBoard on a folder; gives its address."""
    started = []

    def serve(folder: Path) -> str:
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0"]
        process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        started.append(process)
        for line in process.stderr:
            if found := re.search(r"http://localhost:\d+", line):
                return found[0]
        raise AssertionError("TensorBoard ended")

    yield serve
    for process in started:
        process.terminate()
        process.communicate()


SIX = (
    "-m",
    "scheduler=step,exponential,cosine",
    "seed=0,1",
    "trainer.epochs=2",
    "data.batch_size=512",
    "sweep=six",
    "hydra.launcher.threads=1",
)
NAMES = sorted(
    f"scheduler={scheduler},seed={seed}" for scheduler in ("step", "exponential", "cosine") for seed in (0, 1)
)
TAGS = ("lr", "train/accuracy", "train/loss", "val/accuracy", "val/loss")


def test_a_sweep_makes_six_folders_with_the_same_tags(command, tmp_path):
    outcome = command(*SIX)
    assert (outcome.code, outcome.err) == (0, "")
    sweep = tmp_path / "outputs" / "sweeps" / "six"
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == NAMES
    assert tensorboard_hint(sweep.relative_to(tmp_path), colour_by="scheduler")[1] in outcome.out
    for name in NAMES:
        recorded = points(sweep / name)
        assert {*TAGS} <= set(recorded)
        assert [step for step, _ in recorded["lr"]] == list(range(6))


@pytest.mark.slow
def test_tensorboard_lists_the_runs_of_a_sweep_with_the_same_tags_and_settings(command, tmp_path, tensorboard):
    assert command(*SIX).code == 0
    sweep = tmp_path / "outputs" / "sweeps" / "six"
    address = tensorboard(sweep)
    wait_for(lambda: len(get(f"{address}/data/runs")) == 6)
    tags = get(f"{address}/data/plugin/scalars/tags")
    assert sorted(tags) == NAMES
    assert {tuple(sorted(one)) for one in tags.values()} == {TAGS}
    curve = get(f"{address}/data/plugin/scalars/scalars?run={NAMES[0]}&tag=lr")
    assert [step for _, step, _ in curve] == list(range(6))

    # HPARAMS: a column a setting of any run, a row a schedule with its seeds averaged, how each run ended.
    columns = get(f"{address}/data/plugin/hparams/experiment", {"experimentName": ""})["hparamInfos"]
    assert {"scheduler", "scheduler.gamma", "scheduler.step_size", "scheduler.T_max", "optimizer.lr"} <= {
        column["name"] for column in columns
    }
    query = {
        "experimentName": "",
        "sliceSize": 100,
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [{"metric": {"tag": "val/loss", "group": ""}}],
        "aggregationType": "AGGREGATION_AVG",
        "includeMetrics": True,
    }
    groups = get(f"{address}/data/plugin/hparams/session_groups", query)["sessionGroups"]
    assert [len(group["sessions"]) for group in groups] == [2, 2, 2]
    for group in groups:
        assert {session["status"] for session in group["sessions"]} == {"STATUS_SUCCESS"}
        [shown] = [metric["value"] for metric in group["metricValues"] if metric["name"]["tag"] == "val/loss"]
        runs = [f"{group['hparams']['scheduler']},seed={seed}" for seed in (0, 1)]
        losses = [summary(sweep / f"scheduler={run}")["val_loss"] for run in runs]
        assert shown == pytest.approx(sum(losses) / 2, rel=1e-6)
