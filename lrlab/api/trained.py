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
from lrlab.runs.testing import WEIGHTS
from lrlab.schedules.law import wrong_argument


def load_model(folder: Path, weights: str, overrides: Sequence[str] = ()) -> nn.Module:
    """The model of the run in `folder` with its "last" or "best" weights, on the CPU, in evaluation mode."""
    if weights not in WEIGHTS:
        raise wrong_argument("weights", got=repr(weights), allowed=", ".join(WEIGHTS), do='weights="best"')
    if not (folder / "checkpoints").is_dir():
        got = f"{folder}, whose weights another program keeps, or nobody"
        raise wrong_argument("folder", got=got, allowed="a run that lrlab trained", do="load them as they were saved")
    path, contents = _checkpoint(folder, weights)
    checkpoint.require_form(path, contents)
    with checkpoint.restoring(path, "config"):
        config = as_it_was(contents["config"], path.resolve(), overrides)
    prepared = prepare(config, contents["choices"], contents["overrides"])
    splits: Splits = prepared.splits
    node = resolve(config)["model"]
    model = build.build_model(node, splits.interface)
    with checkpoint.restoring(path, "state"):
        model.load_state_dict(contents["state"]["model"])
    return model.to(torch.device("cpu")).eval()


def _checkpoint(folder: Path, weights: str) -> tuple[Path, dict]:
    if weights == "last":
        return checkpoint.latest(str(folder), lambda _reason: None)
    path = checkpoint.find(str(folder / WEIGHTS[weights]))
    return path, checkpoint.load(path)
