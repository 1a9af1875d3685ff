"""The model of a run, with the weights that it left."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from lrlab.config import build
from lrlab.config.again import as_it_was
from lrlab.config.compose import resolve
from lrlab.config.prepare import prepare
from lrlab.data.splits import Splits
from lrlab.runs import checkpoint
from lrlab.runs.testing import WEIGHTS, has_average
from lrlab.schedules.law import wrong_argument
from lrlab.training import averages


def load_model(folder: Path, weights: str, overrides: Sequence[str] = ()) -> nn.Module:
    """The model of the run in `folder` with its "last", "best" or "average" weights, on the CPU, to be evaluated."""
    if weights not in WEIGHTS:
        raise wrong_argument("weights", got=repr(weights), allowed=", ".join(WEIGHTS), do='weights="best"')
    if not (folder / "checkpoints").is_dir():
        got = f"{folder}, whose weights another program keeps, or nobody"
        raise wrong_argument("folder", got=got, allowed="a run that lrlab trained", do="load them as they were saved")
    path, contents = _checkpoint(folder, weights)
    checkpoint.require_form(path, contents)
    if weights == "average" and not has_average(contents):
        do = 'weights="last", or train again with "trainer.average=ema"'
        raise wrong_argument("weights", got='"average", of a run that has none', allowed="last, best", do=do)
    with checkpoint.restoring(path, "config"):
        config = as_it_was(contents["config"], path.resolve(), overrides)
    prepared = prepare(config, contents["choices"], contents["overrides"])
    splits: Splits = prepared.splits
    node = resolve(config)["model"]
    model = build.build_model(node, splits.interface)
    with checkpoint.restoring(path, "state"):
        model.load_state_dict(_weights(contents, weights))
    return model.to(torch.device("cpu")).eval()


def _weights(contents: dict, weights: str) -> dict:
    """Those of a checkpoint that are asked for; of the best epoch those that are in front."""
    if weights == "best":
        return contents["state"]["model"]
    state = averages.apart(contents["state"])
    return state["average"]["model"] if weights == "average" else state["model"]


def _checkpoint(folder: Path, weights: str) -> tuple[Path, dict]:
    if WEIGHTS[weights].name == checkpoint.LAST.name:
        return checkpoint.latest(str(folder), lambda _reason: None)
    path = checkpoint.find(str(folder / WEIGHTS[weights]))
    return path, checkpoint.load(path)
