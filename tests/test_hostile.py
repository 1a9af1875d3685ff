"""Files from strangers: nothing of what they say is run, nothing outside of the folder is touched, one clear line."""

import csv
import json
import os
import pickle
import re
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import TINY, folder_of_images, slow_but, summary, train

from lrlab.commands import compare
from lrlab.comparison import sound
from lrlab.comparison.results import Result
from lrlab.config import secrets, trust
from lrlab.errors import UserError
from lrlab.runs import checkpoint

SHORT = (*TINY, "trainer.epochs=1")


class Payload:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("created",)


class Call:
    """The same by eval."""

    def __reduce__(self):
        return eval, ("__import__('os').mkdir('created')",)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of one epoch, made once; tests take copies."""
    folder = tmp_path_factory.mktemp("trained") / "theirs"
    train(folder, *SHORT)
    return folder


@pytest.fixture
def run(trained):
    """The folder of a run of one epoch, in the current folder."""
    shutil.copytree(trained, "outputs/runs/theirs")
    return Path("outputs/runs/theirs")


def change(run: Path, **contents) -> None:
    """Let the run's checkpoint hold other `contents`, with checksums that fit."""
    saved = checkpoint.load(run / checkpoint.LAST)
    del saved["lrlab"]
    checkpoint.save(run / checkpoint.LAST, {**saved, **contents})
    (run / checkpoint.PREVIOUS).unlink(missing_ok=True)


def config_of(run: Path) -> dict:
    return checkpoint.load(run / checkpoint.LAST)["config"]


@pytest.mark.parametrize("payload", [Payload(), Call()], ids=["os.mkdir", "eval"])
@pytest.mark.parametrize("how", ["pickle", "torch.save", "inside of the state"])
def test_a_checkpoint_that_runs_code_when_it_is_unpickled_runs_none(command, run, payload, how):
    path = run / checkpoint.LAST
    if how == "pickle":
        path.write_bytes(pickle.dumps(payload))
    elif how == "torch.save":
        torch.save({"lrlab": checkpoint.FORMAT, "state": payload}, path)
    else:
        change(run, state=payload)
    shutil.rmtree(run / "checkpoints" / "previous.pt", ignore_errors=True)
    (run / checkpoint.PREVIOUS).unlink(missing_ok=True)
    outcome = command(f"resume={run}")
    assert outcome.code == 1
    assert re.match(r"lrlab: error: resume: got .*last\.pt, which cannot be read", outcome.err), outcome.err
    assert outcome.err.count("\n") == 1
    assert not Path("created").exists()


# What a config could name to do harm, or what Hydra's own list of forbidden names lets through.
TARGETS = {
    "model": ("os.system", "builtins.eval", "subprocess.run", "torch.utils.collect_env.run", "torch.hub.load"),
    "optimizer": ("pathlib.Path.write_text", "shutil.rmtree", "torch.save", "torch.load", "their_code.Optimizer"),
    "scheduler": ("torch.optim.lr_scheduler.warnings.warn", "torch.nn.modules.module.itertools.count", "os.mkdir"),
    "task": ("os.system", "their_code.Task", "torch.nn.CrossEntropyLoss.__init__"),
    "data": ("lrlab.runs.tracking.clear", "lrlab.runs.folders.reserve", "urllib.request.urlretrieve", "numpy.savetxt"),
}


@pytest.mark.parametrize(("group", "target"), [(group, target) for group in TARGETS for target in TARGETS[group]])
def test_a_config_from_a_checkpoint_calls_nothing_that_is_not_known(command, run, group, target):
    Path("their_code.py").write_text("import os\nos.mkdir('created')\n")
    config = config_of(run)
    change(run, config={**config, group: {**config[group], "_target_": target, "path": "created"}})
    before = sorted(run.rglob("*"))
    outcome = command(f"resume={run}")
    assert outcome.code == 1
    assert outcome.err.startswith(f"lrlab: error: {group}._target_: got {target}, which ")
    assert f"do: {group}._target_={target}, if you know and trust what this names" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not Path("created").exists()
    assert [path for path in sorted(run.rglob("*")) if path.name != "train.log"] == before


def test_a_target_deep_inside_is_found_too(command, run):
    config = config_of(run)
    nested = {**config["scheduler"], "lr_lambda": [{"then": {"_target_": "os.mkdir", "path": "created"}}]}
    change(run, config={**config, "scheduler": nested})
    outcome = command(f"resume={run}")
    assert "scheduler.lr_lambda.0.then._target_: got os.mkdir" in outcome.err
    assert not Path("created").exists()


@pytest.mark.parametrize(
    "target", ["their_code.Loss", "torch.nn.Linear", "torch.nn.modules.loss.F.mse_loss", "os.mkdir"]
)
def test_a_loss_from_a_checkpoint_is_torchs_own_or_typed_again(command, run, target):
    Path("their_code.py").write_text("import os\nos.mkdir('created')\n")
    config = config_of(run)
    change(run, config={**config, "task": {**config["task"], "loss": {"_target_": target}}})
    outcome = command(f"resume={run}")
    assert outcome.code == 1
    assert outcome.err.startswith(f"lrlab: error: task.loss._target_: got {target}, which ")
    assert f"do: task.loss._target_={target}, if you know and trust what this names" in outcome.err
    assert not Path("created").exists()


def test_torchs_own_losses_are_known():
    for name in ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss"):
        task = {"_target_": "lrlab.training.task.Classification", "loss": {"_target_": f"torch.nn.{name}"}}
        trust.require_trusted({"task": task}, [], Path("last.pt"))


def test_a_loss_of_ones_own_is_built_again_when_it_is_typed_again(command):
    Path("own_loss.py").write_text("from torch import nn\nclass Own(nn.CrossEntropyLoss):\n    pass\n")
    assert command(*SHORT, "task.loss={_target_: own_loss.Own}").code == 0
    (run,) = Path("outputs/runs").iterdir()
    assert "task.loss._target_: got own_loss.Own" in command(f"resume={run}", "extend=2").err
    assert command(f"resume={run}", "extend=2", "task.loss._target_=own_loss.Own").code == 0
    assert summary(run)["epochs"] == 2


def test_a_folder_for_caches_is_not_taken_from_a_checkpoint(command, run):
    elsewhere = Path("elsewhere").absolute()
    config = config_of(run)
    change(run, config={**config, "data": {**config["data"], "cache": "disk", "cache_dir": str(elsewhere)}})
    outcome = command(f"resume={run}", "extend=2")
    assert outcome.code == 0, outcome.err
    assert not elsewhere.exists()
    assert str(elsewhere) not in outcome.out


def test_the_code_of_a_second_pickle_is_not_reached_through_torchvisions_own(command, run):
    (run / checkpoint.BEST).write_bytes(pickle.dumps(Payload()))
    weights = {"_target_": "torchvision.models.get_weight", "name": "ResNet18_Weights.DEFAULT"}
    hidden = {
        "_target_": "torchvision.models._api.WeightsEnum.get_state_dict",
        "_args_": [weights],
        "model_dir": str(run / "checkpoints"),
        "file_name": "best.pt",
        "weights_only": False,
    }
    config = config_of(run)
    change(run, config={**config, "model": {**config["model"], "hidden": hidden}})
    outcome = command(f"resume={run}")
    assert outcome.code == 1
    assert "model.hidden._target_: got torchvision.models._api.WeightsEnum.get_state_dict" in outcome.err
    assert not Path("created").exists()


@pytest.mark.parametrize("how", ["choices", "config", "computed_by"])
def test_texts_of_a_checkpoint_move_no_cursor_and_break_no_line(command, run, how):
    evil = "\x1b[2J\x1b]0;owned\x07first\nsecond"
    contents = checkpoint.load(run / checkpoint.LAST)
    if how == "config":
        change(run, config={**contents["config"], "optimizer": {**contents["config"]["optimizer"], "lr": evil}})
    else:
        change(run, **{how: dict.fromkeys(contents[how], evil)})
    outcome = command(f"resume={run}", "extend=2")
    assert "second" in outcome.out + outcome.err
    log = (run / "train.log").read_text() if (run / "train.log").exists() else ""
    for text in (outcome.out, outcome.err, log):
        assert not set("\x1b\x07") & set(text)
        assert not any(line.startswith("second") for line in text.splitlines())


def test_a_reference_in_a_checkpoint_reads_no_environment(command, run, monkeypatch):
    monkeypatch.setenv("THEIR_SECRET", "12345")
    config = config_of(run)
    change(run, config={**config, "data": {**config["data"], "root": "${oc.env:THEIR_SECRET}"}})
    outcome = command(f"resume={run}")
    assert outcome.code == 1
    assert "data.root: got '${oc.env:THEIR_SECRET}'" in outcome.err
    assert "12345" not in outcome.err


def test_ones_own_class_is_built_again_when_it_is_typed_again(command):
    Path("own_code.py").write_text("import torch\nclass Own(torch.optim.SGD):\n    pass\n")
    typed = "optimizer._target_=own_code.Own"
    assert command(*SHORT, typed).code == 0
    (run,) = Path("outputs/runs").iterdir()
    refused = command(f"resume={run}", "extend=2")
    assert (refused.code, "optimizer._target_: got own_code.Own" in refused.err) == (1, True)
    assert command(f"resume={run}", "extend=2", typed).code == 0
    assert summary(run)["epochs"] == 2


@pytest.mark.parametrize(
    ("group", "target"),
    [("optimizer", "torch.optim.NAdam"), ("model", "torch.nn.Identity"), ("model", "torchvision.models.resnet18")],
)
def test_torch_and_torchvision_are_known(group, target):
    trust.require_trusted({group: {"_target_": target}}, [], Path("last.pt"))


LINKS = ("history.csv", "checkpoints/best.pt", "checkpoints/last.tmp", "config.yaml", "train.log")


@pytest.mark.parametrize("link", LINKS)
def test_a_link_in_a_run_folder_is_not_followed(command, run, link):
    victim = Path("victim.txt")
    victim.write_text("precious")
    (run / link).unlink(missing_ok=True)
    (run / link).symlink_to(victim.absolute())
    outcome = command(f"resume={run}", "extend=2")
    assert outcome.code == 1
    assert re.match(rf"lrlab: error: folder: got .*{Path(link).name}, a link to .*victim\.txt; ", outcome.err)
    assert outcome.err.count("\n") == 1
    assert victim.read_text() == "precious"


WRITTEN = ("report.html", "results.csv", "figures/learning_curves.svg")


@pytest.mark.parametrize("what", [*WRITTEN, *(f"{one}.tmp" for one in WRITTEN)])
def test_a_link_that_waits_for_what_compare_writes_is_not_followed(enter, run, what):
    victim = Path("victim.txt")
    victim.write_text("precious")
    link = run.parent / what
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(victim.absolute())
    assert enter(compare.main, str(run.parent)).code == 0
    assert victim.read_text() == "precious"
    assert all((run.parent / one).is_file() and not (run.parent / one).is_symlink() for one in WRITTEN)


def test_a_folder_of_figures_that_leads_elsewhere_is_refused(enter, run):
    Path("elsewhere").mkdir()
    (run.parent / "figures").symlink_to(Path("elsewhere").absolute())
    outcome = enter(compare.main, str(run.parent))
    assert outcome.code == 1
    assert outcome.err.startswith(f"lrlab: error: folder: got {run.parent}/figures, a link to ")
    assert outcome.err.count("\n") == 1
    assert list(Path("elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "link", ["train.log", "history.csv", "summary.json", "checkpoints/last.pt", "checkpoints/last.tmp"]
)
@pytest.mark.parametrize("in_process", ["true", "false"])
def test_a_link_in_a_run_of_a_sweep_is_not_followed(command, link, in_process):
    typed = ("-m", *SHORT, "seed=0,1", "sweep=s", f"hydra.launcher.in_process={in_process}")
    victim = Path("victim.txt")
    victim.write_text("precious")
    place = Path("outputs/sweeps/s/seed=1") / link
    place.parent.mkdir(parents=True)
    place.symlink_to(victim.absolute())
    outcome = command(*typed)
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert victim.read_text() == "precious"


def test_a_linked_folder_of_a_sweep_is_not_written_to(command):
    victim = Path("victim")
    victim.mkdir()
    Path("outputs/sweeps/s").mkdir(parents=True)
    Path("outputs/sweeps/s/seed=1").symlink_to(victim.absolute())
    outcome = command("-m", *SHORT, "seed=0,1", "sweep=s", "hydra.launcher.n_jobs=1")
    assert outcome.code == 1
    assert list(victim.iterdir()) == []
    assert re.match(r"lrlab: error: folder: got \S+/seed=1, a link to \S+/victim; ", outcome.err)
    assert not Path("outputs/sweeps/s/seed=0").exists()  # none begins before all are sound


@pytest.mark.parametrize("name", ["../up", "/abs", "a/b", "..", "-rf", "x" * 130, "a\x00b", "~", ""])
def test_a_name_that_climbs_is_no_name_of_a_sweep(command, name):
    outcome = command("-m", *SHORT, "seed=0,1", f"sweep='{name}'")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert not Path("outputs").exists()


@pytest.mark.parametrize("value", ["../../../up", "/etc/x", "..", "a/../../b", "'*?<>|'"])
def test_a_value_that_climbs_makes_no_path(command, value):
    root = folder_of_images(Path("images"))
    outcome = command("data=imagefolder", f"data.root={root}", "data.workers=0", f"+trainer.note='{value}'")
    assert outcome.code == 1  # no such setting; its name is made by the same function as that of one that exists
    from lrlab.config.names import run_name

    name = run_name([f"model.name={value}"])
    assert Path(name).name == name
    assert not set("/\\\0*?<>|") & set(name)


NAMES = ("<script>alert(1)</script>", "=1+1", "@SUM(1)", "\x1b[31mred", "a\nb", "$\\frac{a}{$", "'\"&amp;")


@pytest.mark.parametrize("name", slow_but(NAMES, NAMES[0], NAMES[4], NAMES[5]))
def test_names_and_values_from_strangers_are_only_text(enter, tmp_path, trained, name):
    for seed in (0, 1):
        shutil.copytree(trained, tmp_path / "theirs" / f"run{seed}")
        config = tmp_path / "theirs" / f"run{seed}" / "config.yaml"
        config.write_text(config.read_text().replace("seed: 0", f"seed: {seed}"))
        said = summary(tmp_path / "theirs" / f"run{seed}")
        said["choices"] = {**said["choices"], "scheduler": name}
        (tmp_path / "theirs" / f"run{seed}" / "summary.json").write_text(json.dumps(said))
    (tmp_path / "theirs" / "run0").rename(tmp_path / "theirs" / name.replace("/", ""))
    outcome = enter(compare.main, str(tmp_path / "theirs"))
    assert outcome.code == 0, outcome.err
    assert "\x1b" not in outcome.out + outcome.err
    page = (tmp_path / "theirs" / "report.html").read_text()
    assert "<script>alert" not in page
    assert "\x1b" not in page
    rows = list(csv.reader((tmp_path / "theirs" / "results.csv").read_text().splitlines()))
    assert not [text for row in rows for text in row if text.startswith(("=", "+", "@"))]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = (
    "status",
    "choices",
    "plan",
    "val_accuracy",
    "seconds",
    "versions",
    "device",
    "error",
    "extended_from",
    "epochs",
)


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=4))
def test_a_summary_that_no_run_wrote_breaks_no_comparison(said):
    kept = sound.sound_summary({"status": "finished", **said})
    result = Result("theirs", Path("theirs"), {}, kept, [])
    assert isinstance(result.status, str)
    assert isinstance(result.choice("scheduler"), str)
    assert all(sound.is_number(kept[name]) for name in ("val_accuracy", "seconds", "epochs") if name in kept)


def test_values_of_secrets_lie_in_no_file(command):
    Path("guarded.py").write_text(
        "from lrlab.data.datasets import fake\n"
        "def images(api_key, seen=None):\n"
        "    assert api_key == 'hunter2', api_key\n"
        "    return fake(train_images=60, val_images=20, image_size=8, channels=3, num_classes=4)\n"
    )
    typed = ["data._target_=guarded.images", "model=mlp", "data.shift=0"]
    assert command(*typed, "+data.api_key=hunter2", "trainer.epochs=1").code == 0
    (run,) = Path("outputs/runs").iterdir()
    assert [path for path in Path("outputs").rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()] == []
    assert "hunter2" not in run.name
    nothing = command(f"resume={run}", "extend=2", typed[0])
    assert (nothing.code, "data.api_key: got nothing" in nothing.err) == (1, True)
    again = command(f"resume={run}", "extend=2", typed[0], "data.api_key=hunter2")
    assert (again.code, again.err) == (0, "")


def test_a_secret_inside_of_a_value_lies_in_no_file_either(command):
    Path("nested.py").write_text(
        "from lrlab.data.datasets import fake\n"
        "def images(login):\n"
        "    assert login['api_key'] == 'hunter2', login\n"
        "    return fake(train_images=60, val_images=20, image_size=8, channels=3, num_classes=4)\n"
    )
    typed = ["data._target_=nested.images", "model=mlp", "data.shift=0", "trainer.epochs=1"]
    assert command(*typed, "+data.login={user: me, api_key: hunter2}").code == 0
    assert [path for path in Path("outputs").rglob("*") if "hunter2" in path.name] == []
    assert [path for path in Path("outputs").rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()] == []


@pytest.mark.slow
def test_a_sweep_keeps_secrets_to_itself(command):
    Path("kept.py").write_text(
        "from lrlab.data.datasets import fake\n"
        "def images(token):\n"
        "    assert token == 'hunter2', token\n"
        "    return fake(train_images=60, val_images=20, image_size=8, channels=3, num_classes=4)\n"
    )
    typed = ["data._target_=kept.images", "model=mlp", "data.shift=0", "trainer.epochs=1", "+data.token=hunter2"]
    assert command("-m", *typed, "seed=0,1", "sweep=s").code == 0
    assert command("-m", *typed, "seed=0,1", "sweep=s").code == 0  # nothing to do, and the settings are the same
    assert [path for path in Path("outputs").rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()] == []


def test_masks_leave_what_is_no_secret():
    config = {"data": {"token": "a", "tokens": 3, "num_tokens": 4, "password": None}, "list": [{"secret": 1}]}
    assert secrets.mask(config) == {
        "data": {"token": "***", "tokens": 3, "num_tokens": 4, "password": None},
        "list": [{"secret": "***"}],
    }


def test_lengths_that_climb_cut_nothing(run):
    from lrlab.runs import tracking

    victim = Path("victim.csv")
    victim.write_text("precious")
    with pytest.raises(UserError, match=r"victim\.csv, which is no log of a run"):
        tracking.cut_back(run, {"../../../victim.csv": 0}, {})
    assert victim.read_text() == "precious"


def test_tensorboard_is_only_told_to_listen_to_this_machine():
    from lrlab.runs.display import tensorboard_hint

    command, link = tensorboard_hint(Path("outputs"))
    assert "bind_all" not in command
    assert "--host" not in command
    assert link.startswith("http://localhost:")
