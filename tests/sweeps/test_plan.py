"""A sweep runs to its end whatever becomes of its runs, goes on where it stopped, and never mixes."""

import errno
import json
import os
import random
import re
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from forked import group_lives, start, wait_for
from support import FAULTY, history, points, same_weights, summary, weights
from support import job as made_up

from lrlab.comparison import results
from lrlab.errors import UserError
from lrlab.sweeps import job, plan
from lrlab.sweeps.job import Job, _stopped

SMALL = ("trainer.epochs=3", "data.batch_size=256", "model=linear", "hydra.launcher.threads=1")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."}


def statuses(folder: Path) -> dict[str, str]:
    return {name: summary(folder / name)["status"] for name in sorted(names(folder))}


def written(folder: Path) -> dict[str, int]:
    """When each run's summary was written, to see which were touched."""
    return {name: (folder / name / "summary.json").stat().st_mtime_ns for name in names(folder)}


def epochs_so_far(sweep: Path) -> dict[str, int]:
    """How many epochs each run of a sweep has in its history."""
    return {path.parent.name: len(path.read_text().splitlines()) - 1 for path in sweep.glob("*/history.csv")}


def trains(sweep: Path, before: dict[str, int], epochs: int) -> bool:
    """Whether a run that has not ended has trained for some more epochs than it had before."""
    return any(
        count >= before.get(name, 0) + epochs and results.read_result(sweep / name, "").status == "running"
        for name, count in epochs_so_far(sweep).items()
    )


def kill_after(sweep: Path, epochs: int, typed: Sequence[str]) -> None:
    """Start a sweep, or go on with it, and kill it where one of its runs has trained for some more epochs."""
    before = epochs_so_far(sweep)
    process = start(*typed)
    wait_for(lambda: trains(sweep, before, epochs) or process.poll() is not None)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_four_ways_to_fail_leave_the_others_alone_and_the_same_command_runs_just_those(command, tmp_path):
    (tmp_path / "faulty.py").write_text(FAULTY)
    typed = (
        *("-m", "model._target_=faulty.Net", "model.how=sound,raising,leaving,killed,diverging,fine"),
        *("trainer.epochs=3", "data.batch_size=256", "sweep=faults", "hydra.launcher.threads=1"),
        "hydra.launcher.retries=0",
    )
    outcome = command(*typed)
    folder = tmp_path / "outputs" / "sweeps" / "faults"
    assert outcome.code == 1
    assert statuses(folder) == {
        "how=sound": "finished",
        "how=raising": "failed",
        "how=leaving": "failed",
        "how=killed": "killed",
        "how=diverging": "diverged",
        "how=fine": "finished",
    }
    told = {
        "how=raising": ("failed", "ValueError: a bug of the user's"),
        "how=leaving": ("failed", "the run called sys.exit(3)"),
        "how=killed": ("killed", "its process was killed by SIGKILL"),
        "how=diverging": ("diverged", "train/loss: got nan at update"),
    }
    for name, (state, cause) in told.items():
        [line] = [line for line in outcome.out.splitlines() if line.startswith("[") and f" {name} " in line]
        assert state in line
        said = outcome.out.split(line)[1].splitlines()[1:3]
        assert cause in said[0]
        assert said[1] == f"  folder: outputs/sweeps/faults/{name}"
        assert f"{name} {state}" in outcome.err
        assert cause.partition(": got")[0] in summary(folder / name)["error"]
    assert outcome.err.count("\n") == 1
    assert "got 4 of 6 runs that did not finish" in outcome.err
    assert f"python train.py {' '.join(typed[:3])}" in outcome.err.replace("'", "")
    assert "raise ValueError" in (folder / "how=raising" / "train.log").read_text()

    before = written(folder)
    (tmp_path / "mended").touch()
    again = command(*typed)
    assert (again.code, again.err) == (0, "")
    assert "2 finished and skipped, 4 begun and continued" in again.out
    assert set(statuses(folder).values()) == {"finished"}
    changed = {name for name, when in written(folder).items() if when != before[name]}
    assert changed == {*told}
    # What failed after its first epoch has gone on from there, and ends as the sound ones, bit for bit.
    for name in told:
        assert same_weights(weights(folder / name), weights(folder / "how=sound"))
        assert history(folder / name) == history(folder / "how=sound")
        assert points(folder / name) == points(folder / "how=sound")


@pytest.mark.slow
def test_a_sweep_killed_at_random_moments_ends_with_the_same_results(command, tmp_path):
    typed = ("-m", "scheduler=step,plateau,onecycle", "seed=0,1", *SMALL[1:], "trainer.epochs=150")
    assert command(*typed, "sweep=whole").code == 0
    sweeps = tmp_path / "outputs" / "sweeps"
    moments, under_way = random.Random(5), 0
    for _ in range(3):
        more = (*typed, "sweep=killed", f"hydra.launcher.n_jobs={moments.choice([1, 2])}")
        kill_after(sweeps / "killed", moments.randint(1, 60), more)
        under_way += "running" in {results.read_result(path, "").status for path in sweeps.glob("killed/*/")}
    assert under_way >= 2, "the kills came too late to prove anything"
    final = command(*typed, "sweep=killed")
    assert (final.code, final.err) == (0, "")
    assert (sweeps / "killed" / "results.csv").read_bytes() == (sweeps / "whole" / "results.csv").read_bytes()
    for name in names(sweeps / "whole"):
        assert same_weights(weights(sweeps / "killed" / name), weights(sweeps / "whole" / name))
        assert points(sweeps / "killed" / name) == points(sweeps / "whole" / name)


@pytest.mark.parametrize(
    ("number", "to_all"),
    [
        pytest.param(signal.SIGINT, True, id="Ctrl-C, to the process group"),
        pytest.param(signal.SIGTERM, False, id="SIGTERM, to the sweep", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, True, id="SIGHUP, to the process group", marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, False, id="SIGUSR1, to the sweep", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, False, id="SIGINT, to the sweep", marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR2, True, id="SIGUSR2, to the process group", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, True, id="SIGTERM, to the process group", marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_what_is_under_way_leaves_no_process_and_says_how_to_go_on(tmp_path, number, to_all):
    process = start("-m", "seed=0,1,2", "trainer.epochs=400", "hydra.launcher.n_jobs=2")
    wait_for(lambda: len(list(tmp_path.glob("outputs/sweeps/*/*/history.csv"))) == 2)
    (os.killpg if to_all else os.kill)(process.pid, number)
    out, err = process.communicate()
    assert (process.returncode, err) == (128 + number, "")
    wait_for(lambda: not group_lives(process.pid))
    [folder] = (tmp_path / "outputs" / "sweeps").iterdir()
    assert statuses(folder) == {"seed=0": "interrupted", "seed=1": "interrupted"}
    assert f"  python train.py -m seed=0,1,2 trainer.epochs=400 hydra.launcher.n_jobs=2 sweep={folder.name}" in out
    for name in names(folder):
        assert len(points(folder / name)["lr"]) == summary(folder / name)["updates"] > 0


@pytest.mark.slow
def test_runs_end_when_the_sweep_that_started_them_is_gone(tmp_path):
    process = start("-m", "seed=0,1", "trainer.epochs=2000")
    wait_for(lambda: len(list(tmp_path.glob("outputs/sweeps/*/*/history.csv"))) == 1)
    process.kill()
    process.communicate()
    wait_for(lambda: not group_lives(process.pid))
    [file] = tmp_path.glob("outputs/sweeps/*/*/summary.json")
    assert json.loads(file.read_text())["status"] == "interrupted"


def test_two_at_a_time_give_the_same_bits_as_one(command, tmp_path):
    typed = ("-m", "scheduler=step,cosine", "seed=0,1", "trainer.epochs=2", "hydra.launcher.threads=1")
    for n_jobs in (1, 2):
        assert command(*typed, f"hydra.launcher.n_jobs={n_jobs}", f"sweep=n{n_jobs}").code == 0
    one, two = (tmp_path / "outputs" / "sweeps" / name for name in ("n1", "n2"))
    assert (one / "results.csv").read_bytes() == (two / "results.csv").read_bytes()
    for name in names(one):
        assert same_weights(weights(one / name), weights(two / name))


def test_a_sweep_in_this_process_gives_the_same_and_stops_at_a_signal(command, tmp_path, monkeypatch):
    typed = ("-m", "seed=0,1", *SMALL)
    assert command(*typed, "sweep=apart").code == 0
    assert command(*typed, "sweep=here", "hydra.launcher.in_process=true").code == 0
    apart, here = (tmp_path / "outputs" / "sweeps" / name for name in ("apart", "here"))
    assert (apart / "results.csv").read_bytes() == (here / "results.csv").read_bytes()

    original = job.Reporter.show

    def show(reporter, event):
        original(reporter, event)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(job.Reporter, "show", show)
    stopped = command(*typed, "sweep=stopped", "hydra.launcher.in_process=true")
    assert stopped.code == 130
    assert statuses(tmp_path / "outputs" / "sweeps" / "stopped") == {"seed=0": "interrupted"}


def test_the_first_failure_stops_the_sweep_where_that_is_wanted(command, tmp_path):
    typed = ("-m", "optimizer.lr=1e30,0.05", "model=mlp", "trainer.epochs=1", "sweep=strict")
    outcome = command(*typed, "hydra.launcher.fail_fast=true")
    assert outcome.code == 1
    assert "lr=1e+30 diverged, lr=0.05 not run" in outcome.err
    assert names(tmp_path / "outputs" / "sweeps" / "strict") == {"lr=1e+30"}


def test_a_setting_that_cannot_be_printed_is_that_setting_when_the_sweep_goes_on(command, tmp_path):
    (tmp_path / "labelled.py").write_text(
        "from lrlab.data.datasets import fake\n"
        "def images(label):\n"
        "    return fake(train_images=60, val_images=20, image_size=8, channels=3, num_classes=4)\n"
    )
    typed = (
        "-m",
        "data._target_=labelled.images",
        "data.shift=0",
        "+data.label='a\tb'",
        "model=mlp",
        "trainer.epochs=1",
    )
    for _ in range(2):
        outcome = command(*typed, "seed=0", "sweep=s", "hydra.launcher.in_process=true")
        assert (outcome.code, outcome.err) == (0, "")


def test_a_finished_sweep_is_left_as_it_is(command, tmp_path):
    typed = ("-m", "seed=0,1", *SMALL, "sweep=twice")
    assert command(*typed).code == 0
    before = written(tmp_path / "outputs" / "sweeps" / "twice")
    again = command(*typed)
    assert (again.code, again.err) == (0, "")
    assert "2 finished and skipped, 0 begun" in again.out
    assert written(tmp_path / "outputs" / "sweeps" / "twice") == before


def test_more_values_add_runs_and_a_run_keeps_its_folder_whatever_it_would_be_called_now(command, tmp_path):
    assert command("-m", "scheduler=step,cosine", *SMALL, "sweep=grown").code == 0
    folder = tmp_path / "outputs" / "sweeps" / "grown"
    before = written(folder)
    outcome = command("-m", "scheduler=step,cosine", "seed=0,1", *SMALL, "sweep=grown")
    assert outcome.code == 0
    assert names(folder) == {"scheduler=step", "scheduler=cosine", "scheduler=step,seed=1", "scheduler=cosine,seed=1"}
    assert {name: when for name, when in written(folder).items() if name in before} == before


def test_a_changed_setting_and_a_smaller_sweep_are_refused_and_nothing_is_touched(command, tmp_path):
    typed = ("-m", "seed=0,1", *SMALL, "sweep=study")
    assert command(*typed).code == 0
    folder = tmp_path / "outputs" / "sweeps" / "study"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    changed = command(*typed, "optimizer.lr=0.5")
    assert changed.code == 1
    assert re.search(
        r"optimizer\.lr: got 0\.5, but outputs/sweeps/study/seed=0 holds a run with 0\.02; allowed: .*; do: another",
        changed.err,
    )
    smaller = command("-m", "seed=1", *SMALL, "sweep=study")
    assert smaller.code == 1
    assert re.search(r"sweep: got .*study, which holds runs that this command does not name \(seed=0\)", smaller.err)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_run_that_left_no_whole_checkpoint_starts_anew(command, tmp_path):
    typed = ("-m", "seed=0,1", *SMALL, "sweep=torn")
    assert command(*typed).code == 0
    folder = tmp_path / "outputs" / "sweeps" / "torn"
    text = (folder / "results.csv").read_text()
    for name, damage in (("seed=0", b"not a checkpoint"), ("seed=1", None)):
        checkpoint = folder / name / "checkpoints" / "last.pt"
        checkpoint.unlink() if damage is None else checkpoint.write_bytes(damage)
        said = summary(folder / name)
        (folder / name / "summary.json").write_text(json.dumps({**said, "status": "running"}))
    assert command(*typed).code == 0
    assert (folder / "results.csv").read_text() == text
    assert len(points(folder / "seed=0")["lr"]) == summary(folder / "seed=0")["updates"]
    assert "which cannot be read" in (folder / "seed=0" / "train.log").read_text()


def running_again(folder: Path) -> dict[str, bytes]:
    """Let a run be as if it had been killed; returns its files."""
    (folder / "summary.json").write_text(json.dumps({**summary(folder), "status": "running"}))
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "train.log"}


def test_what_is_given_up_is_put_aside_and_never_deleted(command, tmp_path):
    typed = ("-m", "seed=0,1", *SMALL, "sweep=torn", "hydra.launcher.in_process=true")
    assert command(*typed).code == 0
    run = tmp_path / "outputs" / "sweeps" / "torn" / "seed=0"
    sound = weights(run)
    for name in ("last.pt", "previous.pt"):
        (run / "checkpoints" / name).write_bytes(b"not a checkpoint")
    before = running_again(run)
    (run / "events.out.tfevents.1.mine").write_bytes(b"somebody's")
    assert command(*typed).code == 0
    assert same_weights(weights(run), sound)
    assert (run / "events.out.tfevents.1.mine").read_bytes() == b"somebody's"
    aside = {path.name: path.read_bytes() for path in (run / "given_up").iterdir()}
    assert {name.replace("tfevents", "events") + ".given_up" for name in before} == aside.keys()
    assert sorted(aside.values()) == sorted(before.values())
    assert len(results.find([run.parent])) == 2


FLEETING = [
    errno.EIO,
    *(pytest.param(one, marks=pytest.mark.slow) for one in (errno.EMFILE, errno.ENOMEM, errno.ESTALE)),
]


@pytest.mark.parametrize("number", [*FLEETING, errno.EACCES], ids=os.strerror)
def test_a_passing_error_in_reading_a_checkpoint_deletes_nothing(command, tmp_path, monkeypatch, number):
    typed = ("-m", "seed=0,1", *SMALL, "sweep=unread", "hydra.launcher.in_process=true")
    assert command(*typed).code == 0
    run = tmp_path / "outputs" / "sweeps" / "unread" / "seed=0"
    before = running_again(run)
    opened = Path.open

    def failing(self: Path, *args, **kwargs):
        if self.suffix == ".pt":
            raise OSError(number, os.strerror(number), str(self))
        return opened(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing)
        refused = command(*typed)
    assert refused.code == 1
    assert f"last.pt, which cannot be read now ({os.strerror(number)})" in refused.out
    after = {path.name: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "train.log"}
    before.pop("summary.json")  # which says that the run failed, and why
    assert {name: after[name] for name in before} == before
    assert command(*typed).code == 0
    assert summary(run)["status"] == "finished"


def test_an_empty_name_is_no_name_of_a_sweep(command, tmp_path):
    refused = command("-m", "seed=0,1", "sweep=")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert refused.err.startswith("lrlab: error: sweep: got ''; allowed: up to 120 letters")
    assert not (tmp_path / "outputs").exists()


def test_a_sweep_that_was_a_moment_faster_is_not_mixed_with(command, tmp_path, monkeypatch):
    from lrlab.sweeps import request

    typed = ("-m", *SMALL, "hydra.launcher.in_process=true", "sweep=study")
    reserve = request.reserve

    def late(asked):
        monkeypatch.setattr(request, "reserve", reserve)
        assert command(*typed, "seed=0,1").code == 0  # all of another sweep between the check and the folder
        return reserve(asked)

    monkeypatch.setattr(request, "reserve", late)
    assert command(*typed, "seed=0,1").code == 0
    assert names(tmp_path / "outputs" / "sweeps" / "study") == {"seed=0", "seed=1"}


@pytest.mark.parametrize(("retries", "number"), [(3, "SIGKILL"), (3, "SIGTERM"), (3, "SIGRTMIN"), (0, "SIGKILL")])
def test_a_run_whose_process_is_killed_goes_on_in_another_one_and_this_is_counted(command, tmp_path, retries, number):
    once = (
        "            if Path('killed').exists():\n                return logits\n            Path('killed').touch()\n"
    )
    killed = '        if self.how == "killed":\n'
    (tmp_path / "faulty.py").write_text(FAULTY.replace(killed, killed + once).replace("SIGKILL", number))
    typed = ("-m", "model._target_=faulty.Net", "model.how=sound,killed", "trainer.epochs=3", "data.batch_size=256")
    outcome = command(*typed, "sweep=again", "hydra.launcher.threads=1", f"hydra.launcher.retries={retries}")
    folder = tmp_path / "outputs" / "sweeps" / "again"
    if not retries:
        assert (outcome.code, statuses(folder)["how=killed"]) == (1, "killed")
        return
    assert (outcome.code, outcome.err) == (0, "")
    how = {
        "SIGKILL": "its process was killed by SIGKILL, as a system out of memory does",
        "SIGTERM": "stopped by a signal",
    }
    assert f"how=killed: {how.get(number, 'its process was killed by SIGRTMIN')}" in outcome.out
    assert "it goes on from its last checkpoint (restart 1 of 3)" in outcome.out
    [line] = [line for line in outcome.out.splitlines() if "finished" in line and "how=killed" in line]
    assert line.endswith("after 1 restart")
    assert summary(folder / "how=killed")["restarts"] == 1
    assert "restarts" not in summary(folder / "how=sound")
    assert same_weights(weights(folder / "how=killed"), weights(folder / "how=sound"))
    assert points(folder / "how=killed") == points(folder / "how=sound")


def test_a_killed_run_is_told_as_far_as_its_last_checkpoint_knows(command, tmp_path):
    (tmp_path / "faulty.py").write_text(FAULTY)
    typed = ("-m", "model._target_=faulty.Net", "model.how=killed", "trainer.epochs=3", "data.batch_size=256")
    typed = (*typed, "checkpoint.every=null")
    assert command(*typed, "sweep=k", "hydra.launcher.threads=1", "hydra.launcher.retries=0").code == 1
    [run] = [path for path in (tmp_path / "outputs" / "sweeps" / "k").iterdir() if path.is_dir()]
    said, rows = summary(run), history(run)
    assert (said["status"], said["epochs"], said["updates"]) == ("killed", len(rows), int(rows[-1]["step"]))
    assert said["epochs"] > 0


def test_a_run_killed_between_its_last_checkpoint_and_its_last_word_is_finished(command, tmp_path):
    typed = ("-m", "seed=0,1", *SMALL, "sweep=word")
    assert command(*typed).code == 0
    folder = tmp_path / "outputs" / "sweeps" / "word" / "seed=0"
    whole = points(folder)
    (folder / "summary.json").write_text(json.dumps({"status": "running"}))
    assert command(*typed).code == 0
    assert summary(folder)["status"] == "finished"
    assert points(folder) == whole


def test_two_sweeps_never_share_a_folder_at_one_time(command, tmp_path):
    typed = ("-m", "seed=0", "trainer.epochs=400", "sweep=shared", "hydra.launcher.in_process=true")
    process = start(*typed)
    wait_for(lambda: len(list(tmp_path.glob("outputs/sweeps/shared/*/history.csv"))) == 1)
    second = command(*typed)
    process.send_signal(signal.SIGINT)
    process.wait()
    assert (second.code, process.returncode) == (1, 130)
    assert "in which another process is sweeping" in second.err


def test_a_run_that_dies_before_its_first_file_is_counted_as_missing(command, tmp_path):
    (tmp_path / "doomed.py").write_text(
        "import os, signal, sys\n"
        "from lrlab.models import linear\n"
        "def net(num_classes, input_shape, fatal):\n"
        "    if fatal and 'forkserver' in ' '.join(sys.argv + sys.orig_argv):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return linear(num_classes=num_classes, input_shape=input_shape)\n"
    )
    typed = ("-m", "model._target_=doomed.net", "model.fatal=false,true", "trainer.epochs=1", "sweep=doomed")
    outcome = command(*typed)
    folder = tmp_path / "outputs" / "sweeps" / "doomed"
    assert outcome.code == 1
    assert statuses(folder) == {"fatal=False": "finished", "fatal=True": "killed"}
    read = results.read_result(folder / "fatal=True", "")
    assert read.settings["model.fatal"] is True
    assert read.choice("scheduler") == "cosine"
    assert "1 begun and continued" in command(*typed).out


def test_a_folder_that_cannot_be_made_is_named_before_anything_starts(command, tmp_path):
    folder = tmp_path / "outputs" / "sweeps" / "blocked"
    folder.mkdir(parents=True)
    (folder / "seed=0").write_text("in the way")
    outcome = command("-m", "seed=0,1", *SMALL, "sweep=blocked")
    assert outcome.code == 1
    assert re.match(r"lrlab: error: folder: got outputs/sweeps/blocked/seed=0, which is a file; ", outcome.err)
    assert not names(folder)


@pytest.mark.slow
def test_runs_in_folders_in_folders_and_runs_that_are_numbered(command, tmp_path):
    nested = "hydra.sweep.subdir=${hydra:runtime.choices.scheduler}/${seed}"
    for _ in range(2):
        assert command("-m", "scheduler=step,cosine", "seed=0,1", *SMALL, "sweep=nested", nested).code == 0
    runs = (tmp_path / "outputs" / "sweeps" / "nested").glob("*/*/config.yaml")
    assert sorted(f"{path.parts[-3]}/{path.parts[-2]}" for path in runs) == ["cosine/0", "cosine/1", "step/0", "step/1"]
    numbered = ("hydra.sweep.subdir=${hydra:job.num}", "sweep=numbered", *SMALL)
    assert command("-m", "scheduler=cosine,constant", *numbered).code == 0
    assert command("-m", "scheduler=step,cosine,constant", *numbered).code == 0
    folder = tmp_path / "outputs" / "sweeps" / "numbered"
    assert {name: summary(folder / name)["choices"]["scheduler"] for name in names(folder)} == {
        "0": "cosine",
        "1": "constant",
        "0-2": "step",
    }


def test_what_is_finished_stays_even_without_its_checkpoint(command, tmp_path):
    typed = ("-m", "seed=0,1", *SMALL[:3], "sweep=slim")
    assert command(*typed).code == 0
    folder = tmp_path / "outputs" / "sweeps" / "slim"
    before = written(folder)
    for path in folder.glob("*/checkpoints/*.pt"):
        path.unlink()
    assert command(*typed, "hydra/launcher=basic").code == 0
    assert written(folder) == before


def make(name: str, folder: Path, **settings) -> Job:
    return made_up(name, folder / name, settings)


def test_two_runs_in_one_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match="got two runs named a; allowed: each run once"):
        plan.plan([make("a", tmp_path, seed=0), make("a", tmp_path, seed=1)], tmp_path)


def test_a_signal_that_comes_with_the_last_update_leaves_a_finished_run(tmp_path):
    assert _stopped(tmp_path).status == "interrupted"
    (tmp_path / "summary.json").write_text('{"status": "finished", "val_loss": 0.5}')
    assert (_stopped(tmp_path).status, _stopped(tmp_path).value) == ("finished", 0.5)
