"""Lightning, Transformers and Accelerate: right loops are left in peace, wrong ones named, and their runs compared."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from support import ROOT, history, points
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import lrlab
from lrlab.integrations.loop import logged

EPOCHS, BATCH = 3, 8
PER_EPOCH = 64 // BATCH
TOTAL = EPOCHS * PER_EPOCH


def schedule(total: int = TOTAL, per_epoch: int = PER_EPOCH) -> lrlab.Schedule:
    return lrlab.warmup_cosine(lr=0.1, epochs=total // per_epoch, steps_per_epoch=per_epoch, steps="20%")


def summary(folder: Path | str) -> dict:
    return json.loads((Path(folder) / "summary.json").read_text())


# Lightning.


@pytest.fixture
def lightning():
    return pytest.importorskip("lightning.pytorch")


def module(lightning, make_scheduler, interval: str = "step"):
    class Net(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(8, 2)

        def training_step(self, batch, _):
            loss = torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch, _):
            outputs = self.net(batch[0])
            self.log("val_loss", torch.nn.functional.cross_entropy(outputs, batch[1]))
            self.log("val_acc", (outputs.argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
            scheduler = make_scheduler(optimizer)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": interval}}

    return Net()


def fit(lightning, data, callback, net, *, epochs: int = EPOCHS, resume: str | None = None, **settings):
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback],
        **{"enable_checkpointing": False, **settings},
    )
    loader = torch.utils.data.DataLoader(data, BATCH)
    trainer.fit(net, loader, loader, ckpt_path=resume)
    return trainer


def callback(s: lrlab.Schedule, **given):
    from lrlab.integrations.lightning import ScheduleCallback

    metrics = {"val_accuracy": "val_acc"}
    return ScheduleCallback(s, **{"data": "toy", "model": "linear", "metrics": metrics, **given})


@pytest.mark.parametrize("accumulate", [1, 2])
def test_lightning_is_left_in_peace(lightning, data, accumulate):
    s = schedule(TOTAL // accumulate, PER_EPOCH // accumulate)
    own = callback(s, folder="run")
    fit(lightning, data, own, module(lightning, s.scheduler), accumulate_grad_batches=accumulate)
    said = summary("run")
    assert said["audit"]["equal"] is True
    assert said["audit"]["updates"] == TOTAL // accumulate
    assert (said["status"], said["logged_by"], said["epochs"]) == ("finished", "lightning", EPOCHS)
    assert {"val_loss", "val_accuracy", "train_loss", "best_val_accuracy"} <= said.keys()


def test_lightning_resumed_is_left_in_peace(lightning, data, tmp_path):
    s = schedule()
    fit(
        lightning,
        data,
        callback(s, folder="run"),
        module(lightning, s.scheduler),
        epochs=1,
        enable_checkpointing=True,
        default_root_dir="ckpt",
    )
    [checkpoint] = (tmp_path / "ckpt").rglob("*.ckpt")
    fit(lightning, data, callback(s, folder="run"), module(lightning, s.scheduler), resume=str(checkpoint))
    said = summary("run")
    assert (said["audit"]["equal"], said["updates"], said["epochs"]) == (True, TOTAL, EPOCHS)


@pytest.mark.parametrize(("interval", "named"), [("epoch", "after every epoch instead of after every update")])
def test_lightning_stepped_wrongly_is_named(lightning, data, interval, named):
    s = schedule()
    with pytest.warns(lrlab.ScheduleWarning):
        fit(lightning, data, callback(s, folder="run"), module(lightning, s.scheduler, interval))
    assert named in summary("run")["audit"]["verdict"]


def test_lightning_that_fails_says_so(lightning, data):
    s = schedule()
    net = module(lightning, s.scheduler)
    net.on_train_epoch_end = lambda: (_ for _ in ()).throw(ValueError("a bug of the user's"))
    with pytest.raises(ValueError, match="a bug"):
        fit(lightning, data, callback(s, folder="run"), net)
    assert summary("run")["status"] == "failed"


# Transformers.


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(8, 2)

    def forward(self, inputs, labels):
        logits = self.net(inputs)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


def trained(data, s: lrlab.Schedule, make_scheduler, *, resume: str | None = None, epochs: int = EPOCHS, **settings):
    transformers = pytest.importorskip("transformers")
    from lrlab.integrations.transformers import ScheduleTrainerCallback

    rows = [{"inputs": inputs, "labels": labels} for inputs, labels in data]
    arguments = transformers.TrainingArguments(
        "out",
        num_train_epochs=epochs,
        per_device_train_batch_size=BATCH,
        eval_strategy="epoch",
        logging_strategy="epoch",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **{"save_strategy": "no", **settings},
    )
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    trainer = transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=rows,
        compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(1) == found.label_ids).mean())},
        optimizers=(optimizer, make_scheduler(optimizer)),
        callbacks=[ScheduleTrainerCallback(s, data="toy", model="linear", folder="run")],
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.mark.parametrize("accumulate", [1, 2])
def test_transformers_is_left_in_peace(data, accumulate):
    pytest.importorskip("transformers")
    s = schedule(TOTAL // accumulate, PER_EPOCH // accumulate)
    trainer = trained(data, s, lrlab.to_transformers(s), gradient_accumulation_steps=accumulate)
    said = summary("run")
    assert said["audit"]["equal"] is True
    assert said["audit"]["updates"] == TOTAL // accumulate
    assert (said["status"], said["logged_by"], said["epochs"]) == ("finished", "transformers", EPOCHS)
    assert any("lr/planned" in entry for entry in trainer.state.log_history)


def test_transformers_own_schedule_is_the_one_of_its_name(data):
    transformers = pytest.importorskip("transformers")
    s = lrlab.from_transformers("cosine", lr=0.1, num_warmup_steps=5, num_training_steps=TOTAL)
    trained(data, s, lambda optimizer: transformers.get_cosine_schedule_with_warmup(optimizer, 5, TOTAL))
    assert summary("run")["audit"]["equal"] is True


def test_transformers_resumed_is_left_in_peace(data):
    pytest.importorskip("transformers")
    s = schedule()
    trained(data, s, lrlab.to_transformers(s), save_strategy="epoch", max_steps=PER_EPOCH)
    trained(data, s, lrlab.to_transformers(s), resume=f"out/checkpoint-{PER_EPOCH}")
    said = summary("run")
    assert (said["audit"]["equal"], said["updates"]) == (True, TOTAL)


def test_a_number_of_updates_that_is_off_is_named_in_transformers(data):
    pytest.importorskip("transformers")
    s = schedule()
    with pytest.warns(lrlab.ScheduleWarning, match="a run that is 2 times as long"):
        trained(data, s, lrlab.to_transformers(s.replace(epochs=2 * EPOCHS, steps_per_epoch=PER_EPOCH)))


# Accelerate, on two processes.


ACCELERATED = """
import sys, warnings
import torch
import lrlab
from accelerate import Accelerator

accelerator = Accelerator(cpu=True)
times, = map(int, sys.argv[1:])
s = lrlab.schedule(lrlab.schedules.cosine, lr=0.1, total_steps=40)
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = s.replace(total_steps=40 * times).scheduler(optimizer)
model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
warnings.simplefilter("ignore", lrlab.ScheduleWarning)
with lrlab.watch(optimizer, s) as watch:
    for _ in range(40):
        accelerator.backward(model(torch.ones(3, 4)).sum())
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
if accelerator.is_main_process:
    print(watch.equal, [one.name for one in watch.explanations], watch.verdict)
"""


@pytest.mark.parametrize("times", [2, 1])
def test_accelerate_steps_a_scheduler_once_a_process(tmp_path, times):
    """With the total times the processes the LR is the planned one; without it goes twice as fast, and that is said."""
    pytest.importorskip("accelerate")
    (tmp_path / "script.py").write_text(ACCELERATED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    typed = [*command, "script.py", str(times)]
    done = subprocess.run(typed, capture_output=True, text=True, check=False, env=environment)
    if times == 2:
        assert done.stdout.startswith("True []"), done.stderr
    else:
        assert done.stdout.startswith("False"), done.stderr
        assert "stepped 2 times an update, once for each of the 2 processes" in done.stdout


# All of them in one report.


def own_loop(data, folder: str, seed: int) -> None:
    torch.manual_seed(seed)
    s, net = schedule(), torch.nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    scheduler = s.scheduler(optimizer)
    with logged(optimizer, s, data="toy", model="linear", seed=seed, folder=folder) as run:
        for _ in range(EPOCHS):
            for inputs, labels in torch.utils.data.DataLoader(data, BATCH):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(net(inputs), labels)
                loss.backward()
                optimizer.step()
                scheduler.step()
            right = (net(data.tensors[0]).argmax(1) == data.tensors[1]).float().mean()
            run.epoch(train_loss=loss.item(), val_loss=loss.item(), val_accuracy=float(right))


def test_runs_of_other_loops_stand_in_one_report_with_lrlabs(data, tmp_path, enter):
    from lrlab.commands import compare

    for seed in range(3):
        own_loop(data, f"runs/loop-{seed}", seed)
    lightning = pytest.importorskip("lightning.pytorch")
    transformers = pytest.importorskip("transformers")
    for seed in range(3):
        lightning.seed_everything(seed)
        s = schedule()
        fit(lightning, data, callback(s, folder=f"runs/lightning-{seed}", seed=seed), module(lightning, s.scheduler))
        transformers.set_seed(seed)
        trained(data, s, lrlab.to_transformers(s), seed=seed)
        (tmp_path / "run").rename(tmp_path / "runs" / f"transformers-{seed}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(3):
            lrlab.train(
                "model=linear",
                f"seed={seed}",
                f"trainer.epochs={EPOCHS}",
                "scheduler=warmup_cosine",
                "data=fake",
                "data.batch_size=64",
                f"hydra.run.dir=runs/own-{seed}",
            )
            said = summary(f"runs/own-{seed}")
            said["choices"] |= {"data": "toy", "model": "linear"}
            Path(f"runs/own-{seed}/summary.json").write_text(json.dumps(said))
    done = enter(compare.main, "runs")
    assert done.code == 0, done.err
    for name in ("a loop", "lightning", "transformers"):
        assert f"warmup_cosine ({name})" in done.out
    assert "warmup_cosine  " in done.out
    assert "is what their names say" in done.out


def test_a_folder_of_lrlabs_is_not_written_into(data):
    run = lrlab.train("trainer.epochs=1", "model=mlp", "scheduler=constant")
    with pytest.raises(ValueError, match="which holds a run of lrlab's"):
        own_loop(data, str(run.folder), 0)


def test_a_loop_that_fails_says_so():
    s = schedule()
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with pytest.raises(KeyError), logged(optimizer, s, data="toy", model="linear", folder="run"):
        raise KeyError("a bug of the user's")
    assert summary("run")["status"] == "failed"
    assert "a bug" in summary("run")["error"]


def test_a_second_run_never_overwrites_the_first(data):
    own_loop(data, "run", 0)
    before = Path("run/summary.json").read_text()
    with pytest.raises(ValueError, match="which holds a run already"):
        own_loop(data, "run", 1)
    assert Path("run/summary.json").read_text() == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lr": 0.5}, "what lrlab writes itself"),
        ({"lr_1": 0.5}, "what lrlab writes itself"),
        ({"val/loss": 0.5}, "allowed: letters, digits and _"),
        ({"loss": 0.5}, "a metric of no split; allowed: one with its split: train_loss, val_loss"),
        ({"val_accuracy": 91.0}, "0.91"),
    ],
)
def test_what_a_history_cannot_hold_is_refused(given, said):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with (
        pytest.raises(ValueError, match=said),
        logged(optimizer, schedule(), data="toy", model="linear", folder="run") as run,
    ):
        run.epoch(**given)


def test_the_lr_that_is_logged_is_that_of_the_update_made():
    parameter, s = torch.zeros(1, requires_grad=True), schedule()
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    scheduler = s.scheduler(optimizer)
    with logged(optimizer, s, data="toy", model="linear", folder="run") as run:
        assert run.lr == {}
        for t in range(5):
            parameter.grad = torch.ones(1)
            optimizer.step()
            scheduler.step()
            assert run.lr == {"lr/planned": s(t), "lr/applied": s(t)}


def two_groups(s, updates: range, **where) -> None:
    """So many updates of a loop with two parameter groups, an epoch each two."""
    body, head = (torch.zeros(1, requires_grad=True) for _ in range(2))
    share = s.factor(updates[0])  # where the loop goes on, its optimizer is as it was left
    named = {"body": (body, 0.1 * share), "head": (head, 0.01 * share)}
    groups = [{"params": [parameter], "lr": lr, "name": name} for name, (parameter, lr) in named.items()]
    optimizer = torch.optim.SGD(groups)
    with logged(optimizer, s, data="toy", model="linear", folder="run", **where) as run:
        for t in updates:
            for group, base in zip(optimizer.param_groups, (0.1, 0.01), strict=True):
                group["lr"] = base * s.factor(t)
                group["params"][0].grad = torch.ones(1)
            optimizer.step()
            if t % 2:
                run.epoch(train_loss=1.0 / (t + 1), val_loss=2.0 / (t + 1), val_accuracy=0.5)


def test_tensorboard_shows_a_loop_under_the_tags_of_lrlabs_own_runs():
    s = lrlab.cosine(total_steps=8, steps_per_epoch=2, interval="step")
    two_groups(s, range(6))
    found = points("run")
    for tag, base in (("lr", 0.1), ("lr/head", 0.01)):
        assert [step for step, _ in found[tag]] == list(range(6))
        assert [lr for _, lr in found[tag]] == pytest.approx([base * s.factor(t) for t in range(6)])
    assert found["val/loss"] == [(2, 1.0), (4, 0.5), (6, pytest.approx(1 / 3))]
    assert [step for step, _ in found["train/loss"]] == [step for step, _ in found["val/accuracy"]] == [2, 4, 6]

    two_groups(s, range(4, 8), start=4)  # the third epoch once more, and the last
    shown = EventAccumulator("run", size_guidance={"scalars": 0}).Reload()  # which forgets what was trained again
    assert [e.step for e in shown.Scalars("lr")] == list(range(8))
    assert [e.value for e in shown.Scalars("lr")] == pytest.approx([0.1 * s.factor(t) for t in range(8)])
    assert [e.step for e in shown.Scalars("val/loss")] == [2, 4, 6, 8]


def test_groups_of_one_name_do_not_hide_each_other_in_tensorboard():
    s = lrlab.cosine(total_steps=4)
    parameters = [torch.zeros(1, requires_grad=True) for _ in range(3)]
    named = zip(parameters, (0.1, 0.01, 0.001), strict=True)
    optimizer = torch.optim.SGD([{"params": [one], "lr": lr, "name": "backbone"} for one, lr in named])
    with logged(optimizer, s, data="toy", model="linear", folder="run"):
        for parameter in parameters:
            parameter.grad = torch.ones(1)
        optimizer.step()
    found = points("run")
    assert {tag: round(lr, 6) for tag, [(_, lr)] in found.items()} == {
        "lr": 0.1,
        "lr/backbone": 0.01,
        "lr/backbone/2": 0.001,
    }


def test_a_loop_that_goes_on_by_the_state_of_its_watch_is_drawn_at_its_updates():
    s, parameter = lrlab.cosine(lr=0.1, total_steps=8), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    names = {"data": "toy", "model": "linear"}

    def train(updates: range) -> None:
        for t in updates:
            optimizer.param_groups[0]["lr"] = s(t)
            parameter.grad = torch.ones(1)
            optimizer.step()

    with logged(optimizer, s, folder="first", **names) as run:
        train(range(4))
    state = run.watch.state_dict()
    with logged(optimizer, s, folder="then", **names) as run:
        run.watch.load_state_dict(state)
        train(range(4, 8))
    assert [step for step, _ in points("then")["lr"]] == [4, 5, 6, 7]


def test_several_rows_of_one_update_are_all_there_after_a_resumption():
    s, parameter = lrlab.cosine(lr=0.1, total_steps=8), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    names = {"data": "toy", "model": "linear", "folder": "run"}
    with logged(optimizer, s, **names) as run:
        parameter.grad = torch.ones(1)
        optimizer.step()
        run.epoch(train_loss=2.0)
        run.epoch(val_loss=1.0)
    with logged(optimizer, s, start=1, **names):
        pass
    shown = EventAccumulator("run").Reload()
    assert [(e.step, e.value) for tag in ("train/loss", "val/loss") for e in shown.Scalars(tag)] == [(1, 2.0), (1, 1.0)]


def made(s, updates: range, *, steps: bool, **where) -> None:
    """So many updates of a loop that has two an epoch; without `steps` its LR stays."""
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    with logged(optimizer, s, data="toy", model="linear", folder="run", **where) as run:
        for t in updates:
            optimizer.param_groups[0]["lr"] = s(t) if steps else 0.1
            parameter.grad = torch.ones(1)
            optimizer.step()
            if t % 2:
                run.epoch(val_loss=1.0)


def test_what_was_wrong_before_a_resumption_stays_in_the_audit():
    s = lrlab.cosine(lr=0.1, total_steps=8, steps_per_epoch=2, interval="step")
    with pytest.warns(lrlab.ScheduleWarning):
        made(s, range(4), steps=False)
    before = summary("run")
    assert before["audit"]["differing"] == 3
    made(s, range(4, 8), steps=True, start=4)
    after = summary("run")
    assert after["status"] == "finished"
    assert after["audit"]["equal"] is False
    assert (after["audit"]["updates"], after["audit"]["differing"]) == (8, 3)
    assert after["audit"]["first_difference"] == before["audit"]["first_difference"]
    assert after["warnings"][: len(before["warnings"])] == before["warnings"]


def test_a_sound_run_that_was_resumed_is_audited_as_a_whole():
    s = lrlab.cosine(lr=0.1, total_steps=8, steps_per_epoch=2, interval="step")
    made(s, range(4), steps=True, seed=7)
    with pytest.warns(lrlab.ScheduleWarning):
        made(s, range(4, 6), steps=False, start=4)  # which are made once more
    made(s, range(4, 8), steps=True, start=4, seed=7)
    said = summary("run")
    assert (said["audit"]["equal"], said["audit"]["updates"]) == (True, 8)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"start": 6}, r"start: got 6, of a run in run that has made 4 updates; .* do: start=4"),
        ({"start": 1}, r"start: got 1, of a run in run that has made 4 updates; .* do: start=4"),
        ({"seed": 8}, r"seed: got 8, of a run in run that began with 7; .* do: seed=7, or another folder"),
        ({"schedule": "linear"}, r"schedule: got another than that of the run in run; "),
        ({"lr": 0.05}, r"schedule: got another than that of the run in run; "),
    ],
    ids=str,
)
def test_a_loop_does_not_go_on_as_another_run_than_it_was(changed, said):
    lengths = {"total_steps": 8, "steps_per_epoch": 2, "interval": "step"}
    made(lrlab.cosine(lr=0.1, **lengths), range(4), steps=True, seed=7)
    before = {path: path.read_bytes() for path in Path("run").iterdir()}
    asked = {"start": 4, "seed": 7, "schedule": "cosine", "lr": 0.1} | changed
    s = lrlab.schedule(asked.pop("schedule"), lr=asked.pop("lr"), **lengths)
    with pytest.raises(ValueError, match=said):
        made(s, range(4, 8), steps=True, **asked)
    assert {path: path.read_bytes() for path in Path("run").iterdir()} == before


def test_a_loop_that_was_killed_within_an_epoch_goes_on_from_its_last_checkpoint():
    s = lrlab.cosine(lr=0.1, total_steps=8, steps_per_epoch=2, interval="step")
    made(s, range(4), steps=True)
    said = summary("run")
    Path("run/summary.json").write_text(json.dumps({**said, "status": "running"}))  # as a kill leaves it
    made(s, range(5, 8), steps=True, start=5)
    assert (summary("run")["status"], summary("run")["audit"]["equal"]) == ("finished", True)


def test_runs_that_measure_no_accuracy_are_compared_by_their_loss(enter):
    from lrlab.commands import compare

    for name in ("cosine", "linear"):
        for seed in range(4):
            s = lrlab.schedule(name, lr=0.1, total_steps=2)
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
            folder = f"runs/a-rather-long-name-of-a-run-{name}-{seed}"
            with logged(optimizer, s, data="toy", model="linear", seed=seed, folder=folder) as run:
                run.epoch(val_loss=1.0 + seed / 10)
    folders = sorted(map(str, Path("runs").iterdir()))
    done = enter(compare.main, *folders)
    assert done.code == 0, done.err
    assert "final val loss" in done.out
    refused = enter(compare.main, *folders, "compare.metric=val_accuracy")
    assert refused.code == 1
    assert "compare.metric: got val_accuracy, which these runs do not measure; allowed: val_loss" in refused.err


def test_what_is_no_schedule_and_no_name_is_one_line():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    s = lrlab.cosine(lr=0.1, total_steps=4)
    for arguments, said in (
        ((optimizer, s.scheduler(optimizer)), "schedule: got a ScheduledLR, which is made already"),
        ((s, optimizer), "schedule: got an? SGD"),
    ):
        with pytest.raises(ValueError, match=said), logged(*arguments, data="toy", model="linear"):
            pass
    with (
        pytest.raises(ValueError, match=r"model: got a Linear; "),
        logged(optimizer, s, data="a", model=torch.nn.Linear(1, 1)),
    ):
        pass
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("val_acuracy", "val_accuracy"),
        ("val_acc", "val_accuracy"),
        ("train_los", "train_loss"),
        ("val_accurcay", "val_accuracy"),
    ],
)
def test_a_metric_whose_name_is_mistyped_is_guessed(typed, meant):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with (
        pytest.raises(ValueError, match=f"{typed}: got a metric that lrlab does not know") as refused,
        logged(optimizer, schedule(), data="toy", model="linear", folder="run") as run,
    ):
        run.epoch(**{typed: 0.5})
    assert f"(did you mean {meant}?)" in str(refused.value)
    assert refused.value.do == f"{meant}=..."


@pytest.mark.parametrize("name", ["val_mape", "train_mape", "val_rmae", "val_accuracy5", "val_top5", "test_loss"])
def test_a_metric_that_only_looks_like_one_of_lrlabs_is_kept(name):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with (
        logged(optimizer, schedule(), data="toy", model="linear", folder="run") as run,
        pytest.warns(UserWarning, match=f"{name} is a metric that lrlab does not know"),
    ):
        run.epoch(**{name: 0.5})
    assert history(Path("run"))[0][name] == "0.5"


def test_a_metric_of_ones_own_is_kept_and_no_run_is_judged_by_it():
    for seed in range(3):
        parameter, s = torch.zeros(1, requires_grad=True), schedule()
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        scheduler = s.scheduler(optimizer)
        names = {"data": "toy", "model": "linear", "seed": seed, "folder": f"runs/{seed}"}
        with logged(optimizer, s, **names) as run:
            with pytest.warns(UserWarning, match="val_f1, test_accuracy are metrics that lrlab does not know: kept"):
                run.epoch(val_loss=1.0, val_f1=0.5, test_accuracy=0.9)
            parameter.sum().backward()
            optimizer.step()
            scheduler.step()
            run.epoch(val_loss=0.5, val_f1=float("inf"), test_accuracy=0.95)  # said once

    # In the history and in TensorBoard; one that is not finite is not the training's end.
    rows = history(Path("runs/0"))
    assert [(row["val_f1"], row["test_accuracy"]) for row in rows] == [("0.5", "0.9"), ("", "0.95")]
    assert [value for _, value in points(Path("runs/0"))["test/accuracy"]] == pytest.approx([0.9, 0.95])
    assert summary("runs/0")["status"] == "finished"
    assert "val_f1" not in summary("runs/0")


def test_a_metric_of_ones_own_goes_on_in_a_resumed_loop():
    own_loop_of(5, start=None, val_f1=0.25)
    own_loop_of(5, start=5, val_f1=0.5)
    rows = history(Path("run"))
    assert [row["val_f1"] for row in rows] == ["0.25", "0.5"]


def own_loop_of(updates: int, *, start: int | None, **measured: float) -> None:
    """Make so many updates in the folder `run`, with a step of the scheduler each, and one epoch at their end."""
    parameter, s = torch.zeros(1, requires_grad=True), schedule()
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = s.scheduler(optimizer)
        for _ in range(start or 0):
            scheduler.step()
        with logged(optimizer, s, data="toy", model="linear", seed=0, folder="run", start=start) as run:
            for _ in range(updates):
                parameter.sum().backward()
                optimizer.step()
                scheduler.step()
            run.epoch(val_loss=1.0, **measured)


def test_a_list_of_folders_is_compared_as_the_folders_are():
    for seed in range(3):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        with logged(optimizer, schedule(), data="toy", model="linear", seed=seed, folder=f"runs/{seed}") as run:
            run.epoch(val_loss=1.0 + seed)
    folders = sorted(Path("runs").iterdir())
    one, other = lrlab.compare(folders), lrlab.compare(*map(str, folders))
    assert one.to_frame().equals(other.to_frame())
    assert lrlab.compare([str(folders[0]), folders[1]]).to_frame().shape[0] == 1


def test_the_folder_that_nobody_named_says_schedule_model_and_seed():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with logged(optimizer, schedule(), data="toy", model="linear", seed=7) as run:
        pass
    assert run.folder.name.endswith(f"_scheduler={schedule().name},linear,seed=7")


def test_budgets_in_updates_are_told_apart():
    for total in (20, 200):
        for seed in range(3):
            s = lrlab.cosine(lr=0.1, total_steps=total)
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
            names = {"data": "toy", "model": "linear", "seed": seed}
            with logged(optimizer, s, folder=f"runs/{total}-{seed}", **names) as run:
                run.epoch(val_loss=1.0 + seed, val_accuracy=0.5 + seed / 10)
    names = lrlab.compare("runs").to_frame()["schedule"]
    assert len(set(names)) == 2


@pytest.mark.parametrize("start", [0, 12])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_accelerate_is_left_in_peace(accumulate, start):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
    s = lrlab.warmup_cosine(lr=0.1, total_steps=30)
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = s.scheduler(optimizer)
    if start:
        saved = {**scheduler.state_dict(), "last_epoch": start}
        scheduler.load_state_dict(saved)
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    with lrlab.watch(optimizer, s, start=start) as watch:
        for _ in range((30 - start) * accumulate):
            with accelerator.accumulate(model):
                accelerator.backward(model(torch.ones(3, 4)).sum())
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
    assert (watch.equal, watch.updates) == (True, 30 - start), watch.verdict
