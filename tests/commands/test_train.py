"""The command line as a user types it, in processes of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from support import ROOT, history, points, summary

from lrlab.runs.display import tensorboard_hint

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def start(*arguments: str, script: str | None = None, new_session: bool = False) -> subprocess.Popen:
    command = [sys.executable, *(["-m", "lrlab"] if script is None else [script]), *arguments]
    return subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=new_session,
    )


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_a_run_from_the_script_prints_lines_and_no_bar_where_there_is_no_terminal(tmp_path):
    code, out, err = finish(start("scheduler=cosine", "trainer.epochs=3", script=str(ROOT / "train.py")))
    assert (code, err) == (0, "")
    lines = out.splitlines()
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
    while process.poll() is None and not list(tmp_path.glob("outputs/runs/*/history.csv")):
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    assert (code, err) == (143, "")
    resume = out.splitlines()[-1].split()[-1]
    assert "scheduler=cosine,seed=1" in resume
    folder = tmp_path / resume.removeprefix("resume=")
    done = summary(folder)["updates"]
    assert 0 < done < 400 * 23
    assert len(points(folder)["lr"]) == done


def test_a_signal_to_the_whole_process_group_saves_although_it_reaches_the_loader_workers(tmp_path):
    process = start(
        "data=fake",
        "data.cache=none",
        "data.workers=2",
        "data.train_images=4000",
        "trainer.epochs=50",
        new_session=True,
    )
    while process.poll() is None and not list(tmp_path.glob("outputs/runs/*/history.csv")):
        time.sleep(0.1)
    time.sleep(2)
    os.killpg(process.pid, signal.SIGTERM)
    code, out, err = finish(process)
    assert (code, err) == (143, "")
    assert summary(next(tmp_path.glob("outputs/runs/*")))["status"] == "interrupted"
    assert "to go on:" in out
    with pytest.raises(ProcessLookupError):  # no worker is left
        os.killpg(process.pid, 0)


def test_help_says_what_can_be_chosen_and_needs_no_torch():
    process = start("--help")
    code, out, _ = finish(process)
    assert code == 0
    for word in (
        "scheduler: chained, constant, cosine, cosine_bounce",
        "python -m lrlab -m scheduler=step,cosine",
        "python -m lrlab.compare",
        "resume=",
        "25%",
        "optimizer: adam",
    ):
        assert word in out
    probe = (
        "import lrlab.commands.train, sys; print(sorted({'torch', 'torchvision', 'tensorboard'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", probe], env=ENVIRONMENT, text=True).strip() == "[]"


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
def test_a_command_imports_nothing_heavy_that_it_does_not_use(module, arguments, unused, tmp_path):
    probe = (
        f"import runpy, sys; sys.argv = ['lrlab', *{arguments}]\n"
        f"runpy.run_module('{module}', run_name='__main__')\n"
        f"print('imported:', sorted({unused} & sys.modules.keys()))"
    )
    output = subprocess.check_output([sys.executable, "-c", probe], env=ENVIRONMENT, text=True, cwd=tmp_path)
    assert output.splitlines()[-1] == "imported: []"


def test_two_runs_of_the_same_second_never_share_a_folder(tmp_path):
    for process in [start("trainer.epochs=1", "model=linear") for _ in range(2)]:
        assert finish(process)[0] == 0
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


def test_a_sweep_makes_six_folders_and_tensorboard_lists_them_with_the_same_tags(command, tmp_path, tensorboard):
    outcome = command("-m", "scheduler=step,exponential,cosine", "seed=0,1", "trainer.epochs=2")
    assert (outcome.code, outcome.err) == (0, "")
    sweep = next((tmp_path / "outputs" / "sweeps").iterdir())
    names = sorted(
        f"scheduler={scheduler},seed={seed}" for scheduler in ("step", "exponential", "cosine") for seed in (0, 1)
    )
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == names
    assert tensorboard_hint(sweep.relative_to(tmp_path), colour_by="scheduler")[1] in outcome.out

    address = tensorboard(sweep)
    deadline = time.monotonic() + 60
    while len(get(f"{address}/data/runs")) < 6 and time.monotonic() < deadline:
        time.sleep(0.5)
    tags = get(f"{address}/data/plugin/scalars/tags")
    assert sorted(tags) == names
    assert {tuple(sorted(one)) for one in tags.values()} == {
        ("lr", "train/accuracy", "train/loss", "val/accuracy", "val/loss")
    }
    curve = get(f"{address}/data/plugin/scalars/scalars?run={names[0]}&tag=lr")
    assert [step for _, step, _ in curve] == list(range(46))

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
