"""Settings that lrlab reads itself, checked: the top level, the trainer, and how batches are made."""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from numbers import Integral
from typing import Any

import torch

from lrlab import stacking
from lrlab.config import checks, length, stopping
from lrlab.config.checks import Node
from lrlab.data.batches import Batching, batches_per_epoch
from lrlab.data.held_out import Holding
from lrlab.data.room import CACHES
from lrlab.data.splits import Splits
from lrlab.errors import wrong
from lrlab.system import distributed
from lrlab.training import averages
from lrlab.training.metrics import Metric, judge, monitors, usual
from lrlab.training.precision import FORMATS
from lrlab.words import counted

COMPILE = (False, True, "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
GRAPHS = ("reduce-overhead", "max-autotune")
_NODES = ("data", "model", "task", "optimizer", "scheduler", "trainer")


@dataclass(frozen=True)
class TrainerSettings:
    """The `trainer` group, checked."""

    epochs: int | float | None  # this or one of the other lengths
    device: str
    eval_every: int
    monitor: str
    clip_grad_norm: float | None
    deterministic: bool
    precision: str = "fp32"
    compile: bool | str = False
    channels_last: bool | str = "auto"
    accumulate: int = 1
    timeout: float = 900
    average: str | None = None
    average_start: Any = None  # these durations are counted once the length of the run is known: `config.averages`
    average_every: Any = None
    average_window: Any = None
    average_last: Any = None
    steps: int | str | None = None
    budget: str | None = None
    stop_early: Any = None
    stacked: bool | str = False
    forecast: bool = False

    @property
    def form(self) -> str | None:
        """The form of a step of several runs in which this one is computed (see `stacking`); None for a run alone."""
        if self.stacked is True:
            return stacking.EAGER
        return self.stacked or None


def trainer_settings(node: Node, metrics: Sequence[Metric] | None = None) -> TrainerSettings:
    """The checked settings of the `trainer` group.

    `metrics` are the task's, by default those of a classification; the last is followed where none is named.
    Raises UserError for the first setting that is missing, unknown or out of range.
    """
    names = [field.name for field in fields(TrainerSettings)]
    required = [field.name for field in fields(TrainerSettings) if field.default is MISSING]
    checks.require_names(node, "trainer", names, required=required)
    own = metrics or usual()
    settings = TrainerSettings(**node)
    if settings.monitor is None:
        settings = replace(settings, monitor=judge(own))
    length.check(node)
    stopping.check(settings.stop_early)
    checks.number("trainer.eval_every", settings.eval_every, whole=True, low=1, example=1)
    if settings.average is not None:
        checks.choice("trainer.average", settings.average, averages.NAMES)
    checks.choice("trainer.monitor", settings.monitor, monitors(own, averaged=settings.average is not None))
    if settings.clip_grad_norm is not None:
        checks.number("trainer.clip_grad_norm", settings.clip_grad_norm, above=0, example="1.0, or null for none")
    checks.flag("trainer.deterministic", settings.deterministic)
    checks.flag("trainer.forecast", settings.forecast)
    checks.choice("trainer.precision", settings.precision, FORMATS)
    checks.choice("trainer.compile", settings.compile, COMPILE)
    if not isinstance(settings.stacked, bool) and not stacking.is_form(settings.stacked):
        allowed = "false, true, eager, or compiled-N for a step of N rows"
        raise wrong("trainer.stacked", got=settings.stacked, allowed=allowed, do="trainer.stacked=eager")
    checks.choice("trainer.channels_last", settings.channels_last, ("auto", True, False))
    checks.number("trainer.accumulate", settings.accumulate, whole=True, low=1, example=1)
    checks.number("trainer.timeout", settings.timeout, above=0, example=900)
    if settings.accumulate > 1 and settings.compile in GRAPHS:  # pytorch#96693: a part overwrites another's gradients
        raise wrong(
            "trainer.accumulate",
            got=f"{settings.accumulate}, with trainer.compile={settings.compile}, whose CUDA graphs reuse their memory",
            allowed="1 with these modes",
            do="trainer.compile=true",
        )
    return settings


def find_device(name: Any) -> torch.device:
    """The device that `trainer.device` means. Raises UserError where this machine has none of that name.

    Of several ranks each has a GPU of its own, the one of its number on its machine.
    """
    here = _devices()
    ranks = distributed.ranks()
    if ranks > 1 and (name == "mps" or str(name).startswith("cuda:")):
        raise wrong(
            "trainer.device", got=f"{name} for {ranks} ranks", allowed="auto, cpu, cuda", do="trainer.device=auto"
        )
    if ranks > 1 and here[-1] == "mps":
        here.pop()
    if name == "auto":
        name = "cuda" if "cuda" in here else here[-1]
    if name not in here:
        reason = " (this torch sees no CUDA device)" if str(name).startswith("cuda") and len(here) == 1 else ""
        raise wrong(
            "trainer.device", got=f"'{name}'{reason}", allowed=f"auto, {', '.join(here)}", do="trainer.device=auto"
        )
    if name == "cuda" and ranks > 1:
        return _own_gpu()
    return torch.device(name)


def _devices() -> list[str]:
    """The devices of this machine, by torch's names."""
    here = ["cpu"]
    if torch.cuda.is_available():
        here += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        here.append("mps")
    return here


def _own_gpu() -> torch.device:
    count, own = torch.cuda.device_count(), distributed.local_rank()
    if distributed.local_ranks() > count:
        raise wrong(
            "trainer.device",
            got=f"more ranks on a machine than its {counted(count, 'GPU')}",
            allowed="a GPU each",
            do=f"torchrun --nproc-per-node={count}, or trainer.device=cpu",
        )
    return torch.device("cuda", own)


def split_batching(node: Node) -> tuple[Batching, Node]:
    """The checked settings of the `data` group that all data sets share, and the rest, which is the data set's own."""
    names = {field.name for field in fields(Batching)}
    shared = {name: value for name, value in node.items() if name in names}
    batching = Batching(**shared)
    checks.number("data.batch_size", batching.batch_size, whole=True, low=1, example=128)
    checks.choice("data.cache", batching.cache, CACHES)
    if batching.cache_bytes is not None:
        checks.number("data.cache_bytes", batching.cache_bytes, whole=True, low=0, example="2_000_000_000, or null")
    if not isinstance(batching.cache_dir, str) or not batching.cache_dir:
        raise wrong("data.cache_dir", got=repr(batching.cache_dir), allowed="a folder", do="data.cache_dir=FOLDER")
    checks.number("data.workers", batching.workers, whole=True, low=0, high=1024, example=2)
    checks.number("data.prefetch", batching.prefetch, whole=True, low=1, example=2)
    checks.number("data.timeout", batching.timeout, low=0, example=600)
    checks.number("data.cutout", batching.cutout, whole=True, low=0, example=8)
    if batching.resized_crop is not None:
        checks.number("data.resized_crop", batching.resized_crop, above=0, high=1, example="0.25, or null")
    checks.number("data.shift", batching.shift, whole=True, low=0, example=2)
    checks.flag("data.flip", batching.flip)
    checks.flag("data.drop_last", batching.drop_last)
    for name, values in (("mean", batching.mean), ("std", batching.std)):
        if values is not None and not isinstance(values, list):
            raise wrong(f"data.{name}", got=values, allowed="a list, one value a channel", do=f"data.{name}=[{values}]")
        for value in values or []:
            checks.number(f"data.{name}", value, above=0 if name == "std" else None, example="[0.5]")
    return batching, {name: value for name, value in node.items() if name not in names}


def split_holding(node: Node) -> tuple[Holding, Node]:
    """How validation images are held out, checked, and the rest of the `data` group without these settings.

    A data set whose `_target_` takes `val` splits itself.
    """
    names = {field.name for field in fields(Holding)}
    target = node.get("_target_")
    if isinstance(target, str) and "val" in checks.parameters_of(checks.locate(target, "data")):
        names = set()
    holding = Holding(**{name: value for name, value in node.items() if name in names})
    if "split_seed" in node:
        checks.number("data.split_seed", node["split_seed"], whole=True, low=0, high=2**32 - 1, example=0)
    holding.share  # noqa: B018  # raises where it is none
    return holding, {name: value for name, value in node.items() if name not in names}


def held_out(splits: Any, holding: Holding) -> Splits:
    """The splits that a run has. Raises UserError where the data set returned none, or nothing can be held out."""
    if not isinstance(splits, Splits):
        raise wrong(
            "data._target_",
            got=f"something that returned {type(splits).__name__}",
            allowed="a function that returns lrlab.data.Splits",
            do="return Splits(train=..., val=..., num_classes=...)",
        )
    return holding.apply(splits)


def check_top_level(config: Node) -> None:
    """Raise UserError where a group is missing, or seed, resume, extend or sweep is not what it should be."""
    for group in _NODES:
        if not isinstance(config.get(group), dict):
            raise wrong(
                group, got=config.get(group, "nothing"), allowed=f"an option of conf/{group}", do=f"{group}=NAME"
            )
    own = ("seed", "resume", "extend", "sweep", "checkpoint", "tracking", "replay")
    checks.require_names(config, "", [*own, *_NODES], required=own[:3])
    if not isinstance(config.get("checkpoint", {}), dict):
        got = config["checkpoint"]
        raise wrong("checkpoint", got=got, allowed="a mapping with every", do="checkpoint.every=10s, or null")
    checks.require_names(config.get("checkpoint", {}), "checkpoint", ["every"], required=[])
    length.check_replay(config)
    checks.number("seed", config["seed"], whole=True, low=0, high=2**63 - 1, example=0)
    if config["extend"] is not None:
        length.check_extend(config["extend"], config["trainer"])
        if config["resume"] is None:
            raise wrong("extend", got=config["extend"], allowed="null, unless a run is resumed", do="trainer.epochs=N")


def check_parts(trainer: TrainerSettings, batching: Batching) -> None:
    """Raise UserError where a batch has fewer images than the ranks and the parts it is computed in."""
    ranks = distributed.ranks()
    if trainer.accumulate * ranks > batching.batch_size:
        among = f" on each of {ranks} ranks" if ranks > 1 else ""
        raise wrong(
            "trainer.accumulate",
            got=f"{trainer.accumulate} parts{among} of a batch of {batching.batch_size} images",
            allowed=f"at most {batching.batch_size // ranks}, an image a part",
            do="trainer.accumulate=4, or a larger data.batch_size",
        )


def advice_for_single_images(images: int, trainer: TrainerSettings, batching: Batching) -> str | None:
    """What to do where a part of a batch is a single image; None where none is.

    A batch is shared out among the ranks, and each share computed in `trainer.accumulate` parts.
    """
    ranks, size = distributed.ranks(), min(batching.batch_size, images)

    def smallest(batch: int) -> int:
        return max(1, batch // ranks // trainer.accumulate)

    if smallest(size) == 1:
        least = 2 * ranks
        if images < least:
            return f"data of at least {least} images"
        if size >= least and trainer.accumulate > 1:
            return f"trainer.accumulate={size // least}"
        return f"data.batch_size={least * trainer.accumulate}"
    last = images % batching.batch_size
    if last and not batching.drop_last and smallest(last) == 1:
        return "data.drop_last=true"
    return None


def check_splits(splits: Splits, batching: Batching) -> None:
    """Raise UserError where `splits` cannot be made into the batches that `batching` asks for."""
    count = splits.num_classes
    if count is not None and (isinstance(count, bool) or not isinstance(count, Integral) or count < 2):
        allowed = "at least 2 classes, an integer"
        raise wrong("data", got=f"{count} as the number of classes", allowed=allowed, do="add a class")
    images = len(splits.train)
    if 0 in splits.sizes.values():
        raise wrong("data", got="a split without images", allowed="at least one image in each", do="add images")
    shape = checks.call("data", "reading the first image", lambda: splits.shape)
    checks.call("data", "reading the first target", lambda: splits.target_shape)
    if splits.are_images:
        _check_augmentation(shape, batching)
    else:
        _check_no_augmentation(shape, splits.each, batching)
    _check_batches(images, batching)


def _check_augmentation(shape: tuple[int, ...], batching: Batching) -> None:
    """Raise UserError where images of `shape` cannot be changed as `batching` says."""
    channels, smaller = shape[0], min(shape[1:])
    if batching.cutout > smaller:
        raise wrong(
            "data.cutout",
            got=f"{batching.cutout} for images of {shape[1]}x{shape[2]} pixels",
            allowed=f"0 to {smaller}",
            do=f"data.cutout={smaller // 2}",
        )
    for name, values in (("mean", batching.mean), ("std", batching.std)):
        if values is not None and len(values) not in (1, channels):
            raise wrong(
                f"data.{name}",
                got=f"{len(values)} values",
                allowed=f"{channels}, one a channel, or null",
                do="data.mean=null data.std=null",
            )
    if (batching.mean is None) != (batching.std is None):
        do = "data.mean=null data.std=null"
        raise wrong("data.mean", got="only one of mean and std", allowed="both, or neither", do=do)


def _check_no_augmentation(shape: tuple[int, ...], each: str, batching: Batching) -> None:
    """Raise UserError where samples that are no images would be changed as images are."""
    usual = Batching()
    for name in ("shift", "flip", "cutout", "resized_crop", "mean", "std"):
        if getattr(batching, name) != getattr(usual, name):
            got = f"{getattr(batching, name)}, for a {each} of shape {shape}"
            do = f"data.{name}={str(getattr(usual, name)).lower().replace('none', 'null')}"
            raise wrong(f"data.{name}", got=got, allowed="images (C, H, W) for it", do=do)


def _check_batches(images: int, batching: Batching) -> None:
    """Raise UserError where a rank would get no image of some batch, or an epoch no batch."""
    smallest = batching.batch_size
    if not batching.drop_last:
        smallest = images % batching.batch_size or batching.batch_size
    ranks = distributed.ranks()
    if ranks > smallest:
        raise wrong(
            "data.batch_size",
            got=f"{batching.batch_size} of {images} images, which leaves a batch of {smallest} for {ranks} ranks",
            allowed="at least an image a rank in every batch",
            do="data.drop_last=true, or fewer ranks",
        )
    if batches_per_epoch(images, batching, train=True) == 0:
        raise wrong(
            "data.batch_size",
            got=f"{batching.batch_size} with drop_last, which leaves no batch of {images} images",
            allowed=f"1 to {images}",
            do="data.drop_last=false",
        )
