"""Every option of every group, found by listing the folder, composes, says what it is, and trains."""

import inspect
import re

import numpy
import pytest
import torch
import yaml
from support import history, points, train

from lrlab import arguments, build, compose
from lrlab.checks import check_target
from lrlab.horizon import Horizon
from lrlab.prepare import prepare

GROUPS = ("data", "model", "optimizer", "scheduler", "trainer")
FILES = sorted(path for group in GROUPS for path in (compose.CONF / group).glob("*.yaml"))
SAY_IT_THEMSELVES = {"train_images", "val_images", "channels", "num_classes", "name", "nesterov", "then"}
OURS = {"interval", "monitor", "decay_bias_and_norm"}


def names(group: str) -> list[str]:
    return [path.stem for path in FILES if path.parent.name == group]


def test_every_promised_option_is_there():
    assert {group: names(group) for group in GROUPS} == {
        "data": ["cifar10", "cifar100", "digits", "fake", "fashion_mnist", "imagefolder", "kmnist", "mnist"],
        "model": ["cnn", "linear", "mlp", "resnet20", "torchvision"],
        "optimizer": ["adam", "adamw", "nesterov", "rmsprop", "sgd"],
        "scheduler": [
            *("constant", "cosine", "cosine_bounce", "cyclic", "exponential", "linear"),
            *("multistep", "onecycle", "plateau", "step", "warmup_cosine"),
        ],
        "trainer": ["default"],
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
class TestFile:
    def test_the_head_says_what_it_is_and_gives_a_command_that_composes(self, path):
        head = [line for line in path.read_text().splitlines() if line.startswith("#")]
        assert len(head[0]) > 20
        typed = re.fullmatch(r"#   python train\.py (.+)", head[1])[1].split()
        if path.parent.name != "trainer":
            assert f"{path.parent.name}={path.stem}" in typed
        compose.resolve(compose.compose([arguments._quote_path(argument) for argument in typed]))

    def test_every_setting_has_a_comment_and_is_one_that_its_target_takes(self, path):
        for line in path.read_text().splitlines():
            setting, _, rest = line.strip().partition(":")
            if rest and not line.startswith("#") and not setting.startswith("_"):
                assert " # " in line or setting in SAY_IT_THEMSELVES, f"{path.name}: {line}"
        node = yaml.safe_load(path.read_text())
        if path.parent.name in ("optimizer", "scheduler"):
            node = {key: value for key, value in node.items() if key not in OURS}
            resolved = Horizon(10, 10).resolve(node, "step", "scheduler")
            plain = {key: 0.1 if value == "${optimizer.lr}" else value for key, value in resolved.items()}
            check_target(plain, path.parent.name, given=("params", "optimizer"))


def test_every_number_that_torchs_scheduler_takes_is_listed():
    left_out = {"optimizer", "last_epoch", "scale_fn", "epochs", "steps_per_epoch", "lr_lambda"}
    for name in names("scheduler"):
        node = yaml.safe_load((compose.CONF / "scheduler" / f"{name}.yaml").read_text())
        taken = set(inspect.signature(build.checks.pkgutil.resolve_name(node["_target_"])).parameters)
        assert taken - left_out <= set(node), name


def stepped_by_hand(
    scheduler: str, optimizer: str, epochs: int, steps_per_epoch: int, losses: list[float]
) -> list[float]:
    """The LR of every update when the same torch classes are stepped by hand; `losses` feed the plateau."""
    config = compose.resolve(compose.compose([f"scheduler={scheduler}", f"optimizer={optimizer}"]))
    settings = build.scheduler_settings(config["scheduler"], Horizon(epochs, steps_per_epoch))
    by_hand = build.build_optimizer(config["optimizer"], torch.nn.Linear(1, 1))
    stepped = settings.build(by_hand)
    lrs = []
    for epoch in range(epochs):
        for _ in range(steps_per_epoch):
            lrs.append(by_hand.param_groups[0]["lr"])
            by_hand.step()
            if settings.interval == "step":
                stepped.step()
        if settings.interval == "epoch":
            stepped.step(*([losses[epoch]] if scheduler == "plateau" else []))
    return lrs


@pytest.mark.parametrize("optimizer", names("optimizer"))
@pytest.mark.parametrize("scheduler", names("scheduler"))
def test_every_scheduler_trains_with_every_optimizer_at_the_lr_of_torchs_own(scheduler, optimizer, tmp_path):
    summary = train(tmp_path, f"scheduler={scheduler}", f"optimizer={optimizer}", "trainer.epochs=3")
    rows = history(tmp_path)
    expected = stepped_by_hand(scheduler, optimizer, 3, 23, [float(row["val_loss"]) for row in rows])
    recorded = points(tmp_path)
    assert summary["status"] == "finished"
    assert numpy.isfinite([value for _, value in recorded["train/loss"]]).all()
    assert recorded["lr"] == [(step, float(numpy.float32(lr))) for step, lr in enumerate(expected)]
    assert [float(row["lr"]) for row in rows] == expected[22::23]


@pytest.mark.parametrize("scheduler", names("scheduler"))
@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_durations_in_every_unit_work_in_every_scheduler(scheduler, interval):
    if scheduler == "plateau" and interval == "step":
        pytest.skip("a plateau follows a metric that is measured once an epoch")
    for length in ("2ep", "46st", "20%"):
        overrides = [f"scheduler={scheduler}", f"scheduler.interval={interval}", "trainer.epochs=10"]
        node = yaml.safe_load((compose.CONF / "scheduler" / f"{scheduler}.yaml").read_text())
        durations = {
            "step_size",
            "T_max",
            "total_iters",
            "step_size_up",
            "step_size_down",
            "patience",
            "cooldown",
        } & set(node)
        overrides += [f"scheduler.{name}={length}" for name in durations]
        overrides += [f"scheduler.milestones=[{length},8ep]"] if "milestones" in node else []
        overrides += [f"scheduler.lr_lambda.steps={length}"] if "lr_lambda" in node else []
        plan = prepare(compose.compose(overrides)).plan
        if length == "2ep":
            first = plan
        assert plan == first


@pytest.mark.parametrize("model", names("model"))
def test_every_model_trains_on_noise(model, tmp_path):
    size = 32 if model == "torchvision" else 8
    overrides = [f"model={model}", "data=fake", "data.train_images=8", "data.val_images=4", f"data.image_size={size}"]
    assert train(tmp_path, *overrides, "data.batch_size=4", "trainer.epochs=1")["updates"] == 2
