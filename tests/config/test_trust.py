"""The config of a file from a stranger names nothing but what the lists have, wherever in the config it tries."""

import importlib
import pkgutil
import shlex
from itertools import chain
from pathlib import Path

import pytest
import torch
import yaml
from support import composed
from torch import nn

from lrlab.config import allowed, compose, trust
from lrlab.config.catalogue import CONF
from lrlab.errors import UserError

SOURCE = Path("last.pt")
SOUND = {
    "data": {"_target_": "lrlab.data.datasets.digits"},
    "model": {"_target_": "lrlab.models.mlp", "hidden": [128]},
    "task": {"_target_": "lrlab.training.task.Classification", "loss": None},
    "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.1},
    "scheduler": {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 3},
}
GROUPS = tuple(SOUND)

# Each of these was reachable once, or would be by a rule less strict than a list.
HARMFUL = (
    # functions, methods, private parts, attributes of attributes
    *("os.system", "builtins.eval", "builtins.exec", "builtins.open", "subprocess.Popen", "shutil.rmtree"),
    *("torch.load", "torch.save", "torch.hub.load", "torch.jit.load", "torch.serialization.os.system"),
    *("torch.nn.Module.load_state_dict", "torch.nn.Linear.__init__", "torch.nn.modules.module.warnings.warn"),
    *("torch.nn.Module", "torch.nn.DataParallel", "torch.nn.parallel.DistributedDataParallel", "torch.nn.init.normal_"),
    *("torch.nn.Linear.__init__.__globals__", "torch.nn.modules.linear.torch.load", "torch.optim.optimizer.torch.load"),
    *("torch.optim.Optimizer", "torch.optim.lr_scheduler.LRScheduler", "torch.optim.SGD.step", "torch.optim"),
    *("torch.optim.lr_scheduler.warnings.warn", "torch.optim.lr_scheduler.types.FunctionType"),
    # what fetches or reads files
    *("torchvision.models.get_weight", "torchvision.models.get_model", "torchvision.models._api.WeightsEnum"),
    *("torchvision.models._api.WeightsEnum.get_state_dict", "torchvision.models.ResNet18_Weights"),
    *("torchvision.models.resnet.load_state_dict_from_url", "torchvision.models._api.load_state_dict_from_url"),
    *("torchvision.datasets.ImageFolder", "torchvision.io.read_file", "urllib.request.urlretrieve"),
    *("pathlib.Path.write_text", "numpy.save", "numpy.load", "socket.create_connection", "pickle.loads"),
    # lrlab's own
    *(
        "lrlab.runs.checkpoint.save",
        "lrlab.system.disk.write_whole",
        "lrlab.runs.folders.reserve",
        "lrlab.commands.train.main",
    ),
    *(
        "lrlab.data.datasets.Path",
        "lrlab.data.datasets.ImageFiles",
        "lrlab.models.nn.Linear",
        "lrlab.models.torch.load",
    ),
    *("lrlab.schedules.lengths", "lrlab.schedules.combine", "lrlab.schedules.cosine.__globals__", "lrlab.schedules"),
    *("lrlab.datasets.os.system", "lrlab.training.task.Classification.__init__"),
    # what calls what another node names
    *(
        "functools.partial",
        "hydra.utils.get_method",
        "hydra.utils.get_class",
        "hydra.utils.instantiate",
        "operator.call",
    ),
    *("hydra.utils.call", "hydra.utils.get_object", "builtins.getattr", "builtins.map", "importlib.import_module"),
    # odd spellings
    *(
        "os..system",
        ".os.system",
        "os.system.",
        " torch.optim.SGD",
        "torch.optim.SGD ",
        "torch.optim.SGD\n",
        "torch.optim.sgd",
    ),
    *("TORCH.OPTIM.SGD", "torch/optim/SGD", "torch.optim.\uff33GD", "torch.optim.SGD\0", "", "_", "torch"),
)


def places(target: object) -> list[tuple[str, dict]]:
    """Every place of a config in which a `_target_` may stand, by its key, with such a config."""
    node = {"_target_": target}
    found = [(f"{group}._target_", {**SOUND, group: {**SOUND[group], "_target_": target}}) for group in GROUPS]
    found += [(f"{group}.x._target_", {**SOUND, group: {**SOUND[group], "x": node}}) for group in GROUPS]
    found += [
        (f"{group}.x.1.y._target_", {**SOUND, group: {**SOUND[group], "x": [1, {"y": node}]}}) for group in GROUPS
    ]
    for group in ("trainer", "checkpoint", "hydra", "experiment", "resume"):
        found.append((f"{group}._target_", {**SOUND, group: node}))
    return [*found, ("_target_", {**SOUND, "_target_": target})]


@pytest.mark.parametrize("target", HARMFUL)
def test_what_no_list_has_is_refused_wherever_it_stands(target):
    for key, config in places(target):
        with pytest.raises(UserError) as refused:
            trust.require_trusted(config, [], SOURCE)
        assert refused.value.key == key
        assert "that are listed for this place, and what is typed" in refused.value.allowed


@pytest.mark.parametrize("target", [None, 3, True, ["torch.optim.SGD"], {"a": 1}, [{"_target_": "os.system"}]])
def test_a_target_that_is_no_text_is_refused(target):
    for _, config in places(target):
        with pytest.raises(UserError):
            trust.require_trusted(config, [], SOURCE)


@pytest.mark.parametrize(
    ("place", "harmless"),
    [
        (("optimizer",), "torch.optim.AdamW"),
        (("scheduler",), "lrlab.lr.torch_composites.chained"),
        (("scheduler", "lr_lambda"), "lrlab.schedules.cosine"),
        (("model", "norm_layer"), "torch.nn.GroupNorm"),
        (("task", "loss"), "torch.nn.NLLLoss"),
        (("model",), "torchvision.models.resnet.resnet18"),
    ],
)
def test_what_a_list_has_is_taken_in_its_own_place_only(place, harmless):
    key = ".".join((*place, "_target_"))
    assert allowed.is_allowed(key, harmless)
    elsewhere = [f"{group}._target_" for group in ("data", "task", "trainer") if group != place[0]]
    assert not any(allowed.is_allowed(other, harmless) for other in elsewhere)


def test_the_sound_config_is_trusted():
    trust.require_trusted(SOUND, [], SOURCE)


@pytest.mark.parametrize("file", sorted(CONF.glob("*/*.yaml")), ids=lambda file: f"{file.parent.name}={file.stem}")
def test_what_lrlabs_own_options_name_is_trusted(file):
    if file.parent.name in GROUPS:
        node = yaml.safe_load(file.read_text())
        without_references = {key: value for key, value in node.items() if "${" not in str(value)}
        trust.require_trusted({**SOUND, file.parent.name: without_references}, [], SOURCE)


@pytest.mark.parametrize("scheduler", ["cyclic", "onecycle", "wsd"])
def test_a_composed_config_is_trusted(scheduler):
    required = ["scheduler.lr_lambda.decay=20%"] if scheduler == "wsd" else []
    trust.require_trusted(compose.resolve(composed(f"scheduler={scheduler}", *required)), [], SOURCE)


def test_the_lists_name_what_they_say_and_nothing_that_reaches_out():
    """Every name leads to a class of its kind that is defined where it is named, or to one of lrlab's own functions."""
    kinds = [
        (allowed.LAYERS, nn.Module, "torch.nn.modules."),
        (allowed.LOSSES, nn.Module, "torch.nn.modules.loss"),
        (allowed.OPTIMIZERS_OF_TORCH, torch.optim.Optimizer, "torch.optim"),
    ]
    for names, kind, module in kinds:
        for name in names:
            found = getattr(pkgutil.resolve_name(name.rpartition(".")[0]), name.rpartition(".")[2], None)
            if found is None:
                continue  # newer than this torch
            assert issubclass(found, kind), name
            assert found.__module__.startswith(module), name
    assert all(name.startswith(("torch.optim.", "lrlab.lr.")) for name in allowed.SCHEDULERS)
    assert all(pkgutil.resolve_name(name) for name in allowed.SCHEDULERS)
    for name in chain(allowed.DATA, allowed.MODELS, allowed.TASKS, allowed.SCHEDULES, allowed.OPTIMIZERS):
        module, _, own = name.rpartition(".")
        if name in allowed.OPTIMIZERS_OF_TORCH:
            continue
        assert name.startswith("lrlab.")
        assert getattr(importlib.import_module(module), own).__module__.startswith(module), name


def test_every_option_of_a_group_is_in_its_list():
    for group, names in (("data", allowed.DATA), ("model", allowed.MODELS), ("task", allowed.TASKS)):
        named = {yaml.safe_load(file.read_text())["_target_"] for file in (CONF / group).glob("*.yaml")}
        assert named == names


REACHING = [
    ("data", {"_target_": "lrlab.data.datasets.image_folder", "root": "/somebody's/photos"}, "data.root"),
    ("data", {"_target_": "lrlab.data.datasets.torchvision_images", "name": "MNIST", "root": "/etc"}, "data.root"),
    ("data", {"_target_": "lrlab.data.datasets.image_folder", "download": True}, "data.download"),
    ("model", {"_target_": "lrlab.models.torchvision_model", "weights": "DEFAULT"}, "model.weights"),
    ("model", {"_target_": "torchvision.models.resnet18", "weights": "DEFAULT"}, "model.weights"),
    ("model", {"_target_": "torchvision.models.resnet18", "pretrained": True}, "model.pretrained"),
    (
        "model",
        {"_target_": "torchvision.models.resnet18", "x": {"weights_backbone": "DEFAULT"}},
        "model.x.weights_backbone",
    ),
    ("data", {"_target_": "lrlab.data.datasets.torchvision_images", "_args_": ["MNIST", "/etc"]}, "data._args_.0"),
    ("data", [{"root": "/etc"}], "data.0.root"),
    ("data", {"_target_": "lrlab.data.datasets.image_folder", "root": ["/etc"]}, "data.root.0"),
]


@pytest.mark.parametrize(("group", "node", "key"), REACHING, ids=lambda value: value if isinstance(value, str) else "")
def test_what_reads_fetches_or_writes_elsewhere_is_typed_again_or_refused(group, node, key):
    config = {**SOUND, group: node}
    with pytest.raises(UserError) as refused:
        trust.require_trusted(config, [], SOURCE)
    assert refused.value.key == key
    typed = shlex.split(refused.value.do.removesuffix(", if you know and trust what this names"))
    assert typed == trust.to_type(config)
    if ".0" not in key:  # no override reaches into a list
        trust.require_trusted(config, typed, SOURCE)


def test_a_folder_for_caches_is_never_a_files_to_choose():
    for saved in ("/elsewhere", None, 3, "~/.cache/lrlab"):
        config = {**SOUND, "data": {**SOUND["data"], "cache_dir": saved}}
        assert trust.on_this_machine(config)["data"]["cache_dir"] == trust.CACHE_DIR
    assert trust.on_this_machine(SOUND) == SOUND


def test_the_folder_for_caches_is_the_one_that_the_options_say():
    for file in (CONF / "data").glob("*.yaml"):
        assert yaml.safe_load(file.read_text()).get("cache_dir", trust.CACHE_DIR) == trust.CACHE_DIR
