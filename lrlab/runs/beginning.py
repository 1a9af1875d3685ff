"""Beginnings that runs share: what one run has trained, another one begins with, as if it had trained it itself.

Where runs are alike but for their schedules and lengths, they are one run until their schedules part. One of them, the
trunk, leaves what it has become there: its state, the losses of all updates, the means of all epochs. Another plays
that back into files of its own, under its own schedule, and goes on from the state. It becomes what it would have
become alone, bit for bit.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lrlab.config import identity
from lrlab.config.prepare import Checked, Prepared
from lrlab.errors import UserError
from lrlab.lr.controls import Controls
from lrlab.lr.hyperparameters import count_as_stepped, read
from lrlab.runs import checkpoint, form
from lrlab.runs.describe import computed_by
from lrlab.runs.led import Led, Values, file_of, would_use
from lrlab.system import disk
from lrlab.training.loop import Epoch, Update, advance, step_scheduler
from lrlab.training.state import TrainState
from lrlab.training.task import Task

# Whose state, but for the groups' hyperparameters, says nothing of the schedule that led there; a test holds each.
OPTIMIZERS = frozenset(
    [f"torch.optim.{name}" for name in ("SGD", "Adam", "AdamW", "Adagrad", "NAdam", "RAdam", "RMSprop")]
    + ["lrlab.optimizers.Lion", "lrlab.optimizers.Muon"]
)
_OURS = ("lrlab.", "torch.nn.", "torch.optim.")
_MAY_DIFFER = (*identity.LENGTHS, "optimizer.lr")
_CHECKPOINTS_OF_A_RUN = 4  # at most, at one time
_ENDS_MATTER = ("trainer.average", "trainer.stop_early")  # whose lengths are shares of the run's


def alike(checked: Checked) -> str | None:
    """The same text for runs that differ in nothing but their schedules and lengths; None where none can be shared.

    It is stricter than what makes a run that run: settings are told apart by their order, 1 from 1.0, null from one
    that is not there. Code of the user's may keep a state that is in no checkpoint, so it shares nothing.
    """
    flat = identity.flatten(checked.config)
    if flat.get("optimizer._target_") not in OPTIMIZERS or not all(map(_is_ours, _targets(checked.config))):
        return None
    if any("momentum" in key and isinstance(value, list) for key, value in flat.items()):
        return None  # one for each group, of which the plan knows the first
    telling = identity.of(checked.config, checked.contents).telling()
    kept = [(key, value) for key, value in flat.items() if key in telling and not _may_differ(key)]
    if any(flat.get(key) is not None for key in _ENDS_MATTER):
        kept.append(("updates", checked.plan.horizon.steps))
    return f"{kept!r}\n{checked.contents!r}\n{flat.get('trainer.stacked') or False}"


def _may_differ(key: str) -> bool:
    return key in _MAY_DIFFER or key.startswith("scheduler.")


def _is_ours(target: str) -> bool:
    return target.startswith(_OURS)


def _targets(node: Any) -> Iterator[str]:
    """Every `_target_` in a config, in lists too."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "_target_":
                yield str(value)
            else:
                yield from _targets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _targets(value)


@dataclass(frozen=True)
class Sharing:
    """What a run shares with others of its sweep."""

    folder: Path  # where beginnings are
    salt: str  # says what else is alike
    runs: int = 1  # of the sweep, for which the disk must have room first
    forks: tuple[int, ...] = ()  # after so many updates others part from it
    begins_at: int = 0  # it parts from another one there
    trunk: str = ""  # the name of that one, where it trains in the same sweep
    beginning: Path | None = None  # the file that it leaves there
    is_led: bool = False  # it parts from that one where a metric will say so
    led: tuple[Checked, ...] = ()  # the runs that part from this one so

    @property
    def has_takers(self) -> bool:
        """Whether others begin with what this run trains."""
        return bool(self.forks or self.led)

    def files(self, controls: Controls, updates: Iterable[int]) -> dict[int, Path]:
        """Where what a run with these controls has become after so many updates is kept, as far as it makes so many."""
        digests = controls.digests(updates, self.salt)
        return {count: self.folder / f"{count}-{digest}.pt" for count, digest in digests.items()}


def kept_in(folder: Path) -> dict[int, set[str]]:
    """The names of the beginnings in `folder`, by how many updates they are."""
    kept: dict[int, set[str]] = {}
    with suppress(OSError):  # a folder that cannot be read holds none
        for path in folder.glob("*-*.pt"):
            head = path.name.partition("-")[0]
            if head.isdecimal():
                kept.setdefault(int(head), set()).add(path.name)
    return kept


def is_there(file: Path) -> bool:
    """Whether a beginning can be read."""
    with suppress(OSError):
        return file.is_file()
    return False


@dataclass(frozen=True)
class Beginning:
    """The first updates of a run, as another one trained them."""

    updates: int
    state: dict[str, Any]  # of the other one, after them
    losses: Tensor  # (updates,) float32
    epochs: list[dict[str, Any]]  # what was measured in each that is complete
    best: dict[str, Any] | None  # the other one's state after its best epoch so far
    used: list[Values | None] | None = None  # by the other one in each epoch, where it led this one

    @property
    def seconds(self) -> float:
        """What training it took."""
        return sum(epoch["seconds"] for epoch in self.epochs) + self.state["progress"]["seconds"]

    @property
    def best_epoch(self) -> int | None:
        return self.best["progress"]["epoch"] - 1 if self.best is not None else None

    def played_back(self, state: TrainState, prepared: Prepared, task: Task) -> Iterator[Update | Epoch]:
        """The events of its updates and epochs, of which `state` makes only the steps of its scheduler.

        At the best epoch, and in the end, `state` is what it would be if it had trained.
        """
        interval, monitor = prepared.scheduler.interval, prepared.scheduler.monitor
        each, epochs = prepared.horizon.steps_per_epoch, iter(self.epochs)
        count_as_stepped(state.optimizer)
        for step in range(self.updates):
            state.applied = read(state.optimizer)
            if interval == "step":
                step_scheduler(state.scheduler)
            state.step, state.batch = step + 1, state.batch + 1
            yield Update(step, state.applied, self.losses[step])
            if state.batch == each and (measured := next(epochs, None)) is not None:
                advance(state.scheduler, monitor, measured["train"], measured["val"], interval=interval)
                state.epoch, state.batch = state.epoch + 1, 0
                result = Epoch(
                    epoch=state.epoch - 1,
                    step=state.step,
                    lr=state.applied["lr"],
                    is_averaged=state.average is not None,
                    metrics=task.metrics,
                    each=prepared.splits.each,
                    **measured,
                )
                if state.early is not None and result.val is not None:
                    state.early.see(result.epoch, result.step, result.measured, is_last=False)
                if result.epoch == self.best_epoch and self.best is not None:
                    _take_over(state, self.best)
                yield result
        _take_over(state, self.state)


def _take_over(state: TrainState, trained: dict[str, Any]) -> None:
    """Let `state` have what was `trained`, under its own schedule."""
    own = state.state_dict()
    groups = {**trained["optimizer"], "param_groups": own["optimizer"]["param_groups"]}
    kept: dict[str, Any] = {name: own[name] for name in ("scheduler", "stop_early") if name in own}
    state.load_state_dict({**trained, "optimizer": groups, **kept})


def find(sharing: Sharing, prepared: Prepared, model: nn.Module) -> Beginning | None:
    """The longest beginning there is for a run; None without one."""
    if sharing.is_led and sharing.beginning is not None:
        return _load_led(sharing.folder / sharing.beginning.name, prepared, model)
    kept = kept_in(sharing.folder)
    files = sharing.files(Controls.of(prepared.plan), [count for count in kept if count < prepared.horizon.steps])
    for count, file in sorted(files.items(), reverse=True):
        if file.name in kept[count] and (beginning := _load(file, prepared)) is not None:
            return beginning
    return None


def _load(file: Path, prepared: Prepared) -> Beginning | None:
    """What `file` holds, where it is whole and was computed as this process would."""
    with suppress(UserError, KeyError, TypeError):
        held = checkpoint.load(file)
        known = {name: held[name] for name in ("updates", "state", "losses", "epochs", "best")}
        found = Beginning(**known | {"used": held.get("used")})
        states = [state for state in (found.state, found.best) if state is not None]
        whole = len(found.losses) == found.updates and not any(map(form.fault_of_state, states))
        if whole and held["computed_by"] == computed_by(prepared.device, prepared.trainer.form):
            return found
    return None


def _load_led(file: Path, prepared: Prepared, model: nn.Module) -> Beginning | None:
    """What `file` holds, where the run would have used the same values; None where it is of no updates."""
    found = _load(file, prepared)
    if found is None or not found.updates or found.used is None:
        return None
    is_whole = found.updates == len(found.epochs) * prepared.horizon.steps_per_epoch
    return found if is_whole and would_use(prepared, model, found.used, found.epochs) else None


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Recorder:
    """Keeps what a run trains as others may begin with it, and leaves it where they part from the run.

    What the disk does not take is not left, and those others train it themselves.
    """

    def __init__(self, sharing: Sharing, prepared: Prepared, state: TrainState, folder: Path):
        self.files = sharing.files(Controls.of(prepared.plan), sharing.forks)
        self.computed_by = computed_by(prepared.device, prepared.trainer.form)
        self.folder, self.runs = folder, sharing.runs
        led = {sharing.folder / file_of(one, sharing.salt): one for one in sharing.led}
        self.state = state
        self.led = Led(prepared, state.model, state.optimizer, led)
        if not state.step:
            self.led.begin()
        name = f"{sharing.salt} {os.path.relpath(folder, sharing.folder)}"  # its settings are of that folder alone
        self.own_file = sharing.folder / f"of_{_short_hash(name)}.pt"  # what a resumed run goes on to record
        self.losses: list[Tensor] = []  # (n,) each
        self.latest: list[Tensor] = []  # () each, of the epoch under way
        self.epochs: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None

    def begin_with(self, beginning: Beginning) -> None:
        """What another run has trained is known of this one too."""
        self.losses, self.epochs, self.best = [beginning.losses], list(beginning.epochs), beginning.best
        self.led.let_go()
        self._leave_nothing()

    def update(self, update: Update) -> None:
        self.latest.append(update.loss)

    def epoch(self, epoch: Epoch, best: dict[str, Any] | None) -> None:
        """Note what was measured, and the run's state where the epoch is the `best` so far."""
        names = ("train", "val", "seconds", "images_per_second", "average")
        self.epochs.append({name: getattr(epoch, name) for name in names})
        self.best = self.best if best is None else best
        self._gather()
        self.led.see(epoch.step, self.epochs[-1], is_last=self.state.has_ended)

    def leave(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        """Leave what the run is after `step` updates, where another one parts from it there."""
        for file in (self.files.get(step), *self.led.take()):
            if file is not None and not is_there(file):
                self._gather()
                held = {"updates": step, "state": state(), "best": self.best, "computed_by": self.computed_by}
                self._write(file, {**held, "used": self.led.used})
        self._leave_nothing()

    def _leave_nothing(self) -> None:
        """Let those know that have nothing from this run."""
        for file in self.led.take_apart():
            if not is_there(file):
                self._write(file, {"updates": 0})

    def save(self, step: int) -> None:
        """Have what was recorded in `step` updates outlive this process, as the run's checkpoint does."""
        if self.led.followers or any(count > step for count in self.files):
            self._gather()
            self._write(self.own_file, {"updates": step, "used": self.led.used})

    def resume(self, state: TrainState, best: dict[str, Any] | None) -> bool:
        """Go on from what was recorded before `state`, and its `best` epoch's; whether that is known."""
        with suppress(UserError, KeyError, TypeError):
            held = checkpoint.load(self.own_file)
            if held["updates"] >= state.step and len(held["epochs"]) >= state.epoch:
                self.losses, self.epochs = [held["losses"][: state.step]], held["epochs"][: state.epoch]
                self.best = best
                self.led.replay(held.get("used", []), self.epochs)
                return True
        self.close()  # it is of no use any more
        return False

    def close(self) -> None:
        """The run is finished, and needs no more to be known of it."""
        with suppress(OSError):
            self.own_file.unlink(missing_ok=True)

    def _write(self, file: Path, held: dict[str, Any]) -> None:
        losses = torch.cat(self.losses).cpu() if self.losses else torch.empty(0)
        with suppress(UserError, OSError):
            size = (self.folder / checkpoint.LAST).stat().st_size
            disk.require_room(self.folder, _CHECKPOINTS_OF_A_RUN * self.runs * size, "the checkpoints of all runs")
            checkpoint.save(file, {**held, "losses": losses, "epochs": self.epochs})

    def _gather(self) -> None:
        if self.latest:
            self.losses.append(torch.stack(self.latest).detach().float())
            self.latest.clear()
