"""Several ranks compute what one computes: the same LR, updates, order and counts; and all end when one does."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from forked import Started, group_lives, start_ranks, wait_for
from support import ROOT, history, points, same_weights, slow_but, summary, train, weights

from lrlab.runs import checkpoint
from lrlab.runs.assemble import stop_is_agreed
from lrlab.system import distributed
from lrlab.system.signals import Request, stop_request
from lrlab.training.loop import Epoch

# Neither the training nor the validation images divide by the ranks; BatchNorm would see each rank's own share.
SIZES = ("data=fake", "data.train_images=200", "data.val_images=101", "data.image_size=8", "data.channels=1")
SETTINGS = (*SIZES, "model=mlp", "scheduler=onecycle", "trainer.epochs=2")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(ranks: int, *arguments: str) -> subprocess.Popen:
    """`torchrun --nproc-per-node=RANKS train.py ARGUMENTS`, its output in one file."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    with Path("output.txt").open("w") as output:
        return subprocess.Popen(
            [*command, str(ROOT / "train.py"), *arguments], env=ENVIRONMENT, stdout=output, stderr=output
        )


def torchrun(ranks: int, *arguments: str, code: int = 0) -> str:
    """What the command prints, from its start to its end."""
    process = start(ranks, *arguments)
    assert process.wait(120) == code, Path("output.txt").read_text()
    return Path("output.txt").read_text()


def ranks_say(count: int, *arguments: str, code: int = 0) -> str:
    """What as many ranks print, one after another; the first must end with `code`."""
    return said(start_ranks(count, *arguments), code=code)


def said(ranks: list[Started], *, code: int) -> str:
    """What the ranks have printed when all have ended, the first with `code` and no other with a code of its own."""
    outputs = ["".join(rank.communicate()) for rank in ranks]
    first, *others = [rank.returncode for rank in ranks]
    assert first == code, "\n".join(outputs)
    assert {*others} <= {0, code}, "\n".join(outputs)
    return "".join(outputs)


def only_run(folder: str = "outputs/runs") -> Path:
    (run,) = Path(folder).iterdir()
    return run


def epochs_are_written(count: int) -> bool:
    return any(len(path.read_text().splitlines()) > count for path in Path("outputs/runs").glob("*/history.csv"))


def processes_of(word: str) -> list[int]:
    """The processes whose command line holds `word`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return sorted(found)


@pytest.mark.parametrize("ranks", slow_but([2, 4]))
def test_ranks_share_one_batch_and_change_nothing_else(ranks, tmp_path):
    alone = tmp_path / "alone"
    train(alone, *SETTINGS)
    output = torchrun(ranks, *SETTINGS)
    together = only_run()
    assert points(together)["lr"] == points(alone)["lr"]
    assert summary(together)["updates"] == summary(alone)["updates"] == 8
    per_epoch = summary(alone)["updates"] // 2
    for (step, loss), (same_step, expected) in zip(
        points(together)["train/loss"][:per_epoch], points(alone)["train/loss"][:per_epoch], strict=True
    ):
        assert step == same_step
        assert loss == pytest.approx(expected, rel=1e-5)
    for row, expected in zip(history(together), history(alone), strict=True):
        assert float(row["train_loss"]) == pytest.approx(float(expected["train_loss"]), rel=1e-3)
        assert float(row["val_loss"]) == pytest.approx(float(expected["val_loss"]), rel=1e-3)
        counted = float(row["val_accuracy"]) * 101
        assert counted == pytest.approx(round(counted), abs=1e-9)
    assert output.count("finished:") == output.count("data       fake") == 1  # the others are silent
    assert f"{ranks} ranks" in output


@pytest.mark.slow
def test_of_several_ranks_the_clock_of_the_first_decides_and_its_record_is_repeated():
    budget = (*SIZES, "model=mlp", "scheduler=warmup_cosine", "trainer.budget=2s")
    torchrun(2, *budget, "hydra.run.dir=first")
    first = Path("first")
    assert summary(first)["status"] == "finished"
    assert summary(first)["audit"]["equal"]
    assert (first / "shares.csv").read_text().splitlines()[-1].split(",")[1] == "0.9999"
    torchrun(2, "replay=first", "hydra.run.dir=again")
    assert same_weights(weights(first), weights(Path("again")))
    assert history(first) == history(Path("again"))


@pytest.mark.slow
def test_torchruns_that_meet_as_those_of_several_machines_do_share_one_run(tmp_path):
    """Each has a folder of its own, as machines without a shared disk have; rank 0 is on any of them."""
    alone = tmp_path / "alone"
    train(alone, *SETTINGS)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        endpoint = f"localhost:{free.getsockname()[1]}"
    meet = ("--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}", "--rdzv-id=one")
    machines = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        command = [sys.executable, "-m", "torch.distributed.run", *meet, str(ROOT / "train.py"), *SETTINGS]
        with (folder / "output.txt").open("w") as output:
            machines.append(subprocess.Popen(command, env=ENVIRONMENT, cwd=folder, stdout=output, stderr=output))
    said = [machine.wait(120) for machine in machines]
    assert said == [0, 0], [(tmp_path / name / "output.txt").read_text() for name in ("one", "other")]
    [run] = tmp_path.glob("o*/outputs/runs/*")
    assert points(run)["lr"] == points(alone)["lr"]
    losses = [[loss for _, loss in points(folder)["train/loss"]] for folder in (run, alone)]
    assert losses[0][:4] == pytest.approx(losses[1][:4], rel=1e-5)


@pytest.mark.slow
def test_a_signal_to_torchrun_saves_and_the_checkpoint_goes_on_with_other_ranks():
    process = start(2, *SETTINGS, "trainer.epochs=100", "scheduler=step")
    wait_for(lambda: epochs_are_written(2))
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    run = only_run()
    assert "stopped by SIGTERM" in Path("output.txt").read_text()
    assert summary(run)["status"] == "interrupted"
    stopped = summary(run)["updates"]
    output = torchrun(4, f"resume={run}", "extend=101")
    assert f"resumed after update {stopped}" in output
    assert summary(run)["status"] == "finished"
    assert summary(run)["updates"] == 101 * 4
    steps = [step for step, _ in points(run)["lr"]]
    assert steps == sorted(set(steps))


def test_a_run_of_two_ranks_that_was_stopped_ends_as_if_it_had_not_been(tmp_path):
    (tmp_path / "stopping.py").write_text(
        "import os, pathlib, signal, torch\n"
        "class Stops(torch.optim.SGD):\n"
        "    updates = 0\n"
        "    def step(self, closure=None):\n"
        "        self.updates += 1\n"
        "        if self.updates == 6 and os.environ['RANK'] == '1' and pathlib.Path('stop').exists():\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "        return super().step(closure)\n"
    )
    stops = "optimizer._target_=stopping.Stops"
    settings = (*SIZES, "model=mlp", "model.dropout=0.3", "scheduler=cosine", "data.shift=1", "trainer.epochs=4", stops)
    ranks_say(2, *settings, f"hydra.run.dir={tmp_path / 'whole'}")
    (tmp_path / "stop").touch()
    ranks_say(2, *settings, code=128 + signal.SIGTERM)
    (tmp_path / "stop").unlink()
    run = only_run()
    assert summary(run)["updates"] == 8  # of 16: ranks agree after an epoch
    ranks_say(2, f"resume={run}", stops)
    assert same_weights(weights(run), weights(tmp_path / "whole"))
    assert history(run) == history(tmp_path / "whole")
    assert points(run) == points(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
@pytest.mark.parametrize("victim", [0, 1])
def test_when_a_rank_is_killed_the_other_ends_by_itself_and_the_run_goes_on(victim):
    ranks = start_ranks(2, *SETTINGS, "trainer.epochs=5000")
    wait_for(lambda: epochs_are_written(2))
    ranks[victim].kill()
    output, errors = ranks[1 - victim].communicate()
    assert ranks[victim].wait() == -signal.SIGKILL
    assert ranks[1 - victim].returncode == 1
    assert "lrlab: error: ranks: got one that is gone (killed" in errors, output
    wait_for(lambda: not any(group_lives(rank.pid) for rank in ranks))
    require_goes_on(only_run())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="processes are known by /proc")
@pytest.mark.parametrize(("left", "code"), [(False, 1), (True, 0)], ids=["killed", "left before"])
def test_a_rank_that_waits_for_one_that_is_gone_ends_though_torch_never_tells(left, code):
    """gloo now and then goes on to wait for a rank that was killed: one time in a few hundred."""
    script = (
        "import json, multiprocessing, os, sys, time\n"
        "from torch.distributed import TCPStore\n"
        "from lrlab.commands.entry import report\n"
        "from lrlab.system import peers, process\n"
        "peers._SECONDS_TO_LEAVE = 0.2\n"
        "def other(port):\n"
        "    TCPStore('127.0.0.1', port, is_master=False).set('lrlab/process/1', json.dumps(process.myself()))\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    sys.stderr = os.fdopen(2, 'w', closefd=False)\n"  # one that keeps what it is told until it is full
        "    store = TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)\n"
        "    rank = multiprocessing.get_context('fork').Process(target=other, args=(store.port,))\n"
        "    rank.start()\n"
        "    store.wait(['lrlab/process/1'])\n"
        "    with peers.watched(store, rank=0, ranks=2, report=report):\n"
        "        time.sleep(1)\n"  # it is seen that the other is there
        f"        {'store.set(peers._PROCESS + chr(47) + chr(49), peers._LEFT)' if left else ''}\n"
        "        rank.kill()\n"
        "        time.sleep(3 if " + str(left) + " else 60)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == code, ended.stderr
    told = "lrlab: error: ranks: got one that is gone (killed: rank 1 has no process any more"
    assert (told in ended.stderr) is not left


def require_goes_on(run: Path) -> None:
    """Two ranks resume `run` and train at least one epoch more."""
    done = len(history(run))
    assert done >= 2
    ranks = start_ranks(2, f"resume={run}")
    wait_for(lambda: epochs_are_written(done + 2))
    for rank in ranks:
        rank.send_signal(signal.SIGTERM)
    said(ranks, code=128 + signal.SIGTERM)
    assert summary(run)["epochs"] > done


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the ranks in /proc")
@pytest.mark.parametrize("victim", [0, 1])
def test_when_a_rank_is_killed_torchrun_and_all_ranks_end_and_the_run_goes_on(victim):
    word = f"trainer.epochs={5000 + victim}"
    process = start(2, *SETTINGS, word)
    wait_for(lambda: epochs_are_written(2))
    _, *ranks = processes_of(word)  # torchrun's own is the first
    os.kill(ranks[victim], signal.SIGKILL)
    assert process.wait(60) != 0
    assert processes_of(word) == []
    output = Path("output.txt").read_text()
    assert "SIGKILL" in output
    if victim:  # torchrun may end the rank that is left before it has said a word, but not rank 0 before it has saved
        assert "lrlab: error: ranks: got one that is gone (killed" in output
    require_goes_on(only_run())


def test_a_signal_that_arrives_while_ranks_agree_is_heeded_the_next_time(monkeypatch):
    request, epoch = Request(), object.__new__(Epoch)

    def interrupted(number: int) -> int:
        request.note(signal.SIGTERM)
        return number

    monkeypatch.setattr(distributed, "ranks", lambda: 2)
    monkeypatch.setattr(distributed, "largest", interrupted)
    assert not stop_is_agreed(epoch, request)  # the other rank was told of none
    assert stop_is_agreed(epoch, request)


def test_the_same_signal_told_by_another_rank_and_by_torchrun_is_one_request(monkeypatch):
    monkeypatch.setattr(distributed, "ranks", lambda: 2)
    monkeypatch.setattr(distributed, "largest", lambda _: int(signal.SIGTERM))
    with stop_request() as request:
        assert stop_is_agreed(object.__new__(Epoch), request)
        os.kill(os.getpid(), signal.SIGTERM)  # a second request would end this process
        assert request.number == signal.SIGTERM


def test_a_rank_that_raises_says_why_before_the_others_notice(tmp_path):
    (tmp_path / "broken.py").write_text(
        "import os, torch\n"
        "class Broken(torch.optim.SGD):\n"
        "    updates = 0\n"
        "    def step(self, closure=None):\n"
        "        self.updates += 1\n"
        "        if self.updates == 20 and os.environ['RANK'] == '1':\n"
        "            raise KeyError('boom')\n"
        "        return super().step(closure)\n"
    )
    output = ranks_say(2, *SETTINGS, "optimizer._target_=broken.Broken", "trainer.epochs=50", code=1)
    assert "Broken, whose step() fails (KeyError: 'boom')" in output
    assert "KeyError: 'boom'" in summary(only_run())["error"]


@pytest.mark.slow
def test_a_rank_that_hangs_is_named_and_all_end(tmp_path):
    (tmp_path / "broken.py").write_text(
        "import os, time, torch\n"
        "class Hangs(torch.optim.SGD):\n"
        "    updates = 0\n"
        "    def step(self, closure=None):\n"
        "        self.updates += 1\n"
        "        if self.updates == 20 and os.environ['RANK'] == '1':\n"
        "            time.sleep(1000)\n"
        "        return super().step(closure)\n"
    )
    settings = ("optimizer._target_=broken.Hangs", "trainer.epochs=50", "trainer.timeout=4")
    ranks = start_ranks(2, *SETTINGS, *settings)
    output = said(ranks, code=1)
    line = r"lrlab: error: ranks: got rank 1 \(in step, \S+broken\.py:7\), for which the others waited 4 s; allowed: "
    assert re.search(line, output), output
    assert "rank 1 (in step" in summary(only_run())["error"]
    wait_for(lambda: not any(group_lives(rank.pid) for rank in ranks))
    assert checkpoint.load(only_run() / checkpoint.LAST)["state"]["progress"]["step"] == 16  # of epochs of 4


def test_a_mistake_is_told_once_and_by_one_rank():
    output = ranks_say(2, "optimizer.lr=-1", code=1)
    assert output.count("lrlab: error: optimizer.lr: got -1") == output.count("lrlab: error") == 1
    assert not Path("outputs").exists()


@pytest.mark.slow
def test_a_sweep_on_two_ranks_finishes_what_does_not_diverge():
    output = ranks_say(2, "-m", *SETTINGS, "scheduler=step,cosine", "optimizer.lr=0.01,1e12", "sweep=both", code=1)
    assert "each on 2 ranks" in output
    said = {
        path.parent.name: summary(path.parent)["status"] for path in Path("outputs/sweeps/both").glob("*/summary.json")
    }
    assert sorted(said.values()) == ["diverged", "diverged", "finished", "finished"]
    assert all((status == "diverged") == ("lr=1000" in name) for name, status in said.items())


@pytest.mark.slow
def test_ranks_train_once_what_the_runs_of_a_sweep_have_in_common():
    typed = (
        "-m",
        *SETTINGS,
        "data.batch_size=8",
        "trainer.epochs=4",
        "scheduler=wsd",
        "scheduler.lr_lambda.decay=20%,40%",
    )
    output = ranks_say(2, *typed, "sweep=shared")
    assert "(the rest is shared)" in output
    ranks_say(2, *typed, "sweep=alone", "hydra.launcher.share=false")
    shared, alone = (Path("outputs/sweeps") / name for name in ("shared", "alone"))
    folders = sorted(path.parent for path in shared.glob("*/summary.json"))
    assert [summary(folder).get("begun_with", {}).get("updates", 0) for folder in folders] == [0, 61]
    for folder in folders:
        assert same_weights(weights(folder), weights(alone / folder.name))
        assert points(folder) == points(alone / folder.name)


def test_a_sweep_under_torchrun_takes_no_other_launcher():
    output = ranks_say(2, "-m", *SETTINGS, "scheduler=step,cosine", "hydra/launcher=basic", code=1)
    assert "hydra/launcher: got basic, under torchrun; allowed: lrlab" in output


def test_a_batch_that_has_no_image_for_a_rank_is_a_mistake():
    output = ranks_say(2, *SETTINGS, "data.train_images=129", code=1)
    assert "data.batch_size: got 64 of 129 images, which leaves a batch of 1 for 2 ranks" in output
