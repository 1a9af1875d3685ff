"""The settings of averages: lengths in updates, and a line for whatever would do nothing or could not be done."""

import re
import sys

import pytest
from support import composed, train

from lrlab.commands.preview_curves import plan_curves
from lrlab.config.averages import average_settings, require_one_point
from lrlab.config.prepare import prepare
from lrlab.config.settings import trainer_settings
from lrlab.errors import UserError
from lrlab.lr.horizon import Horizon
from lrlab.training.averages import AverageSettings

TINY = ("model=linear", "trainer.epochs=10")  # 21 updates in an epoch


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ((), None),
        (("trainer.average=null",), None),
        (("trainer.average=ema",), AverageSettings("ema", 0, 1, window=21)),
        (("trainer.average=ema", "trainer.average_window=1000st"), AverageSettings("ema", 0, 1, window=1000)),
        (
            ("trainer.average=ema", "trainer.average_window=2ep", "trainer.average_every=10"),
            AverageSettings("ema", 0, 10, window=42),
        ),
        (("trainer.average=swa",), AverageSettings("swa", 158, 21)),
        (("trainer.average=swa", "trainer.average_start=5ep"), AverageSettings("swa", 105, 21)),
        (("trainer.average=lawa",), AverageSettings("lawa", 0, 21, last=5)),
        (
            ("trainer.average=lawa", "trainer.average_every=5%", "trainer.average_last=3"),
            AverageSettings("lawa", 0, 11, last=3),
        ),
    ],
)
def test_durations_are_those_of_schedules_and_become_updates(typed, meant):
    assert prepare(composed(*TINY, *typed)).average == meant


def test_a_window_is_a_decay():
    assert AverageSettings("ema", 0, 1, window=1000).decay == 0.999
    assert AverageSettings("ema", 0, 10, window=1000).decay == 0.99


MISTAKES = {
    "trainer.average=emma": "trainer.average: got 'emma'; allowed: ema, swa, lawa; do: trainer.average=ema",
    "trainer.average=true": "trainer.average: got True; allowed: ema, swa, lawa; do: trainer.average=",
    "trainer.average_start=50%": "trainer.average_start: got 50% without an average; "
    "allowed: null, or trainer.average=ema or swa or lawa; do: leave trainer.average_start out",
    "trainer.average=swa trainer.average_window=5%": "trainer.average_window: got 5%, which swa has no use for; "
    "allowed: null, or trainer.average=ema; do: leave trainer.average_window out",
    "trainer.average=ema trainer.average_last=3": "trainer.average_last: got 3, which ema has no use for; "
    "allowed: null, or trainer.average=lawa; do: leave trainer.average_last out",
    "trainer.average=lawa trainer.average_last=1": "trainer.average_last: got 1; allowed: an integer >= 2 and <= "
    "1000; do: trainer.average_last=5",
    "trainer.average=ema trainer.average_window=0.999": "trainer.average_window: got 0.999; allowed: a duration: "
    "25 (updates), 5ep, 500st, 25%; do: trainer.average_window=1000st for a decay of 0.999",
    "trainer.average=swa trainer.average_start=0.5": "trainer.average_start: got 0.5; allowed: a duration: "
    "25 (updates), 5ep, 500st, 25%; do: trainer.average_start=25%",
    "trainer.average=ema trainer.average_window=soon": "trainer.average_window: got 'soon', which is no duration; ",
    "trainer.average=ema trainer.average_window=1st": "trainer.average_window: got 1st, which is 1 update; "
    "allowed: a duration of at least 2 updates; do: trainer.average_window=2st",
    "trainer.average=swa trainer.average_every=0st": "trainer.average_every: got 0st, which is 0 updates; "
    "allowed: a duration of at least 1 update; do: trainer.average_every=1st",
    "trainer.average=swa trainer.average_every=true": "trainer.average_every: got True; allowed: a duration: ",
    "trainer.average=swa trainer.average_start=9ep": "trainer.average: got swa of 1 weight in 210 updates, every 1ep "
    "after 9ep; allowed: at least 2; do: trainer.average_every=5st",
    "trainer.average=ema trainer.average_start=100%": "trainer.average: got ema of 0 weights in 210 updates, every 1 "
    "after 100%; allowed: at least 2; do: trainer.average_start=0",
    "trainer.monitor=average_val_loss": "trainer.monitor: got 'average_val_loss'; allowed: val_loss, val_accuracy, "
    "train_loss, train_accuracy; do: ",
    "trainer.average=ema scheduler=plateau scheduler.monitor=average_val_loss": "scheduler.monitor: got "
    "'average_val_loss'; allowed: val_loss, val_accuracy, train_loss, train_accuracy; do: ",
}


@pytest.mark.parametrize("typed", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(command, tmp_path, typed):
    ended = command(*TINY, *typed.split())
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert ended.err.startswith(f"lrlab: error: {MISTAKES[typed]}")
    assert not (tmp_path / "outputs").exists()


ADVISED = {typed: re.search(r"do: (trainer\.average_\w+=\w+%?)", said) for typed, said in MISTAKES.items()}


@pytest.mark.parametrize("typed", [typed for typed, advised in ADVISED.items() if advised])
def test_what_is_advised_can_be_done(typed):
    advised = ADVISED[typed][1]
    key = advised.partition("=")[0]
    kept = [one for one in typed.split() if not one.startswith(f"{key}=")]
    assert prepare(composed(*TINY, *kept, advised)).average is not None


def test_an_optimizer_that_averages_itself_is_refused(command, tmp_path):
    (tmp_path / "my_free.py").write_text(
        "import torch\n"
        "class Free(torch.optim.SGD):\n"
        "    def train(self):\n        pass\n"
        "    def eval(self):\n        pass\n"
    )
    typed = (*TINY, "optimizer._target_=my_free.Free", "trainer.epochs=2")
    refused = command(*typed, "trainer.average=ema")
    assert refused.err == (
        "lrlab: error: trainer.average: got an average of the weights of Free, which averages them itself; allowed: "
        "null with optimizers that have train() and eval(), as schedule-free ones; do: trainer.average=null, or "
        "optimizer=adamw\n"
    )
    assert command(*typed).code == 0
    free = sys.modules["my_free"].Free
    with pytest.raises(UserError, match="which averages them itself"):
        require_one_point(free([composed_parameter()], lr=0.1))


def composed_parameter():
    import torch

    return torch.nn.Parameter(torch.zeros(1))


def test_a_run_of_one_epoch_is_averaged_within_it():
    node = dict(composed("trainer.epochs=1", "trainer.average=swa").trainer)
    with pytest.raises(UserError) as raised:
        average_settings(trainer_settings(node), Horizon(1, 100))
    assert str(raised.value).endswith("do: trainer.average_every=6st")
    settings = average_settings(trainer_settings(node | {"average_every": "6st"}), Horizon(1, 100))
    assert settings.count(100) == 4


def test_a_preview_takes_what_a_run_takes():
    [curve] = plan_curves(["trainer.average=ema", "trainer.average_window=5ep", "scheduler=step"], steps_per_epoch=None)
    assert curve.plan.horizon.epochs == 20


def test_the_trainers_file_is_what_an_earlier_run_had(tmp_path):
    said = train(tmp_path, *TINY[:1], "trainer.epochs=1")
    assert "average" not in said
    assert not [name for name in said if "average" in name]
