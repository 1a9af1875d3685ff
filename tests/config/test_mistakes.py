"""Every mistake is one line (got, allowed, do) and exit code 1, before data is read; nothing is left behind."""

import os
import re
from pathlib import Path

import pytest
import torch
from support import folder_of_images, points, summary

from lrlab.data import datasets, decoding
from lrlab.runs import checkpoint
from lrlab.system import randomness

# What is typed, and what the line must say.
BEFORE_ANY_DATA = {
    # names
    "scheduler=cosin": r"scheduler: got 'cosin' \(did you mean cosine\?\); allowed: chained, constant, cosine, .*; do: scheduler=cosine$",
    "scheduler=cosine scheduler.gamma=0.3": r"scheduler\.gamma: .*; do: choose scheduler=cyclic or .*exponential or multistep or step",
    "scheduler cosine": r"command line: got 'scheduler'; .*; do: write it with =, as in scheduler=cosine",
    "scheduler=mine": r"scheduler: got 'mine'; allowed: chained, constant, .*; do: .* --config-dir FOLDER",
    "model=resnet18": r"model: .*and all of torchvision's as model=torchvision model\.name=NAME",
    "scheduler=": r"scheduler: got ''; allowed: chained, constant, ",
    "model=resnet21": r"model: got 'resnet21' \(did you mean resnet20\?\); allowed: cnn, ",
    "scheduler=step scheduler.gama=0.9": r"scheduler\.gama: got a setting that .* \(did you mean scheduler\.gamma\?\); allowed: gamma, ",
    "scheduler=step +scheduler.gama=0.9": r"scheduler\.gama: .* \(did you mean scheduler\.gamma\?\); allowed: step_size, gamma, ",
    "scheduler=step ++scheduler.gama=0.9": r"scheduler\.gama: .* \(did you mean scheduler\.gamma\?\); allowed: ",
    "lr=0.1": r"lr: got a setting that does not exist \(did you mean optimizer\.lr\?\); .*; do: optimizer\.lr=VALUE$",
    "schedular=cosine": r"schedular: .* \(did you mean scheduler\?\); allowed: checkpoint, data, ",
    "trainer.epoch=3": r"trainer\.epoch: .* \(did you mean trainer\.epochs\?\); allowed: ",
    "+trainer.epoch=3": r"trainer\.epoch: .* \(did you mean trainer\.epochs\?\); allowed: ",
    "+model.widht=3": r"model\.widht: .* \(did you mean model\.width\?\); allowed: ",
    "~scheduler": r"scheduler: got nothing; allowed: an option of conf/scheduler; ",
    "scheduler._target_=no_pkg.MyLR": r"scheduler\._target_: got no_pkg\.MyLR, which cannot be imported \(.*no_pkg.*\); ",
    "scheduler._target_=torch.optim.NoLR": r"scheduler\._target_: got torch\.optim\.NoLR, which cannot be imported",
    "scheduler._target_=torch.nn.Identity": r"scheduler\._target_: got torch\.nn\.Identity, whose object has no step\(\); ",
    "data._target_=torch.zeros": r"data: got settings with which torch\.zeros fails|data\..*",
    "--config-dir /nowhere": r"--config-dir: got /nowhere, which is no folder; allowed: ",
    "--config-path /nowhere": r"--config-path: got /nowhere; allowed: --config-dir; ",
    "optimizer.groups.heat.lr_scale=2": r"optimizer\.groups\.heat: got heat heat\.\*, which no parameter .* \(did you mean head\?\); ",
    "optimizer.groups.head.scale=2": r"optimizer\.groups\.head\.scale: got a setting that does not exist .*lr_scale\?\); allowed: params, ",
    "optimizer.groups.head.delay=soon": r"optimizer\.groups\.head\.delay: got 'soon'",
    "optimizer.groups=3": r"optimizer\.groups: got 3; allowed: a mapping",
    "optimizer.schedule.lr=cosine": r"optimizer\.schedule\.lr: got a setting that does not exist; allowed: momentum, weight_decay",
    "optimizer.schedule.momentum=cosin": r"optimizer\.schedule\.momentum: got 'cosin'; allowed: .*; do: optimizer\.schedule\.momentum=cosine",
    "optimizer.schedule.momentum=wsd": r"optimizer\.schedule\.momentum: got wsd, which needs warmup, decay; allowed: a schedule that needs nothing",
    "optimizer=rmsprop optimizer.schedule.momentum=cosine scheduler=onecycle": r"optimizer\.schedule\.momentum: got a schedule beside the scheduler's own; ",
    "scheduler=wsd scheduler.decay=10%": r"scheduler\.decay: .* \(did you mean scheduler\.lr_lambda\.decay\?\); .*; do: scheduler\.lr_lambda\.decay=VALUE",
    "scheduler=warmup_cosine scheduler.floor=0.1": r"scheduler\.floor: .* \(did you mean scheduler\.lr_lambda\.then\.floor\?\); ",
    "scheduler=sequence scheduler.lr_lambda.schedules.fall.flor=1": r"scheduler\.lr_lambda\.schedules\.fall\.flor: .* \(did you mean .*fall\.floor\?\); ",
    "scheduler=sequential scheduler.schedulers.warmup.start_factor=x": r"scheduler\.schedulers\.warmup\.start_factor: got 'x'; allowed: a number",
    "scheduler=wsd scheduler.lr_lambda.shape=sine": r"scheduler: shape: got sine; allowed: linear, ",
    "scheduler=greedy scheduler.min_lr=1": r"scheduler\.min_lr: got 1; allowed: 0 to the base LR, 0\.02",
    "scheduler=greedy scheduler.interval=step": r"scheduler\.interval: got step; allowed: epoch, for a scheduler that follows a metric",
    "scheduler=greedy trainer.eval_every=2": r"trainer\.eval_every: got 2 with a scheduler that follows val_loss",
    # numbers
    "optimizer.lr=abc": r"optimizer\.lr: got 'abc'; allowed: a number; do: optimizer\.lr=",
    "optimizer.lr=-1": r"optimizer\.lr: got -1; allowed: a number > 0; do: optimizer\.lr=",
    "optimizer.lr=0": r"optimizer\.lr: got 0; allowed: a number > 0",
    "optimizer.lr=nan": r"optimizer\.lr: got nan; allowed: a number",
    "optimizer.lr=inf": r"optimizer\.lr: got inf; allowed: a number > 0",
    "optimizer.lr=null": r"optimizer\.lr: got None; allowed: a number",
    "optimizer.lr=${nope}": r"optimizer\.lr: got a reference that leads nowhere \(.*nope.*\); allowed: ",
    "optimizer.momentum=-1": r"optimizer: got settings with which torch\.optim\.SGD fails \(ValueError: Invalid momentum value: -1\)",
    "trainer.epochs=0": r"trainer\.epochs: got 0; allowed: an integer >= 1; do: trainer\.epochs=10",
    "trainer.epochs=2.5": r"trainer\.epochs: got 2\.5; allowed: an integer >= 1",
    "trainer.epochs=null": r"trainer\.epochs: got None; allowed: an integer >= 1",
    "trainer.epochs=true": r"trainer\.epochs: got True; allowed: an integer >= 1",
    "trainer.eval_every=0": r"trainer\.eval_every: got 0; allowed: an integer >= 1",
    "trainer.clip_grad_norm=0": r"trainer\.clip_grad_norm: got 0; allowed: a number > 0",
    "task.label_smoothing=2": r"task\.label_smoothing: got 2; allowed: a number >= 0 and <= 1; do: task\.label_smoothing=0\.1$",
    "trainer.label_smoothing=0.1": r"trainer\.label_smoothing: got a setting that is task\.label_smoothing now; allowed: task\.label_smoothing; do: task\.label_smoothing=VALUE$",
    "+trainer.label_smoothing=0.1": r"trainer\.label_smoothing: got a setting that is task\.label_smoothing now; ",
    "-m trainer.label_smoothing=0,0.1": r"trainer\.label_smoothing: got a setting that is task\.label_smoothing now; ",
    "task=regression": r"task: got 'regression'; allowed: classification; do: task=classification",
    "task._target_=torch.nn.CrossEntropyLoss": r"task\._target_: got torch\.nn\.CrossEntropyLoss, which makes a CrossEntropyLoss; allowed: a class with metrics, .*; do: task=classification$",
    "task.loss=focal": r"task\.loss: got 'focal'; allowed: a node with a _target_; do: ",
    "task.loss={_target_:no_pkg.FocalLoss}": r"task\.loss\._target_: got no_pkg\.FocalLoss, which cannot be imported",
    "task.loss={_target_:torch.nn.CrossEntropyLoss,label_smothing:0.1}": r"task\.loss\.label_smothing: got a setting that .* \(did you mean task\.loss\.label_smoothing\?\); ",
    "task.loss={_target_:torch.nn.CrossEntropyLoss,reduction:none}": r"task\.loss: got a tensor \(2,\), for 2 images; allowed: the mean over the batch, .*; do: return loss\.mean\(\) from the loss$",
    "task.loss={_target_:torch.nn.CrossEntropyLoss} task.label_smoothing=0.1": r"task\.label_smoothing: got 0\.1 with task\.loss, .*; allowed: 0 with a loss of one's own; do: task\.label_smoothing=0\.0, and smooth in the loss itself$",
    "task.loss={_target_:torch.nn.Linear,in_features:10,out_features:1}": r"task\.loss: got torch\.nn\.Linear, which has parameters of its own; allowed: a loss without any: .*; do: make them buffers",
    "task.loss={_target_:builtins.dict}": r"task\.loss\._target_: got builtins\.dict, which makes a dict; allowed: a class whose objects are called as loss\(logits, labels\); do: task\.loss=null",
    "trainer.deterministic=1": r"trainer\.deterministic: got 1; allowed: true or false",
    "trainer.precision=half": r"trainer\.precision: got 'half'; allowed: fp32, bf16, fp16; do: trainer\.precision=fp32",
    "trainer.precision=bf61": r"trainer\.precision: got 'bf61'; .*; do: trainer\.precision=bf16",
    "trainer.compile=1": r"trainer\.compile: got 1; allowed: false, true, default, reduce-overhead",
    "trainer.channels_last=yess": r"trainer\.channels_last: got 'yess'; allowed: auto, true, false",
    "trainer.accumulate=2 trainer.compile=reduce-overhead": r"trainer\.accumulate: got 2, with trainer\.compile=reduce-overhead",
    "trainer.accumulate=65": r"trainer\.accumulate: got 65 parts of a batch of 64 images; allowed: at most 64",
    "trainer.accumulate=0": r"trainer\.accumulate: got 0; allowed: an integer >= 1",
    "trainer.monitor=acc": r"trainer\.monitor: got 'acc'; allowed: val_loss, ",
    "trainer.device=gpu": r"trainer\.device: got 'gpu'; allowed: auto, cpu",
    "trainer.device=cuda:99": r"trainer\.device: got 'cuda:99'.*; allowed: auto, cpu.*; do: trainer\.device=auto",
    "seed=-1": r"seed: got -1; allowed: an integer >= 0",
    "seed=abc": r"seed: got 'abc'; allowed: an integer >= 0",
    "data.batch_size=0": r"data\.batch_size: got 0; allowed: an integer >= 1",
    "data.batch_size=2000 data.drop_last=true": r"data\.batch_size: got 2000 with drop_last, .*; allowed: 1 to 1437",
    "data.mean=[0.1,0.2]": r"data\.mean: got 2 values; allowed: 1, one a channel, or null",
    "data.mean=null": r"data\.mean: got only one of mean and std; allowed: both, or neither",
    "data.std=[0]": r"data\.std: got 0; allowed: a number > 0",
    "data.cache=ram": r"data\.cache: got 'ram'; allowed: auto, device, memory, disk, none; do: data\.cache=",
    "data.cache=memory data.cache_bytes=1000": r"data\.cache: got memory, for images of 115\.0 kB; allowed: at most 1\.0 kB, what data\.cache_bytes allows; do: data\.cache=auto, ",
    "data.cache=disk data.cache_dir=/proc/nope": r"data\.cache_dir: got /proc/nope, which cannot be written to; allowed: a folder",
    "optimizer.fused=yes1": r"optimizer\.fused: got 'yes1'; allowed: auto, true, false",
    "data.cache=disk data.cache_bytes=1000 data.cache_dir=there": r"data\.cache: got disk, for images of 115\.0 kB; allowed: at most 1\.0 kB",
    "data.cache_bytes=2e9": r"data\.cache_bytes: got 2000000000\.0; allowed: an integer >= 0; do: data\.cache_bytes=2_000_000_000",
    "data.cache_dir=3": r"data\.cache_dir: got 3; allowed: a folder; do: data\.cache_dir=FOLDER",
    "data.timeout=-1": r"data\.timeout: got -1; allowed: a number >= 0; do: data\.timeout=600",
    "data.prefetch=0": r"data\.prefetch: got 0; allowed: an integer >= 1",
    "data.cutout=-1": r"data\.cutout: got -1; allowed: an integer >= 0",
    "data.cutout=9": r"data\.cutout: got 9 for images of 8x8 pixels; allowed: 0 to 8; do: data\.cutout=4",
    "data.resized_crop=0": r"data\.resized_crop: got 0; allowed: a number > 0 and <= 1",
    "data.resized_crop=1.5": r"data\.resized_crop: got 1\.5; allowed: a number > 0 and <= 1",
    "data.flip=1": r"data\.flip: got 1; allowed: true or false",
    "data.shift=-2": r"data\.shift: got -2; allowed: an integer >= 0",
    "model.width=1.5": r"model\.width: got 1\.5; allowed: an integer",
    # durations
    "scheduler=step scheduler.step_size=0%": r"scheduler\.step_size: got 0%, which is 0 epochs; allowed: a duration of at least 1 epoch",
    "scheduler=step scheduler.step_size=25percent": r"scheduler\.step_size: got '25percent', which is no duration; allowed: .*5ep, 500st, 25%",
    "scheduler=step scheduler.step_size=0.5": r"scheduler\.step_size: got 0\.5; allowed: a whole number of epochs, .*; do: scheduler\.step_size=50%",
    "scheduler=step scheduler.step_size=-5": r"scheduler\.step_size: got -5, .*; allowed: a duration of at least 1 epoch",
    "scheduler=step scheduler.step_size=-5ep": r"scheduler\.step_size: got '-5ep', which is no duration",
    "scheduler=step scheduler.step_size=1%": r"scheduler\.step_size: got 1%, which is 0\.2 epochs and rounds to zero",
    "scheduler=step scheduler.step_size=null": r"scheduler\.step_size: got None; allowed: an integer",
    "scheduler=multistep scheduler.milestones=3": r"scheduler\.milestones: got 3; allowed: a list; do: scheduler\.milestones=\[3\]",
    "scheduler=multistep scheduler.milestones=[2.5]": r"scheduler\.milestones: got 2\.5; allowed: a whole number of epochs",
    "scheduler=linear scheduler.total_iters=0": r"scheduler\.total_iters: got 0, which is 0 epochs; allowed: .* at least 1",
    "scheduler.interval=batch": r"scheduler\.interval: got 'batch'; allowed: epoch, step",
    "scheduler=plateau scheduler.interval=step": r"scheduler\.interval: got step; allowed: epoch, for a scheduler that follows a metric",
    # plans
    "scheduler=step scheduler.gamma=-0.5": r"scheduler: got a planned LR of -0\.01 in epoch 6; allowed: finite and not negative",
    "scheduler=exponential scheduler.gamma=1e200": r"scheduler: got a planned LR of inf in epoch 3; allowed: finite",
    "scheduler=onecycle scheduler.total_steps=50%": r"scheduler: got OneCycleLR fails after step 230 .*; allowed: .* lasts 460 steps",
    "scheduler=warmup_cosine scheduler.lr_lambda.steps=100%": r"scheduler: warm-up steps: got 460 of 460; allowed: 0 to 459",
    "scheduler=warmup_cosine scheduler.lr_lambda.then.floor=2": r"scheduler: floor: got 2; allowed: 0 to 1",
    # data that is not there
    "data=imagefolder data.root=/nowhere": r"data\.root: got /nowhere, which has no folder train; allowed: .*; do: data\.root=FOLDER",
    "data=mnist data.root=/nowhere data.download=false": r"data\.root: got /nowhere, which does not exist; allowed: ",
    # several values, sweeps, resuming
    "scheduler=step,cosine": r"scheduler: got several values, step,cosine; allowed: one, .*; do: add -m",
    "-m scheduler=step,cosin": r"scheduler: got 'cosin'",
    "-m seed=0,1 optimizer.lr=1,-1": r"optimizer\.lr: got -1",
    "-m seed=0,0": r"command line: got two runs named seed=0; allowed: each run once",
    "-m seed=0,1 resume=x": r"resume: got a sweep \(-m\); allowed: one run at a time",
    "resume=/nowhere": r"resume: got /nowhere, which does not exist; allowed: a run's folder, ",
    "resume=.": r"resume: got \., a folder without checkpoints/last\.pt; allowed: ",
    "extend=3": r"extend: got 3; allowed: null, unless a run is resumed; do: trainer\.epochs=N",
    # two mistakes, and mistakes in what is around the settings
    "lr=0.1 epochs=5": r"lr: got a setting that does not exist \(did you mean optimizer\.lr\?\)",
    "scheduler.gama=1 scheduler=step lr=3": r"(?:scheduler\.gama|lr): got a setting that does not exist",
    "~seed": r"seed: got nothing; allowed: a value; do: seed=VALUE",
    "+sede=3": r"sede: got a setting that does not exist",
    "seed=99999999999999999999999": r"seed: got 9{23}; allowed: an integer >= 0 and <= ",
    "data.mean=0.5": r"data\.mean: got 0\.5; allowed: a list, one value a channel; do: data\.mean=\[0\.5\]",
    "data=fake data.train_images=0": r"data: got a split without images; allowed: at least one image in each",
    "data=fake data.image_size=-1": r"data: got settings with which reading the first image fails \(RuntimeError: ",
    "optimizer._target_=torch.optim.LBFGS": r"optimizer\._target_: got torch\.optim\.LBFGS, whose step\(\) wants a closure",
    "optimizer._target_=my.NoOptimizer": r"optimizer\._target_: got my\.NoOptimizer, which cannot be imported",
    "scheduler._target_=torch.optim": r"scheduler: got settings with which torch\.optim fails|scheduler\._target_: ",
    "scheduler._target_=torch.nn.Linear a'=b": r"command line: got ",
    "scheduler=plateau trainer.eval_every=5": r"trainer\.eval_every: got 5 with a scheduler that follows val_loss .*; allowed: 1; ",
    "scheduler=plateau scheduler.monitor=val_accuracy": r"scheduler\.mode: got min with monitor=val_accuracy; allowed: max; ",
    "-m model=torchvision model.name=resnet18,resnet19 data=fake": r"model\.name: got 'resnet19'",
    "resume=": r"resume: got nothing; allowed: a run's folder, ",
    "--epochs=5": r"command line: got .*--epochs=5.*; allowed: KEY=VALUE, -m, ",
    "--config-name nope": r"--config-name: got nope; allowed: --config-dir; ",
    "a'=b": r"command line: got \"?'?a'=b.*; allowed: key=value",
}


@pytest.mark.parametrize("typed", BEFORE_ANY_DATA)
def test_a_mistake_is_one_line_and_leaves_nothing(command, tmp_path, monkeypatch, typed):
    monkeypatch.setattr("lrlab.data.digits._read", None)  # any reading of data would fail in another way
    outcome = command(*typed.split())
    assert outcome.code == 1
    assert re.match(r"lrlab: error: " + BEFORE_ANY_DATA[typed], outcome.err.strip()), outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""
    assert list(tmp_path.iterdir()) == []
    three_parts = re.search(r": got .*; allowed: .*; do: .*", outcome.err)
    assert three_parts, outcome.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_is_never_replaced_silently(command):
    outcome = command("trainer.device=cuda")
    assert outcome.code == 1
    assert "got 'cuda' (this torch sees no CUDA device); allowed: auto, cpu" in outcome.err


MODELS = {
    "model=torchvision model.name=resnet19": r"model\.name: got 'resnet19'; allowed: .*; do: model\.name=resnet1",
    "model=torchvision model.name=vit_b_16": r"model: got an error on images \(1, 8, 8\): Wrong image height! .* 224",
    "model=resnet20 model.depth=21": r"model\.depth: got 21; allowed: 6n \+ 2",
    "data=fake data.image_size=2": r"model: got images of 2x2 pixels; allowed: 4x4 or larger; do: model=mlp",
}


@pytest.mark.parametrize("typed", MODELS)
def test_a_model_that_does_not_fit_leaves_nothing_either(command, tmp_path, typed):
    outcome = command(*typed.split())
    assert outcome.code == 1
    assert re.match(r"lrlab: error: " + MODELS[typed], outcome.err)
    assert outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def image_run(command, root: Path, *more: str):
    return command(
        "data=imagefolder", f"data.root={root}", "data.workers=0", "data.batch_size=3", "trainer.epochs=2", *more
    )


def test_a_class_without_images_is_named_before_a_folder_is_made(command, tmp_path):
    (folder_of_images(tmp_path / "images") / "train" / "green").mkdir()
    outcome = image_run(command, tmp_path / "images")
    assert outcome.code == 1
    assert re.match(r"lrlab: error: data\.root: got .*images/train: .*green.*; allowed: ", outcome.err)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_does_not_decode_is_named_by_its_path(command, tmp_path, workers):
    bad = folder_of_images(tmp_path / "images") / "val" / "red" / "2.png"
    bad.write_bytes(b"not an image")
    outcome = image_run(command, tmp_path / "images", f"data.workers={workers}")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert re.match(
        rf"lrlab: error: data\.root: got {re.escape(str(bad))}, which does not decode .*; do: replace", outcome.err
    )


def test_a_training_image_that_does_not_decode_costs_nothing_that_was_trained_before_it(command, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "_CHUNK", 1)
    root = folder_of_images(tmp_path / "images")
    samples = datasets.ImageFiles(root / "train", None).samples
    last = torch.randperm(len(samples), generator=randomness.generator(0, "order", 0))[-1]
    bad = Path(samples[int(last)][0])
    good = bad.read_bytes()
    bad.write_bytes(b"not an image")
    outcome = image_run(command, root)
    assert outcome.code == 1
    assert f"data.root: got {bad}, which does not decode" in outcome.err
    [run] = (tmp_path / "outputs" / "runs").iterdir()
    stopped = summary(run)
    assert stopped["status"] == "failed"
    assert stopped["updates"] == -(-len(samples) // 3) - 1
    bad.write_bytes(good)
    done = command(f"resume={run}")
    assert f"resumed after update {stopped['updates']}" in done.out
    assert summary(run)["status"] == "finished"
    steps = [step for step, _ in points(run)["lr"]]
    assert steps == list(range(summary(run)["updates"]))


def test_labels_out_of_range_are_named(command, tmp_path):
    (tmp_path / "my_data.py").write_text(
        "import torch\nfrom lrlab.data.splits import Splits\n"
        "def few(num_classes):\n"
        "    rows = [(torch.rand(1, 8, 8), i % 3) for i in range(9)]\n"
        "    return Splits(rows, rows, num_classes)\n"
    )
    outcome = command("data._target_=my_data.few", "+data.num_classes=2", "data.shift=0")
    assert outcome.code == 1
    assert re.match(r"lrlab: error: data: got label 2 at index \d; allowed: 0 to 1 for 2 classes; do: ", outcome.err)


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(command, tmp_path):
    outcome = command("scheduler=constant", "optimizer.lr=1e30", "trainer.epochs=3", "model=mlp")
    folder = next((tmp_path / "outputs" / "runs").iterdir())
    assert outcome.code == 1
    assert re.match(
        r"lrlab: error: (train/loss|gradients): got .* at update \d+, LR 1e\+30, first in .*\.weight; "
        r"allowed: finite numbers; do: .*; last good checkpoint: .*last\.pt \(update \d+\)$",
        outcome.err.strip(),
    )
    assert outcome.err.count("\n") == 1
    assert '"status": "diverged"' in (folder / "summary.json").read_text()
    kept = checkpoint.load(folder / "checkpoints" / "last.pt")["state"]["model"]
    assert all(torch.isfinite(value).all() for value in kept.values())


def test_a_sweep_goes_on_when_one_run_diverges(command, tmp_path):
    outcome = command("-m", "optimizer.lr=1e30,0.05", "model=mlp", "trainer.epochs=1")
    sweep = next((tmp_path / "outputs" / "sweeps").iterdir())
    assert outcome.code == 1
    assert "train/loss: got nan at update" in outcome.out
    assert "lr=1e+30 diverged" in outcome.err.splitlines()[-1]
    assert '"status": "diverged"' in (sweep / "lr=1e+30" / "summary.json").read_text()
    assert '"status": "finished"' in (sweep / "lr=0.05" / "summary.json").read_text()


def test_the_traceback_is_shown_on_request(command, monkeypatch):
    monkeypatch.setenv("LRLAB_DEBUG", "1")
    assert "Traceback" in command("trainer.epochs=0").err
    assert os.environ["LRLAB_DEBUG"] == "1"
