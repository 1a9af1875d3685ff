"""Runs that are stopped and go on: how they are stopped, and that they end as those that never were."""

import os
import signal
from pathlib import Path

import pytest
from support import StopAt, composed, history, same_weights, train, weights

from lrlab.config.prepare import prepare
from lrlab.errors import Interrupted
from lrlab.runs import assemble, run
from lrlab.training.validation import Evaluating, evaluate


def stop_at(patch: pytest.MonkeyPatch, step: int | str) -> None:
    """Let SIGTERM come after the update `step`, or while the first epoch is validated where that is "validation"."""
    if step != "validation":
        StopAt(patch, signal.SIGTERM, step)
        return
    show = run.Display.show

    def shown(display, event):
        show(display, event)
        if isinstance(event, Evaluating):
            os.kill(os.getpid(), signal.SIGTERM)

    patch.setattr(run.Display, "show", shown)


def whole_and_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...], *, step: int
) -> tuple[Path, Path]:
    """The folders of two runs in `folder`: one was never stopped, the other was after `step`, went on, and is equal."""
    whole, stopped = folder / "whole", folder / "stopped"
    train(whole, *settings)
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(Interrupted):
            train(stopped, *settings)
    train(stopped, *settings, f"resume={stopped}")
    assert same_weights(weights(stopped), weights(whole))
    assert history(stopped) == history(whole)
    return whole, stopped


def validation_again(folder: Path, *typed: str, name: str = "last") -> float:
    """The loss of the saved weights on the validation images, in a new process's eyes."""
    prepared = prepare(composed(*typed))
    state = assemble.build_state(prepared)
    state.model.load_state_dict(weights(folder, name))
    val = assemble.read_images(prepared, assemble.unseen, None, train=False)
    events = evaluate(state, prepared.task, val)
    while True:
        try:
            next(events)
        except StopIteration as ended:
            return ended.value["loss"]
