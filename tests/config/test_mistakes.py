"""Every mistake is one line (got, allowed, do) and exit code 1, before data is read; nothing is left behind."""

import os
import re
import shlex
from pathlib import Path

import pytest
import torch
from support import composed, folder_of_images, points, summary

from lrlab.config import identity, mistakes
from lrlab.config.prepare import prepare
from lrlab.data import decoding, image_files
from lrlab.runs import checkpoint
from lrlab.system import randomness

# What is typed, and the whole line; … is what another version, device or list of options says otherwise.
BEFORE_ANY_DATA = {
    # names
    "scheduler=cosin": "scheduler: got 'cosin' (did you mean cosine?); allowed: chained, constant, cosine, …; do: scheduler=cosine",
    "scheduler=cosine scheduler.gamma=0.3": "scheduler.gamma: got a setting that does not exist; allowed: T_max, eta_min, interval; do: choose scheduler=cyclic or cyclic_exp_range or cyclic_triangular2 or exponential or multistep or step, which has it",
    "scheduler cosine": "command line: got 'scheduler'; allowed: key=value, with quotes around a value that has spaces or any of = , [ ] { }; do: write it with =, as in scheduler=cosine",
    "scheduler=mine": "scheduler: got 'mine'; allowed: chained, constant, cosine, …; do: scheduler=chained, or --config-dir FOLDER where yours lies",
    "model=resnet18": "model: got 'resnet18' (did you mean resnet20?); allowed: airbench, cnn, conv2_dense2, conv3_dense3, lenet, linear, mlp, mnist_convnet, resnet20, torchvision, transformer, and all of torchvision's as model=torchvision model.name=NAME; do: model=resnet20",
    "scheduler=": "scheduler: got ''; allowed: chained, constant, cosine, …; do: scheduler=chained, or --config-dir FOLDER where yours lies",
    "model=resnet21": "model: got 'resnet21' (did you mean resnet20?); allowed: airbench, cnn, conv2_dense2, conv3_dense3, lenet, linear, mlp, mnist_convnet, resnet20, torchvision, transformer, and all of torchvision's as model=torchvision model.name=NAME; do: model=resnet20",
    "scheduler=step scheduler.gama=0.9": "scheduler.gama: got a setting that does not exist (did you mean scheduler.gamma?); allowed: gamma, interval, step_size; do: scheduler.gamma=0.9",
    "scheduler=step +scheduler.gama=0.9": "scheduler.gama: got a setting that does not exist (did you mean scheduler.gamma?); allowed: step_size, gamma, last_epoch; do: scheduler.gamma=0.9",
    "scheduler=step ++scheduler.gama=0.9": "scheduler.gama: got a setting that does not exist (did you mean scheduler.gamma?); allowed: step_size, gamma, last_epoch; do: scheduler.gamma=0.9",
    "lr=0.1": "lr: got a setting that does not exist (did you mean optimizer.lr?); allowed: checkpoint, data, extend, …; do: optimizer.lr=0.1",
    "schedular=cosine": "schedular: got a setting that does not exist (did you mean scheduler?); allowed: checkpoint, data, extend, …; do: scheduler=cosine",
    "trainer.epoch=3": "trainer.epoch: got a setting that does not exist (did you mean trainer.epochs?); allowed: accumulate, average, …; do: trainer.epochs=3",
    "+trainer.epoch=3": "trainer.epoch: got a setting that does not exist (did you mean trainer.epochs?); allowed: epochs, device, eval_every, …; do: trainer.epochs=3",
    "+model.widht=3": "model.widht: got a setting that does not exist (did you mean model.width?); allowed: width, dropout; do: model.width=3",
    "~scheduler": "scheduler: got nothing; allowed: an option of conf/scheduler; do: scheduler=NAME",
    "scheduler._target_=no_pkg.MyLR": "scheduler._target_: got no_pkg.MyLR, which cannot be imported (ModuleNotFoundError: No module named 'no_pkg'); allowed: the full name of a class or function, in an installed package or in the current folder; do: scheduler._target_=PACKAGE.NAME",
    "scheduler._target_=0": "scheduler._target_: got 0, which is no name; allowed: the full name of a class or function, in an installed package or in the current folder; do: scheduler._target_=PACKAGE.NAME",
    "scheduler=wsd scheduler.lr_lambda._target_=null": "scheduler.lr_lambda._target_: got None, which is no name; allowed: the full name of a class or function, in an installed package or in the current folder; do: scheduler.lr_lambda._target_=PACKAGE.NAME",
    "scheduler._target_=torch.optim.NoLR": "scheduler._target_: got torch.optim.NoLR, which cannot be imported (AttributeError: module 'torch.optim' has no attribute 'NoLR'); allowed: the full name of a class or function, in an installed package or in the current folder; do: scheduler._target_=PACKAGE.NAME",
    "scheduler._target_=torch.nn.Identity": "scheduler._target_: got torch.nn.Identity, whose object has no step(); allowed: a class with step(), get_last_lr(), state_dict() and load_state_dict(); do: derive it from torch.optim.lr_scheduler.LRScheduler",
    "data._target_=torch.zeros": "data: got settings with which torch.zeros fails (TypeError: …); allowed: what torch.zeros accepts; do: change the settings under data",
    "--config-dir /nowhere": "--config-dir: got /nowhere, which is no folder; allowed: a folder with GROUP/OPTION.yaml files in it; do: make it, or correct its path",
    "--config-path /nowhere": "--config-path: got /nowhere; allowed: --config-dir; do: --config-dir /nowhere",
    "optimizer.groups.heat.lr_scale=2": "optimizer.groups.heat: got heat heat.*, which no parameter of the model matches (did you mean head?); allowed: names or patterns of parameters, which begin with backbone, head; do: optimizer.groups.heat.params=[head.*]",
    "optimizer.groups.head.scale=2": "optimizer.groups.head.scale: got a setting that does not exist (did you mean optimizer.groups.head.lr_scale?); allowed: params, lr_scale, delay, weight_decay, schedule; do: optimizer.groups.head.lr_scale=2",
    "optimizer.groups.head.delay=soon": "optimizer.groups.head.delay: got 'soon', which is no duration; allowed: a whole number of epochs such as 25, or 5ep, 500st, 50_000im, 25%; do: optimizer.groups.head.delay=25%",
    "optimizer.groups.head.schedule=linaer": "optimizer.groups.head.schedule: got 'linaer'; allowed: chained, constant, cosine, …; do: optimizer.groups.head.schedule=linear",
    "optimizer.groups.head.schedule=3": "optimizer.groups.head.schedule: got 3; allowed: an option of conf/scheduler by its name, {name: wsd, decay: 30%}, or a node with a _target_; do: optimizer.groups.head.schedule=linear",
    "optimizer.groups.head.schedule=plateau": "optimizer.groups.head.schedule: got ReduceLROnPlateau, which follows a metric; allowed: a schedule that is known before; the run's scheduler may follow a metric; do: optimizer.groups.head.schedule=linear, or scheduler=plateau for the whole run",
    "optimizer.groups.head.schedule=warmup_plateau": "optimizer.groups.head.schedule: got WarmupPlateau, which follows a metric; allowed: a schedule that is known before; the run's scheduler may follow a metric; do: optimizer.groups.head.schedule=linear, or scheduler=plateau for the whole run",
    "optimizer.groups.head.schedule=onecycle": "optimizer.groups.head.schedule: got OneCycleLR with cycle_momentum, and momentum is one for all groups; allowed: a schedule of the LR alone; do: 'optimizer.groups.head.schedule={name:onecycle,cycle_momentum:false}'",
    "optimizer.groups.head.schedule={name:wsd,decai:30%}": "optimizer.groups.head.schedule.decai: got a setting that wsd does not have (did you mean decay?); allowed: decay, exponent, floor, …; do: optimizer.groups.head.schedule.decay=30% in place of decai",
    "optimizer.groups.head.schedule={name:wsd,decay:30%,floor:2}": "optimizer.groups.head.schedule.lr_lambda.floor: got 2 with shape one_minus_sqrt; allowed: 0 to 1, a fraction of the base LR; do: optimizer.groups.head.schedule.lr_lambda.floor=0.01",
    "optimizer.groups.head.schedule={name:step,interval:batch}": "optimizer.groups.head.schedule.interval: got 'batch'; allowed: epoch, step; do: optimizer.groups.head.schedule.interval=epoch",
    "optimizer.groups.head.schedule={_target_:torch.nn.Identity}": "optimizer.groups.head.schedule._target_: got torch.nn.Identity, whose object has no step(); allowed: a class with step(), get_last_lr(), state_dict() and load_state_dict(); do: derive it from torch.optim.lr_scheduler.LRScheduler",
    "optimizer.groups.head.schedule=linear optimizer.groups.head.delay=100%": "optimizer.groups.head.delay: got 100%, which leaves nothing of the run to its schedule; allowed: shorter than the run; do: optimizer.groups.head.delay=25%, or no optimizer.groups.head.schedule",
    "optimizer.groups.head.schedule=linear optimizer.groups.head.delay=soon": "optimizer.groups.head.delay: got 'soon', which is no duration; allowed: a whole number of epochs such as 25, or 5ep, 500st, 50_000im, 25%; do: optimizer.groups.head.delay=25%",
    "optimizer.layer_decay=1.5": "optimizer.layer_decay: got 1.5; allowed: a number > 0 and <= 1; do: optimizer.layer_decay=0.75, or null",
    "optimizer.layer_decay=0": "optimizer.layer_decay: got 0; allowed: a number > 0 and <= 1; do: optimizer.layer_decay=0.75, or null",
    "optimizer.layer_decay=0.5 optimizer.groups.layer_0.params=[head.*]": "optimizer.groups: got two groups that are called layer_0, as parts of groups are; allowed: names of which none is that of a part: NAME_layer_N, NAME_no_decay; do: another name than optimizer.groups.layer_0",
    "scheduler=warmup_plateau trainer.eval_every=5": "trainer.eval_every: got 5 with a scheduler that follows val_loss and counts epochs; allowed: 1; do: trainer.eval_every=1, or scheduler.monitor=train_loss",
    "scheduler=warmup_plateau scheduler.monitor=val_accuracy": "scheduler.mode: got min with monitor=val_accuracy; allowed: max; do: scheduler.mode=max",
    "scheduler=warmup_plateau scheduler.factor=2": "scheduler.factor: got 2; allowed: between 0 and 1; do: scheduler.factor=0.1",
    "scheduler=warmup_plateau scheduler.shape=sine": "scheduler.shape: got sine; allowed: linear, cosine, square, …; do: scheduler.shape=linear",
    "scheduler=warmup_plateau scheduler.patience=0.5": "scheduler.patience: got 0.5; allowed: a whole number of epochs, or 5ep, 500st, 50_000im, 25%; do: scheduler.patience=50%",
    "optimizer.groups=3": "optimizer.groups: got 3; allowed: a mapping of names; do: optimizer.groups.head.lr_scale=10",
    "optimizer.schedule.lr=cosine": "optimizer.schedule.lr: got a setting that does not exist; allowed: momentum, weight_decay; do: leave optimizer.schedule.lr out",
    "optimizer.schedule.momentum=cosin": "optimizer.schedule.momentum: got 'cosin'; allowed: ceiling, constant, cooldown, …; do: optimizer.schedule.momentum=cosine",
    "optimizer.schedule.momentum=wsd": "optimizer.schedule.momentum: got wsd, which needs warmup, decay; allowed: a schedule that needs nothing but the run's length, or a node; do: 'optimizer.schedule.momentum={_target_:lrlab.schedules.wsd,warmup:10%,decay:10%}'",
    "optimizer=rmsprop optimizer.schedule.momentum=cosine scheduler=onecycle": "optimizer.schedule.momentum: got a schedule beside the scheduler's own; allowed: one of them; do: scheduler.cycle_momentum=false, or leave optimizer.schedule.momentum out",
    "scheduler=wsd scheduler.decay=10%": "scheduler.decay: got a setting that does not exist (did you mean scheduler.lr_lambda.decay?); allowed: interval, lr_lambda; do: scheduler.lr_lambda.decay=10%",
    "scheduler=warmup_cosine scheduler.floor=0.1": "scheduler.floor: got a setting that does not exist (did you mean scheduler.lr_lambda.then.floor?); allowed: interval, lr_lambda; do: scheduler.lr_lambda.then.floor=0.1",
    "scheduler=sequence scheduler.lr_lambda.schedules.fall.flor=1": "scheduler.lr_lambda.schedules.fall.flor: got a setting that does not exist (did you mean scheduler.lr_lambda.schedules.fall.floor?); allowed: floor; do: scheduler.lr_lambda.schedules.fall.floor=1",
    "scheduler=sequential scheduler.schedulers.warmup.start_factor=x": "scheduler.schedulers.warmup.start_factor: got 'x'; allowed: a number; do: scheduler.schedulers.warmup.start_factor=0.3333333333333333",
    "scheduler=wsd scheduler.lr_lambda.shape=sine": "scheduler.lr_lambda.shape: got sine; allowed: linear, one_minus_sqrt, cosine, …; do: scheduler.lr_lambda.shape=one_minus_sqrt",
    "scheduler=greedy scheduler.min_lr=1": "scheduler.min_lr: got 1; allowed: 0 to the base LR, 0.02; do: scheduler.min_lr=0.0",
    "scheduler=greedy scheduler.interval=step": "scheduler.interval: got step; allowed: epoch, for a scheduler that follows a metric; do: scheduler.interval=epoch",
    "scheduler=greedy trainer.eval_every=2": "trainer.eval_every: got 2 with a scheduler that follows val_loss and counts epochs; allowed: 1; do: trainer.eval_every=1, or scheduler.monitor=train_loss",
    # numbers
    "optimizer.lr=abc": "optimizer.lr: got 'abc'; allowed: a number; do: optimizer.lr=0.001",
    "optimizer.lr=-1": "optimizer.lr: got -1; allowed: a number > 0; do: optimizer.lr=0.01",
    "optimizer.lr=0": "optimizer.lr: got 0; allowed: a number > 0; do: optimizer.lr=0.01",
    "optimizer.lr=nan": "optimizer.lr: got nan; allowed: a number; do: optimizer.lr=0.001",
    "optimizer.lr=inf": "optimizer.lr: got inf; allowed: a number > 0; do: optimizer.lr=0.01",
    "optimizer.lr=null": "optimizer.lr: got None; allowed: a number; do: optimizer.lr=0.001",
    "optimizer.lr=${nope}": "optimizer.lr: got a reference that leads nowhere (…'nope'…); allowed: ${key} of a setting that exists, or ${oc.env:NAME} of a variable that is set; do: set it to a plain value",
    "optimizer.momentum=-1": "optimizer: got settings with which torch.optim.SGD fails (ValueError: Invalid momentum value: -1); allowed: what torch.optim.SGD accepts; do: change the settings under optimizer",
    "trainer.epochs=0": "trainer.epochs: got 0; allowed: a number > 0; do: trainer.epochs=10",
    "trainer.epochs=null": "trainer.epochs: got None; allowed: a number > 0; do: trainer.epochs=10",
    "trainer.epochs=true": "trainer.epochs: got True; allowed: a number > 0; do: trainer.epochs=10",
    "trainer.epochs=2ep": "trainer.epochs: got '2ep'; allowed: a number > 0; do: trainer.epochs=10",
    "trainer.steps=0": "trainer.steps: got 0; allowed: updates, an integer >= 1, or with a unit: 1000st, 2.5ep, 500_000im; do: trainer.steps=1000",
    "trainer.steps=2.5": "trainer.steps: got 2.5; allowed: updates, an integer >= 1, or with a unit: 1000st, 2.5ep, 500_000im; do: trainer.steps=1000",
    "trainer.steps=25%": "trainer.steps: got '25%'; allowed: updates, an integer >= 1, or with a unit: 1000st, 2.5ep, 500_000im; do: trainer.steps=1000",
    "trainer.steps=1000ms": "trainer.steps: got '1000ms'; allowed: updates, an integer >= 1, or with a unit: 1000st, 2.5ep, 500_000im; do: trainer.steps=1000",
    "trainer.epochs=0.01": "trainer.epochs: got 0.01, which is less than half an update; allowed: at least one update, of which an epoch has 21; do: trainer.epochs=1",
    "trainer.steps=10 trainer.epochs=2": "trainer.steps: got 10, beside trainer.epochs=2; allowed: one length of the run; do: leave trainer.epochs out",
    "trainer.eval_every=0": "trainer.eval_every: got 0; allowed: an integer >= 1; do: trainer.eval_every=1",
    "trainer.clip_grad_norm=0": "trainer.clip_grad_norm: got 0; allowed: a number > 0; do: trainer.clip_grad_norm=1.0, or null for none",
    "task.label_smoothing=2": "task.label_smoothing: got 2; allowed: a number >= 0 and <= 1; do: task.label_smoothing=0.1",
    "trainer.label_smoothing=0.1": "trainer.label_smoothing: got a setting that is task.label_smoothing now; allowed: task.label_smoothing; do: task.label_smoothing=VALUE",
    "+trainer.label_smoothing=0.1": "trainer.label_smoothing: got a setting that is task.label_smoothing now; allowed: task.label_smoothing; do: task.label_smoothing=VALUE",
    "-m trainer.label_smoothing=0,0.1": "trainer.label_smoothing: got a setting that is task.label_smoothing now; allowed: task.label_smoothing; do: task.label_smoothing=VALUE",
    "task=ranking": "task: got 'ranking'; allowed: classification, language, regression; do: task=classification, or --config-dir FOLDER where yours lies",
    "task._target_=torch.nn.CrossEntropyLoss": "task._target_: got torch.nn.CrossEntropyLoss, which makes a CrossEntropyLoss; allowed: a class with metrics, training_loss(), validation_loss() and to(), as lrlab.training.task.Task; do: task=classification",
    "task.loss=focal": "task.loss: got 'focal'; allowed: a node with a _target_; do: choose one by name, or set task.loss._target_",
    "task.loss={_target_:no_pkg.FocalLoss}": "task.loss._target_: got no_pkg.FocalLoss, which cannot be imported (ModuleNotFoundError: No module named 'no_pkg'); allowed: the full name of a class or function, in an installed package or in the current folder; do: task.loss._target_=PACKAGE.NAME",
    "task.loss={_target_:torch.nn.CrossEntropyLoss,label_smothing:0.1}": "task.loss.label_smothing: got a setting that does not exist (did you mean task.loss.label_smoothing?); allowed: weight, size_average, ignore_index, …; do: task.loss.label_smoothing=0.1",
    "task.loss={_target_:torch.nn.CrossEntropyLoss,reduction:none}": "task.loss: got a tensor (2,), for 2 images; allowed: the mean over the batch, a tensor () with a gradient; do: return loss.mean() from the loss",
    "task.loss={_target_:torch.nn.CrossEntropyLoss} task.label_smoothing=0.1": "task.label_smoothing: got 0.1 with task.loss, which is called with the labels as they are; allowed: 0 with a loss of one's own; do: task.label_smoothing=0.0, and smooth in the loss itself",
    "task.loss={_target_:torch.nn.Linear,in_features:10,out_features:1}": "task.loss: got torch.nn.Linear, which has parameters of its own; allowed: a loss without any: the optimizer learns the model's; do: make them buffers, or move them into the model",
    "task.loss={_target_:builtins.dict}": "task.loss._target_: got builtins.dict, which makes a dict; allowed: a class whose objects are called as loss(logits, labels); do: task.loss=null for cross entropy",
    "trainer.deterministic=1": "trainer.deterministic: got 1; allowed: true or false; do: trainer.deterministic=true",
    "trainer.precision=half": "trainer.precision: got 'half'; allowed: fp32, bf16, fp16; do: trainer.precision=fp32",
    "trainer.precision=bf61": "trainer.precision: got 'bf61'; allowed: fp32, bf16, fp16; do: trainer.precision=bf16",
    "trainer.compile=1": "trainer.compile: got 1; allowed: false, true, default, reduce-overhead, max-autotune, max-autotune-no-cudagraphs; do: trainer.compile=false",
    "trainer.channels_last=yess": "trainer.channels_last: got 'yess'; allowed: auto, true, false; do: trainer.channels_last=auto",
    "trainer.accumulate=2 trainer.compile=reduce-overhead": "trainer.accumulate: got 2, with trainer.compile=reduce-overhead, whose CUDA graphs reuse their memory; allowed: 1 with these modes; do: trainer.compile=true",
    "trainer.accumulate=65": "trainer.accumulate: got 65 parts of a batch of 64 images; allowed: at most 64, an image a part; do: trainer.accumulate=4, or a larger data.batch_size",
    "trainer.accumulate=0": "trainer.accumulate: got 0; allowed: an integer >= 1; do: trainer.accumulate=1",
    "trainer.monitor=acc": "trainer.monitor: got 'acc'; allowed: val_loss, val_accuracy, train_loss, train_accuracy; do: trainer.monitor=val_loss",
    "trainer.device=gpu": "trainer.device: got 'gpu'; allowed: auto, cpu…; do: trainer.device=auto",
    "trainer.device=cuda:99": "trainer.device: got 'cuda:99'…; allowed: auto, cpu…; do: trainer.device=auto",
    "seed=-1": "seed: got -1; allowed: an integer >= 0 and <= 9223372036854775807; do: seed=0",
    "seed=abc": "seed: got 'abc'; allowed: an integer >= 0 and <= 9223372036854775807; do: seed=0",
    "data.batch_size=0": "data.batch_size: got 0; allowed: an integer >= 1; do: data.batch_size=128",
    "data.batch_size=2000 data.drop_last=true": "data.batch_size: got 2000 with drop_last, which leaves no batch of 1293 images; allowed: 1 to 1293; do: data.drop_last=false",
    "data.mean=[0.1,0.2]": "data.mean: got 2 values; allowed: 1, one a channel, or null; do: data.mean=null data.std=null",
    "data.mean=null": "data.mean: got only one of mean and std; allowed: both, or neither; do: data.mean=null data.std=null",
    "data.std=[0]": "data.std: got 0; allowed: a number > 0; do: data.std=[0.5]",
    "data.cache=ram": "data.cache: got 'ram'; allowed: auto, device, memory, disk, none; do: data.cache=auto",
    "data.cache=memory data.cache_bytes=1000": "data.cache: got memory, for images of 92.0 kB; allowed: at most 1.0 kB, what data.cache_bytes allows; do: data.cache=auto, or data.cache_bytes=BYTES",
    "data.cache=disk data.cache_dir=/proc/nope": "data.cache_dir: got /proc/nope, which cannot be written to; allowed: a folder that can be made and written to; do: data.cache_dir=FOLDER, or data.cache=auto",
    "optimizer.fused=yes1": "optimizer.fused: got 'yes1'; allowed: auto, true, false; do: optimizer.fused=auto",
    "data.cache=disk data.cache_bytes=1000 data.cache_dir=there": "data.cache: got disk, for images of 92.0 kB; allowed: at most 1.0 kB, what data.cache_bytes allows; do: data.cache=auto, or data.cache_bytes=BYTES",
    "data.cache_bytes=2e9": "data.cache_bytes: got 2000000000.0; allowed: an integer >= 0; do: data.cache_bytes=2_000_000_000, or null",
    "data.cache_dir=3": "data.cache_dir: got 3; allowed: a folder; do: data.cache_dir=FOLDER",
    "data.timeout=-1": "data.timeout: got -1; allowed: a number >= 0; do: data.timeout=600",
    "data.prefetch=0": "data.prefetch: got 0; allowed: an integer >= 1; do: data.prefetch=2",
    "data.cutout=-1": "data.cutout: got -1; allowed: an integer >= 0; do: data.cutout=8",
    "data.cutout=9": "data.cutout: got 9 for images of 8x8 pixels; allowed: 0 to 8; do: data.cutout=4",
    "data.resized_crop=0": "data.resized_crop: got 0; allowed: a number > 0 and <= 1; do: data.resized_crop=0.25, or null",
    "data.resized_crop=1.5": "data.resized_crop: got 1.5; allowed: a number > 0 and <= 1; do: data.resized_crop=0.25, or null",
    "data.flip=1": "data.flip: got 1; allowed: true or false; do: data.flip=true",
    "data.shift=-2": "data.shift: got -2; allowed: an integer >= 0; do: data.shift=2",
    "model.width=1.5": "model.width: got 1.5; allowed: an integer; do: model.width=16",
    # durations
    "scheduler=step scheduler.step_size=0%": "scheduler.step_size: got 0%, which is 0 epochs; allowed: a duration of at least 1 epoch; do: scheduler.step_size=25%",
    "scheduler=step scheduler.step_size=25percent": "scheduler.step_size: got '25percent', which is no duration; allowed: a whole number of epochs such as 25, or 5ep, 500st, 50_000im, 25%; do: scheduler.step_size=25%",
    "scheduler=step scheduler.step_size=0.5": "scheduler.step_size: got 0.5; allowed: a whole number of epochs, or 5ep, 500st, 50_000im, 25%; do: scheduler.step_size=50%",
    "scheduler=step scheduler.step_size=-5": "scheduler.step_size: got -5, which is -5 epochs; allowed: a duration of at least 1 epoch; do: scheduler.step_size=25%",
    "scheduler=step scheduler.step_size=-5ep": "scheduler.step_size: got '-5ep', which is no duration; allowed: a whole number of epochs such as 25, or 5ep, 500st, 50_000im, 25%; do: scheduler.step_size=25%",
    "scheduler=wsd scheduler.lr_lambda.decay=foo": "scheduler.lr_lambda.decay: got 'foo'; allowed: a whole number of steps, or 5ep, 500st, 50_000im, 25%; do: scheduler.lr_lambda.decay=25%",
    "scheduler=wsd scheduler.lr_lambda.decay=true": "scheduler.lr_lambda.decay: got True; allowed: a whole number of steps, or 5ep, 500st, 50_000im, 25%; do: scheduler.lr_lambda.decay=25%",
    "hydra.launcher.n_jobs=2": "hydra.launcher.n_jobs: got a setting of sweeps, for a single run; allowed: it with -m; do: add -m",
    "hydra/launcher=lrlab": "hydra/launcher: got a setting of sweeps, for a single run; allowed: it with -m; do: add -m",
    "scheduler=step scheduler.step_size=1%": "scheduler.step_size: got 1%, which is 0.2 epochs and rounds to zero; allowed: at least half an epoch, of the run's 20; do: scheduler.step_size=1, or a longer run",
    "scheduler=step scheduler.step_size=null": "scheduler.step_size: got None; allowed: an integer; do: scheduler.step_size=10",
    "scheduler=multistep scheduler.milestones=3": "scheduler.milestones: got 3; allowed: a list; do: scheduler.milestones=[3]",
    "scheduler=multistep scheduler.milestones=[2.5]": "scheduler.milestones: got 2.5; allowed: a whole number of epochs, or 5ep, 500st, 50_000im, 25%; do: 2 in place of 2.5",
    "scheduler=linear scheduler.total_iters=0": "scheduler.total_iters: got 0, which is 0 epochs; allowed: a duration of at least 1 epoch; do: scheduler.total_iters=25%",
    "scheduler.interval=batch": "scheduler.interval: got 'batch'; allowed: epoch, step; do: scheduler.interval=epoch",
    "scheduler=plateau scheduler.interval=step": "scheduler.interval: got step; allowed: epoch, for a scheduler that follows a metric; do: scheduler.interval=epoch",
    # plans
    "scheduler=step scheduler.gamma=-0.5": "scheduler: got a planned LR of -0.01 in epoch 6; allowed: finite and not negative, to 3.4e+38; do: change the scheduler's settings (gamma, factor, end value, ...)",
    "scheduler=exponential scheduler.gamma=1e200": "scheduler: got a planned LR of 2e+198 in epoch 2; allowed: finite and not negative, to 3.4e+38; do: change the scheduler's settings (gamma, factor, end value, ...)",
    "scheduler=onecycle scheduler.total_steps=50%": "scheduler: got OneCycleLR, which fails after step 210 (ValueError: …); allowed: a scheduler that lasts 420 steps; do: make its durations fit the run, for example in percent",
    "scheduler=warmup_cosine scheduler.lr_lambda.steps=100%": "scheduler.lr_lambda.steps: got 100%, which is 420 of 420; allowed: 0 to 419; do: scheduler.lr_lambda.steps=42",
    "scheduler=warmup_cosine scheduler.lr_lambda.then.floor=2": "scheduler.lr_lambda.then.floor: got 2; allowed: 0 to 1, a fraction of the base LR; do: scheduler.lr_lambda.then.floor=0.01",
    # data that is not there
    "data=imagefolder data.root=/nowhere": "data.root: got /nowhere, which does not exist; allowed: a folder with train/<class>/* and val/<class>/* (or test/<class>/*); do: data.root=FOLDER",
    "data=mnist data.root=/nowhere data.download=false": "data.root: got /nowhere, which does not exist; allowed: a folder that holds torchvision's MNIST files; do: data.root=FOLDER, or data.download=true",
    # several values, sweeps, resuming
    "scheduler=step,cosine": "scheduler: got several values, step,cosine; allowed: one, unless this is a sweep; do: add -m to run each of them",
    "-m scheduler=step,cosin": "scheduler: got 'cosin' (did you mean cosine?); allowed: chained, constant, cosine, …; do: scheduler=cosine",
    "-m seed=0,1 optimizer.lr=1,-1": "optimizer.lr: got -1; allowed: a number > 0; do: optimizer.lr=0.01",
    "-m seed=0,0": "command line: got two runs named seed=0; allowed: each run once; do: remove the double",
    "-m seed=0,1 resume=x": "resume: got a sweep (-m); allowed: one run at a time; do: leave out -m and what is swept",
    "resume=/nowhere": "resume: got /nowhere, which does not exist; allowed: a run's folder, or one of its checkpoints/*.pt; do: resume=outputs/runs/NAME, or start the run again without resume",
    "resume=.": "resume: got ., a folder without checkpoints/last.pt; allowed: a run's folder, or one of its checkpoints/*.pt; do: resume=outputs/runs/NAME, or start the run again without resume",
    "extend=3": "extend: got 3; allowed: null, unless a run is resumed; do: trainer.epochs=N",
    # two mistakes, and mistakes in what is around the settings
    "lr=0.1 epochs=5": "lr: got a setting that does not exist (did you mean optimizer.lr?); allowed: checkpoint, data, extend, …; do: optimizer.lr=0.1",
    "scheduler.gama=1 scheduler=step lr=3": "lr: got a setting that does not exist (did you mean optimizer.lr?); allowed: checkpoint, data, extend, …; do: optimizer.lr=3",
    "~seed": "seed: got nothing; allowed: a value; do: seed=VALUE, or no ~seed",
    "+sede=3": "sede: got a setting that does not exist (did you mean seed?); allowed: seed, resume, extend, …; do: seed=3",
    "seed=99999999999999999999999": "seed: got 99999999999999999999999; allowed: an integer >= 0 and <= 9223372036854775807; do: seed=0",
    "data.mean=0.5": "data.mean: got 0.5; allowed: a list, one value a channel; do: data.mean=[0.5]",
    "data=fake data.train_images=0": "data.train_images: got 0; allowed: an integer >= 1; do: data.train_images=10",
    "data=fake data.image_size=-1": "data.image_size: got -1; allowed: an integer >= 1; do: data.image_size=10",
    "optimizer._target_=torch.optim.LBFGS": "optimizer._target_: got torch.optim.LBFGS, whose step() wants a closure; allowed: an optimizer that makes one update from one gradient; do: optimizer=sgd",
    "optimizer._target_=my.NoOptimizer": "optimizer._target_: got my.NoOptimizer, which cannot be imported (ModuleNotFoundError: No module named 'my'); allowed: the full name of a class or function, in an installed package or in the current folder; do: optimizer._target_=PACKAGE.NAME",
    "scheduler._target_=torch.optim": "scheduler: got settings with which torch.optim fails (…); allowed: what torch.optim accepts; do: change the settings under scheduler",
    "scheduler._target_=torch.nn.Linear a'=b": "command line: got 'a'=b'; allowed: key=value, with quotes around a value that has spaces or any of = , [ ] { }; do: \"key='value'\"",
    "scheduler=plateau trainer.eval_every=5": "trainer.eval_every: got 5 with a scheduler that follows val_loss and counts epochs; allowed: 1; do: trainer.eval_every=1, or scheduler.monitor=train_loss",
    "scheduler=plateau scheduler.monitor=val_accuracy": "scheduler.mode: got min with monitor=val_accuracy; allowed: max; do: scheduler.mode=max",
    "-m model=torchvision model.name=resnet18,resnet19 data=fake": "model.name: got 'resnet19'; allowed: one of torchvision's … image classifiers (torchvision.models.list_models()); do: model.name=resnet18",
    "resume=": "resume: got nothing; allowed: a run's folder, or one of its checkpoints/*.pt; do: resume=PATH",
    # what is no value of its setting
    "hydra=null": "hydra: got None; allowed: settings inside of it, such as hydra.run.dir=FOLDER; do: leave it out",
    "checkpoint=null": "checkpoint: got None; allowed: a mapping with every; do: checkpoint.every=10s, or null",
    "checkpoint=3": "checkpoint: got 3; allowed: a mapping with every; do: checkpoint.every=10s, or null",
    "=3": "command line: got '=3'; allowed: key=value; do: write the setting before =, as in trainer.epochs=3",
    "hydra.run.dir=": "hydra.run.dir: got ''; allowed: a folder; do: hydra.run.dir=FOLDER",
    "-m seed=0,1 hydra.launcher=null": "hydra.launcher: got None; allowed: settings such as n_jobs; do: leave it out",
    "data=fake data.train_images=-1": "data.train_images: got -1; allowed: an integer >= 1; do: data.train_images=10",
    "data=fake data.image_size=0": "data.image_size: got 0; allowed: an integer >= 1; do: data.image_size=10",
    "data=fake data.image_size=[1,2]": "data.image_size: got [1, 2]; allowed: a number; do: data.image_size=32",
    "data=fake data.num_classes=0": "data.num_classes: got 0; allowed: an integer >= 2; do: data.num_classes=10",
    "optimizer.weight_decay=1e308": "optimizer.weight_decay: got 1e+308; allowed: at most 3.4e+38; do: optimizer.weight_decay=0.01",
    "optimizer.lr=1e308": "optimizer.lr: got 1e+308; allowed: at most 3.4e+38; do: optimizer.lr=0.01",
    "optimizer=adam optimizer.eps=inf": "optimizer.eps: got inf; allowed: at most 3.4e+38; do: optimizer.eps=0.01",
    "optimizer.dampening=[1,2]": "optimizer.dampening: got [1, 2]; allowed: a number; do: optimizer.dampening=0",
    "scheduler=plateau scheduler.factor=-0.5": "scheduler.factor: got -0.5; allowed: between 0 and 1; do: scheduler.factor=0.1",
    "scheduler=plateau scheduler.factor=-inf": "scheduler.factor: got -inf; allowed: between 0 and 1; do: scheduler.factor=0.1",
    "scheduler=plateau scheduler.min_lr=inf": "scheduler.min_lr: got [inf]; allowed: numbers from 0; do: scheduler.min_lr=0",
    "scheduler=plateau scheduler.eps=-1": "scheduler.eps: got -1; allowed: a number from 0; do: scheduler.eps=1e-08",
    "scheduler=plateau scheduler.mode=abc": "scheduler.mode: got 'abc'; allowed: min, max; do: scheduler.mode=min",
    "scheduler=cyclic scheduler.scale_mode=anything": "scheduler.scale_mode: got 'anything'; allowed: cycle, iterations; do: scheduler.scale_mode=cycle",
    "scheduler=cyclic scheduler.mode=abc": "scheduler.mode: got 'abc'; allowed: triangular, triangular2, exp_range; do: scheduler.mode=triangular",
    "optimizer.schedule=''": "optimizer.schedule: got ''; allowed: a mapping; do: optimizer.schedule.weight_decay=cosine",
    "--epochs=5": "command line: got unrecognized arguments: --epochs=5; allowed: KEY=VALUE, -m, --config-dir, --cfg, --help; do: see --help",
    "--config-name nope": "--config-name: got nope; allowed: --config-dir; do: put your YAML into a group of yours",
    "a'=b": "command line: got 'a'=b'; allowed: key=value, with quotes around a value that has spaces or any of = , [ ] { }; do: \"key='value'\"",
}


def whole(message: str) -> str:
    """The pattern of an error line, from its first word to its last."""
    return "lrlab: error: " + re.escape(message).replace("…", ".*")


@pytest.mark.parametrize("typed", BEFORE_ANY_DATA)
def test_a_mistake_is_one_line_and_leaves_nothing(command, tmp_path, monkeypatch, typed):
    monkeypatch.setattr("lrlab.data.digits._read", None)  # any reading of data would fail in another way
    outcome = command(*typed.split())
    assert outcome.code == 1
    assert re.fullmatch(whole(BEFORE_ANY_DATA[typed]), outcome.err.removesuffix("\n")), outcome.err
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
    "model=torchvision model.name=resnet19": "model.name: got 'resnet19'; allowed: one of torchvision's … image classifiers (torchvision.models.list_models()); do: model.name=resnet18",
    "model=torchvision model.name=vit_b_16": "model: got an error on images (1, 8, 8): Wrong image height! …; allowed: a model that takes the data's images (C, H, W); do: another model, or data of another size (data.image_size where the data set has it)",
    "model=resnet20 model.depth=21": "model.depth: got 21; allowed: 6n + 2: 8, 14, 20, 32, 44, 56, 110; do: model.depth=20",
    "model.width=0": "model.width: got 0; allowed: an integer >= 1; do: model.width=16",
    "model=mlp model.hidden=[64,0]": "model.hidden: got [64, 0]; allowed: integers >= 1; do: model.hidden=[128]",
    "data=fake data.image_size=2": "model: got images of 2x2 pixels; allowed: 4x4 or larger; do: model=mlp",
}


@pytest.mark.parametrize("typed", MODELS)
def test_a_model_that_does_not_fit_leaves_nothing_either(command, tmp_path, typed):
    outcome = command(*typed.split())
    assert outcome.code == 1
    assert re.fullmatch(whole(MODELS[typed]), outcome.err.removesuffix("\n")), outcome.err
    assert outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


PLACEHOLDERS = ("VALUE", "NAME", "FOLDER", "PATH", "BYTES", "N", "PACKAGE.NAME", "'value'", "value")


def followed(typed: str, do: str) -> list[list[str]]:
    """What is typed then, for each way that the advice names in full; none where it is for the user to find."""
    ways = []
    for advice in do.split(", or "):
        settings = shlex.split(advice) if "=" in advice and advice.count("'") % 2 == 0 else advice.split()
        are_settings = all(re.fullmatch(r"[\w./]+=[^=]*", one) for one in settings)
        if are_settings and not any(one.partition("=")[2] in PLACEHOLDERS for one in settings):
            keys = [one.partition("=")[0] for one in settings]
            ways.append([one for one in typed.split() if not replaced(one, keys)] + settings)
    return ways


def replaced(override: str, keys: list[str]) -> bool:
    """Whether an override gives way to others: of the same key, of one inside of it, or to an option of its group."""
    own = override.lstrip("+~").partition("=")[0]
    is_an_option = own in identity.GROUPS or re.fullmatch(r"optimizer\.groups\.\w+\.schedule", own)
    inside = () if is_an_option else [key for key in keys if key.startswith(f"{own}.")]
    return bool(inside) or any(own in (key, f"{key}._target_") for key in keys)


def without_mistyped(typed: str, line: str) -> str:
    """What was typed without the setting of which the line says that it does not exist: another one takes its place."""
    if "a setting that does not exist (did you mean " not in line:
        return typed
    key = line.partition(":")[0]
    return " ".join(one for one in typed.split() if one.lstrip("+~").partition("=")[0] != key)


# Of two mistakes the line names the first; what is wrong inside of a mapping is mended there.
MORE_TO_MEND = {
    "lr=0.1 epochs=5",
    "scheduler.gama=1 scheduler=step lr=3",
    "task.loss={_target_:torch.nn.CrossEntropyLoss,label_smothing:0.1}",
}

FOLLOWED = [
    way
    for typed, line in {**BEFORE_ANY_DATA, **MODELS}.items()
    for way in followed(without_mistyped(typed, line), line.rpartition("do: ")[2])
    if not typed.startswith(("-", "resume", "data.cache=disk data.cache_dir=/proc")) and typed not in MORE_TO_MEND
]


@pytest.mark.slow
@pytest.mark.parametrize("way", FOLLOWED, ids=" ".join)
def test_what_the_line_says_to_do_is_done_and_works(way):
    prepare(composed(*way))


FOR_THE_USER_TO_FIND = {
    "--config-dir /nowhere",
    "2 in place of 2.5",
    "optimizer.groups.head.schedule.decay=30% in place of decai",
    "add -m",
    "add -m to run each of them",
    "another model, or data of another size (data.image_size where the data set has it)",
    "change the settings under data",
    "change the settings under optimizer",
    "change the settings under scheduler",
    "\"key='value'\"",
    "change the scheduler's settings (gamma, factor, end value, ...)",
    "choose one by name, or set task.loss._target_",
    "derive it from torch.optim.lr_scheduler.LRScheduler",
    "another name than optimizer.groups.layer_0",
    "leave it out",
    "leave optimizer.schedule.lr out",
    "leave trainer.epochs out",
    "leave out -m and what is swept",
    "make it, or correct its path",
    "make its durations fit the run, for example in percent",
    "make them buffers, or move them into the model",
    "put your YAML into a group of yours",
    "remove the double",
    "return loss.mean() from the loss",
    "see --help",
    "set it to a plain value",
    "task.label_smoothing=0.0, and smooth in the loss itself",
    "task.loss=null for cross entropy",
    "trainer.epochs=N",
    "write it with =, as in scheduler=cosine",
    "write the setting before =, as in trainer.epochs=3",
}


def test_every_line_says_what_to_type_or_what_only_the_user_can_know():
    for typed, line in {**BEFORE_ANY_DATA, **MODELS}.items():
        do = line.rpartition("do: ")[2]
        is_open = any(re.search(rf"\b{re.escape(one)}\b", do) for one in PLACEHOLDERS if one.isupper())
        assert followed(typed, do) or is_open or do in FOR_THE_USER_TO_FIND or do.startswith("choose scheduler="), do


def image_run(command, root: Path, *more: str):
    return command(
        "data=imagefolder", f"data.root={root}", "data.workers=0", "data.batch_size=3", "trainer.epochs=2", *more
    )


def test_a_class_without_images_is_named_before_a_folder_is_made(command, tmp_path):
    (folder_of_images(tmp_path / "images") / "train" / "green").mkdir()
    outcome = image_run(command, tmp_path / "images")
    assert outcome.code == 1
    assert re.match(
        r"lrlab: error: data\.root: got .*images, where train has no images of green; allowed: ", outcome.err
    )
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
    samples = image_files.read(root / "train", None).samples
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
    done = command(f"resume={run}", f"data.root={root}")
    assert f"resumed after update {stopped['updates']}" in done.out
    assert summary(run)["status"] == "finished"
    steps = [step for step, _ in points(run)["lr"]]
    assert steps == list(range(summary(run)["updates"]))


def test_labels_out_of_range_are_named(command, tmp_path):
    (tmp_path / "my_data.py").write_text(
        "import torch\nfrom lrlab.data import Splits\n"
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


@pytest.mark.parametrize(("path", "has"), [("lr_lambda.decay", "wsd"), ("lr_lambda.then.gamma", "warmup_multistep")])
def test_options_that_are_named_for_a_setting_have_it_at_that_path(path, has):
    parent, _, name = f"scheduler.{path}".rpartition(".")
    advice = mistakes._who_has(parent, name)
    assert f"{has}" in advice
    for option in re.findall(r"\w+", advice.removeprefix("choose scheduler=").partition(",")[0].replace(" or ", " ")):
        assert mistakes._has("scheduler", option, path)
    assert not mistakes._has("scheduler", "wsd", "lr_lambda.gamma")
