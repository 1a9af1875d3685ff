"""Every option of every group, found by listing the folder, composes, says what it is, and trains."""

import inspect
import re
import shlex
import signal

import numpy
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from support import UPDATES, StopAt, composed, history, needs, points, summary, train

from lrlab.commands.preview_curves import plan_curves
from lrlab.config import arguments, build, compose, durations
from lrlab.config.checks import check_target
from lrlab.config.prepare import plan_only
from lrlab.config.scheduler import scheduler_settings
from lrlab.errors import Interrupted
from lrlab.lr.horizon import Horizon
from lrlab.lr.hyperparameters import count_as_stepped, read, tell

GROUPS = ("data", "model", "task", "optimizer", "scheduler", "trainer")
FILES = sorted(path for group in GROUPS for path in (compose.CONF / group).glob("*.yaml"))
SAY_IT_THEMSELVES = {"train_images", "val_images", "channels", "num_classes", "name", "nesterov"}
OURS = {"interval", "monitor", "decay_bias_and_norm", "groups", "layer_decay", "schedule", "adamw"}
BY_EPOCH = ("plateau", "greedy")  # whose only clock is the metric's
FOLLOW_A_METRIC = (*BY_EPOCH, "warmup_plateau")


def names(group: str) -> list[str]:
    return [path.stem for path in FILES if path.parent.name == group]


def test_every_promised_option_is_there():
    assert {group: names(group) for group in GROUPS} == {
        "data": [
            *("arrays", "cifar10", "cifar100", "diabetes", "digits", "fake", "fashion_mnist", "imagefolder", "kmnist"),
            *("mnist", "text"),
        ],
        "model": [
            *("airbench", "cnn", "conv2_dense2", "conv3_dense3", "lenet", "linear", "mlp", "mnist_convnet", "resnet20"),
            *("torchvision", "transformer"),
        ],
        "optimizer": [
            *("adadelta", "adafactor", "adagrad", "adam", "adamw", "lion", "muon", "nadam", "nesterov", "prodigy"),
            *("radam", "rmsprop", "schedule_free", "sgd"),
        ],
        "scheduler": [
            *("chained", "constant", "cosine", "cosine_bounce", "cosine_cooldown", "cosine_cycles", "cosine_power"),
            *("cosine_restarts", "cyclic", "cyclic_exp_range", "cyclic_triangular2", "exponential"),
            *("exponential_decay", "exponential_hyperbolic", "fractal_chebyshev", "greedy", "hyperbolic"),
            *("inverse_sqrt", "inverse_time", "lambda", "linear", "multiplicative", "multistep", "noam"),
            *("noisy_cosine", "onecycle", "onecycle_three_phase", "piecewise_constant", "piecewise_linear", "plateau"),
            *("polynomial", "polynomial_cycles", "power", "product", "rex", "sequence", "sequential", "sigmoid"),
            *("slanted_triangular", "step", "tanh", "untuned_warmup_cosine", "warmup_constant", "warmup_cosine"),
            *("warmup_linear", "warmup_multistep", "warmup_plateau", "warmup_polynomial", "wsd", "wsd_s"),
        ],
        "task": ["classification", "language", "regression"],
        "trainer": ["default"],
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
class TestFile:
    def test_the_head_says_what_it_is_and_gives_a_command_that_composes(self, path):
        head = [line for line in path.read_text().splitlines() if line.startswith("#")]
        assert len(head[0]) > 20
        typed = re.fullmatch(r"#   python train\.py (.+)", head[1])[1]
        typed = shlex.split(typed)
        if path.parent.name != "trainer":
            assert f"{path.parent.name}={path.stem}" in typed
        compose.resolve(compose.compose([arguments._quote_path(argument) for argument in typed]))

    def test_a_schedule_says_who_uses_it_and_where_it_comes_from(self, path):
        if path.parent.name == "scheduler":
            assert path.read_text().splitlines()[2].startswith("# Used ")

    def test_every_setting_has_a_comment_and_is_one_that_its_target_takes(self, path):
        for line in path.read_text().splitlines():
            setting, _, rest = line.strip().partition(":")
            if rest and not line.startswith("#") and not setting.startswith("_"):
                assert " # " in line or setting in SAY_IT_THEMSELVES, f"{path.name}: {line}"
        node = yaml.safe_load(path.read_text())
        if path.parent.name in ("optimizer", "scheduler"):
            node = {key: value for key, value in node.items() if key not in OURS}
            resolved = durations.resolve(node, Horizon(10, 10), "step", "scheduler")
            known = {"${optimizer.lr}": 0.1, "auto": None}  # what lrlab puts there
            plain = {
                key: known.get(value, value) if isinstance(value, str) else value for key, value in resolved.items()
            }
            check_target(plain, path.parent.name, given=("params", "optimizer"))


def test_every_number_that_torchs_scheduler_takes_is_listed():
    left_out = {"optimizer", "last_epoch", "scale_fn", "epochs", "steps_per_epoch", "lr_lambda"}
    for name in names("scheduler"):
        node = yaml.safe_load((compose.CONF / "scheduler" / f"{name}.yaml").read_text())
        taken = set(inspect.signature(build.checks.pkgutil.resolve_name(node["_target_"])).parameters)
        assert taken - left_out <= set(node), name


def stepped_by_hand(config: dict, epochs: int, steps_per_epoch: int, losses: list[float]) -> list[float]:
    """The LR of every update when the same classes are stepped by hand; `losses` feed those that follow them."""
    settings = scheduler_settings(config["scheduler"], Horizon(epochs, steps_per_epoch))
    by_hand = build.build_optimizer(config["optimizer"], torch.nn.Linear(1, 1).named_parameters())
    stepped = settings.build(by_hand)
    count_as_stepped(by_hand)
    follows_a_metric = "monitor" in config["scheduler"]
    lrs = []
    for epoch in range(epochs):
        for _ in range(steps_per_epoch):
            lrs.append(read(by_hand)["lr"])
            if settings.interval == "step":
                stepped.step()
        if follows_a_metric:
            tell(stepped, losses[epoch])
        elif settings.interval == "epoch":
            stepped.step()
    return lrs


# They cycle a momentum, which these have not, or which has to stay as it is.
REFUSED = dict.fromkeys(("adadelta", "adafactor", "adagrad", "schedule_free"), ("onecycle",))
# Every scheduler with SGD, every optimizer with a scheduler of each kind.
PAIRS = [(scheduler, "sgd") for scheduler in names("scheduler")] + [
    pytest.param(scheduler, optimizer, marks=needs(optimizer) + [pytest.mark.slow] * (optimizer != "adamw"))
    for optimizer in names("optimizer")
    if optimizer != "sgd"
    for scheduler in ("step", "onecycle", "cyclic", "plateau", "greedy", "warmup_cosine", "sequential", "chained")
    if scheduler not in REFUSED.get(optimizer, ())
]


@pytest.mark.parametrize(("scheduler", "optimizer"), PAIRS)
def test_every_scheduler_trains_at_the_lr_of_its_class_stepped_by_hand(scheduler, optimizer, tmp_path):
    chosen = (f"scheduler={scheduler}", f"optimizer={optimizer}")
    summary = train(tmp_path, *chosen, "trainer.epochs=3", "model=linear", "data.batch_size=64")
    rows = history(tmp_path)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    written = (compose.CONF / "scheduler" / f"{scheduler}.yaml").read_text()
    assert config["scheduler"] == yaml.safe_load(written.replace("${optimizer.lr}", str(config["optimizer"]["lr"])))
    expected = stepped_by_hand(config, 3, UPDATES, [float(row["val_loss"]) for row in rows])
    recorded = points(tmp_path)
    assert summary["status"] == "finished"
    assert numpy.isfinite([value for _, value in recorded["train/loss"]]).all()
    assert recorded["lr"] == [(step, float(numpy.float32(lr))) for step, lr in enumerate(expected)]
    assert [float(row["lr"]) for row in rows] == expected[UPDATES - 1 :: UPDATES]
    if scheduler in FOLLOW_A_METRIC:
        warmup = "" if scheduler in BY_EPOCH else " from update 3 on"
        assert summary["audit"]["exempt"] == f"the LR follows val_loss{warmup}"
        assert summary["audit"].get("equal", True)  # of what is planned beside such an LR, as for muon's groups
    else:
        assert summary["audit"]["equal"]
        assert summary["audit"]["updates"] == 3 * UPDATES


def own_interval(scheduler: str) -> str:
    return yaml.safe_load((compose.CONF / "scheduler" / f"{scheduler}.yaml").read_text())["interval"]


# Every schedule on its own clock; on the other one, a long trial.
CLOCKS = [
    pytest.param(name, interval, marks=() if interval == own_interval(name) else pytest.mark.slow)
    for name in names("scheduler")
    if name not in FOLLOW_A_METRIC
    for interval in ("epoch", "step")
]


@pytest.mark.parametrize(("scheduler", "interval"), CLOCKS)
def test_the_preview_is_what_is_trained_bit_for_bit_with_clipping_and_after_a_resume(scheduler, interval, tmp_path):
    typed = [
        f"scheduler={scheduler}",
        f"scheduler.interval={interval}",
        "trainer.epochs=20",
        "trainer.clip_grad_norm=1",
    ]
    typed += ["data.batch_size=720", "model=linear"]
    [curve] = plan_curves(typed, steps_per_epoch=None)
    folder = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, signal.SIGTERM, 14)
        with pytest.raises(Interrupted):
            train(folder, *typed)
    ended = train(folder, *typed, f"resume={folder}")
    assert ended["audit"]["equal"]
    assert ended["audit"]["updates"] == 40 == curve.plan.horizon.steps
    assert ended["plan"]["sha256"]["lr"] == curve.plan.hashes["lr"]
    previewed = curve.plan.per_update()
    assert points(folder)["lr"] == [(step, float(numpy.float32(lr))) for step, lr in enumerate(previewed)]
    assert [float(row["lr"]) for row in history(folder)] == previewed[1::2]


@pytest.mark.parametrize("scheduler", ["step", "warmup_cosine"])
def test_the_preview_is_what_the_commands_train(scheduler, command, tmp_path):
    """As above, through the command line: a run that is stopped, and the one that goes on with it."""
    typed = [f"scheduler={scheduler}", "trainer.epochs=20", "data.batch_size=720", "model=linear"]
    [curve] = plan_curves(typed, steps_per_epoch=None)
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, signal.SIGTERM, 14)
        assert command(*typed).code == 143
    folder = next((tmp_path / "outputs" / "runs").iterdir())
    assert command(f"resume={folder}").code == 0
    assert summary(folder)["plan"]["sha256"]["lr"] == curve.plan.hashes["lr"]
    previewed = curve.plan.per_update()
    assert points(folder)["lr"] == [(step, float(numpy.float32(lr))) for step, lr in enumerate(previewed)]


def in_unit(value, unit):
    """Every share of the run in `value`, such as 25%, in epochs or updates of a run of 20 epochs."""
    if isinstance(value, list):
        return [in_unit(part, unit) for part in value]
    if isinstance(value, str) and value.endswith("%"):
        epochs = int(value[:-1]) * 20 // 100
        return f"{epochs}ep" if unit == "ep" else f"{epochs * UPDATES}st"
    return value


def shares(node, key):
    """The path and value of everything in a node that is a share of the run."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from shares(value, f"{key}.{name}")
        elif "%" in str(value):
            yield f"{key}.{name}", value


@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize("scheduler", names("scheduler"))
def test_durations_in_every_unit_mean_the_same_in_every_scheduler(scheduler, interval):
    if scheduler in BY_EPOCH and interval == "step":
        pytest.skip("a metric is measured once an epoch")
    node = yaml.safe_load((compose.CONF / "scheduler" / f"{scheduler}.yaml").read_text())
    durations = dict(shares(node, "scheduler"))
    plans = []
    for unit in ("%", "ep", "st"):
        config = composed(f"scheduler={scheduler}")
        config.scheduler.interval = interval
        for key, value in durations.items():
            OmegaConf.update(config, key, value if unit == "%" else in_unit(value, unit))
        plans.append(plan_only(config)[0])
    assert plans[0] == plans[1] == plans[2]


@pytest.mark.parametrize("scheduler", names("scheduler"))
def test_no_default_looks_like_a_mistake(scheduler):
    assert plan_only(composed(f"scheduler={scheduler}"))[1] == []


OF_ONE_SIZE = {
    "torchvision": 32,
    "airbench": 32,
    "conv3_dense3": 32,
    "conv2_dense2": 28,
    "lenet": 28,
    "mnist_convnet": 28,
}


@pytest.mark.parametrize("model", [name for name in names("model") if name != "transformer"])
def test_every_model_trains_on_noise(model, tmp_path):
    size = OF_ONE_SIZE.get(model, 8)
    overrides = [f"model={model}", "data=fake", "data.train_images=8", "data.val_images=4", f"data.image_size={size}"]
    assert train(tmp_path, *overrides, "data.batch_size=4", "trainer.epochs=1")["updates"] == 2
