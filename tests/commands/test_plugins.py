"""A user's own scheduler, optimizer, model and data set: one YAML or one override each, no change to lrlab."""

import re
from pathlib import Path

import pytest
from support import history, points, summary

MY_PACKAGE = '''
import torch
from torch.optim.lr_scheduler import LRScheduler
from lrlab.data import Splits

class MyLR(LRScheduler):
    """Halves the LR after `wait`; a class that lrlab does not ship."""
    def __init__(self, optimizer, wait=2, last_epoch=-1):
        self.wait = wait
        super().__init__(optimizer, last_epoch)
    def get_lr(self):
        return [base * (0.5 if self.last_epoch >= self.wait else 1.0) for base in self.base_lrs]

class MySGD(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1, sign=False):
        super().__init__(params, {"lr": lr, "sign": sign})
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(group["lr"] * (p.grad.sign() if group["sign"] else p.grad))

class MyNet(torch.nn.Module):
    def __init__(self, num_classes, size=8):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(size), torch.nn.Tanh(),
                                          torch.nn.Linear(size, num_classes))
    def forward(self, images):
        return self.layers(images)

def my_data(images, classes=3):
    rows = [(torch.full((1, 5, 5), i % classes / classes), i % classes) for i in range(images)]
    return Splits(train=rows, val=rows[:6], num_classes=classes)
'''

YAML = {
    "scheduler": "_target_: my_pkg.MyLR\nwait: 50%  # a duration, as in every scheduler\n",
    "optimizer": "_target_: my_pkg.MySGD\nlr: 0.1\nsign: false\n",
    "model": "_target_: my_pkg.MyNet\nsize: 4\n",
    "data": "_target_: my_pkg.my_data\nimages: 24\nbatch_size: 6\n",
}


@pytest.fixture(autouse=True)
def my_folder(tmp_path: Path) -> None:
    (tmp_path / "my_pkg.py").write_text(MY_PACKAGE)
    for group, text in YAML.items():
        (tmp_path / "my_conf" / group).mkdir(parents=True)
        (tmp_path / "my_conf" / group / "mine.yaml").write_text(text)


def only_run(tmp_path: Path) -> Path:
    return next((tmp_path / "outputs" / "runs").iterdir())


def test_a_scheduler_plugs_in_with_one_yaml_and_its_durations_work(command, tmp_path):
    outcome = command("--config-dir", "my_conf", "scheduler=mine", "trainer.epochs=4")
    assert (outcome.code, outcome.err) == (0, "")
    assert [float(row["lr"]) for row in history(only_run(tmp_path))] == [0.02, 0.02, 0.01, 0.01]


def test_a_scheduler_plugs_in_on_the_command_line(command, tmp_path):
    outcome = command("scheduler._target_=my_pkg.MyLR", "scheduler.wait=23st", "trainer.epochs=2")
    assert (outcome.code, outcome.err) == (0, "")
    assert [float(row["lr"]) for row in history(only_run(tmp_path))] == [0.02, 0.01]
    assert summary(only_run(tmp_path))["choices"]["scheduler"] == "my_pkg.MyLR"
    assert "scheduler  my_pkg.MyLR: MyLR, stepped every epoch" in outcome.out
    assert only_run(tmp_path).name.endswith("_scheduler=my_pkg.MyLR,wait=23st,epochs=2")


def test_what_every_data_set_takes_need_not_be_in_its_yaml(command, tmp_path):
    outcome = command("--config-dir", "my_conf", "data=mine", "data.flip=true", "data.workers=1", "trainer.epochs=1")
    assert (outcome.code, outcome.err) == (0, "")
    assert "flip: true" in (only_run(tmp_path) / "config.yaml").read_text()


def test_what_was_typed_for_another_class_is_refused(command):
    outcome = command("scheduler._target_=my_pkg.MyLR", "scheduler.T_max=5")
    assert outcome.code == 1
    assert "scheduler.T_max: got a setting that does not exist; allowed: wait, last_epoch" in outcome.err


@pytest.mark.parametrize("group", ["optimizer", "model", "data"])
def test_everything_else_plugs_in_the_same_two_ways(command, tmp_path, group):
    by_yaml = command("--config-dir", "my_conf", f"{group}=mine", "trainer.epochs=2")
    assert (by_yaml.code, by_yaml.err) == (0, "")
    target = YAML[group].split()[1]
    more = ["data.images=24"] if group == "data" else []
    by_target = command(f"{group}._target_={target}", *more, "trainer.epochs=2")
    assert (by_target.code, by_target.err) == (0, "")
    assert {summary(run)["status"] for run in (tmp_path / "outputs" / "runs").iterdir()} == {"finished"}


def test_all_of_them_together_in_a_sweep_and_again_after_a_resume(command, tmp_path):
    everything = [f"{group}=mine" for group in YAML]
    outcome = command("--config-dir", "my_conf", *everything, "trainer.epochs=2", "-m", "scheduler.wait=1,2")
    assert (outcome.code, outcome.err) == (0, "")
    run = next((tmp_path / "outputs" / "sweeps").iterdir()) / "wait=1"
    refused = command(f"resume={run}", "extend=3")
    assert refused.code == 1
    targets = re.search("do: (.*), if you know and trust", refused.err)[1].split()  # a file does not say what is run
    assert len(targets) == 4
    longer = command(f"resume={run}", "extend=3", *targets)
    assert (longer.code, longer.err) == (0, "")
    assert [float(row["lr"]) for row in history(run)] == [0.1, 0.05, 0.05]
    assert len(points(run)["lr"]) == 12


def test_a_torchvision_data_set_plugs_in_with_yaml_alone(command, tmp_path):
    (tmp_path / "my_conf" / "data" / "noise.yaml").write_text(
        "_target_: lrlab.data.Splits\n"
        "train: {_target_: torchvision.datasets.FakeData, size: 12, image_size: [3, 8, 8], num_classes: 4}\n"
        "val: {_target_: torchvision.datasets.FakeData, size: 4, image_size: [3, 8, 8], num_classes: 4}\n"
        "num_classes: 4\n"
    )
    outcome = command("--config-dir", "my_conf", "data=noise", "trainer.epochs=1")
    assert (outcome.code, outcome.err) == (0, "")
    assert summary(only_run(tmp_path))["updates"] == 1
