"""What it would gain that runs of a sweep train in one step: it is tried, and measured, each way."""

import logging
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch

from lrlab.config import stackable
from lrlab.config.prepare import Checked, Prepared, equip
from lrlab.errors import first_line
from lrlab.runs import assemble
from lrlab.runs.guest import guest
from lrlab.stacking import EAGER, compiled
from lrlab.stacking.fitness import Company, depends_on_company
from lrlab.stacking.optimizers import Updates
from lrlab.stacking.rows import StackedModels
from lrlab.sweeps.settings import MOST_IN_A_STEP
from lrlab.system import compiler, memory
from lrlab.system.signals import ENDING, SAVING
from lrlab.training.divergence import Guard
from lrlab.training.loop import update
from lrlab.words import counted

log = logging.getLogger(__name__)

STEPS, _ROUNDS = 5, 3  # that are measured each way, in turn
_SLOW_SECONDS = 0.05  # of a step alone, of which rows would save nothing worth the measuring
_WORTH_COMPILING_SECONDS = 30.0  # of a process's training
_COPIES = 12  # of its weights that a row holds at its most, with what is made of them
_PART_OF_THE_ROOM = 0.5  # that rows may take: data, records and other programs need some too
_LEAST_GAIN = 1.1  # times faster, or the measurement itself may be mistaken


@dataclass(frozen=True)
class StepTrial:
    """What is to be tried."""

    checked: Checked  # one of the runs
    runs: int  # of the sweep that are alike
    most: int  # of them in one step
    processes: int  # that will train at a time
    updates: int  # that a process will make, counted for each of its runs
    threads: int
    form: str | None = None  # of the step, where it is not to be measured any more
    was_begun: bool = False  # in that form, so that nothing is asked but for how many rows there is memory


@dataclass(frozen=True)
class Measured:
    """How long an update of a run takes, in seconds: alone, and as one of several, in the form that is faster."""

    alone: float
    together: float
    form: str
    rows: int  # of a step: those that were asked for, or as many as there is memory for

    def pays(self, trained: float = 1.0) -> bool:
        """Whether several in a step are faster, where of the runs alone this part is `trained`, and the rest shared."""
        return trained * self.alone > _LEAST_GAIN * self.together


def sizes(count: int, most: int, processes: int) -> list[int]:
    """How many of `count` runs are in each step, with `most` in one, so that each of the processes has its part."""
    rounds = math.ceil(count / (most * processes))
    fewest = math.ceil(count / most)
    stacks = max(fewest, min(count // 2, rounds * processes))
    return [count // stacks + (index < count % stacks) for index in range(stacks)]


def tell_trial(connection: Connection, trial: StepTrial) -> None:
    """Send what is found in this process, which ends afterwards. It is the sweep that a signal is for."""
    for number in (*ENDING, *SAVING):
        signal.signal(number, signal.SIG_IGN)
    try:
        connection.send(tried_here(trial))
    except Exception as error:  # of memory, say
        connection.send(f"for a trial of it failed ({type(error).__name__}: {first_line(error)})")


def tried_here(trial: StepTrial) -> Measured | str:
    """How long an update takes each way, or why these runs train alone, in words. Leaves the process as it was."""
    with guest():
        torch.set_num_threads(trial.threads)
        prepared = equip(trial.checked)
        with compiler.left_out():
            reason = None if trial.was_begun else stackable.reason_against(prepared, prepared.config, prepared.plan)
        if reason:
            return reason
        most = min(trial.most, _rows_with_room(prepared, trial.processes))
        if trial.was_begun:
            return Measured(1.0, 0.0, trial.form or "", max(most, 1))
        if most < 2:
            return f"for {counted(trial.processes, 'step')} of two runs would need more memory than is free"
        rows = max(sizes(trial.runs, most, trial.processes))
        found: Measured | None = Measured(1.0, 0.0, trial.form or "", rows)
        if trial.form is None:
            found = measure(prepared, rows, updates=trial.updates)
        if found is None:
            return f"whose steps take more than {_SLOW_SECONDS * 1e3:.0f} ms each"
        if found.pays() and _is_in_company(prepared, rows, found.form):
            return "whose last bits would depend on the runs beside them, with tensors of these shapes"
    return found


def _rows_with_room(prepared: Prepared, processes: int) -> int:
    """How many runs a step may have, where so many `processes` share the memory that is free.

    A step of two is tried, and one of four: what the other two need is what each row needs. Where the system does not
    say what is held, a row is taken to need some copies of its weights.
    """
    size = min(prepared.batching.batch_size, len(prepared.splits.train))
    with compiler.left_out():
        free = memory.free_bytes(prepared.device) // processes
        two, four = (memory.most_held_bytes(_first_steps(prepared, rows, size), prepared.device) for rows in (2, 4))
    if two is None or four is None:
        weights = sum(one.nbytes for one in assemble.build_state(prepared).model.parameters())
        each = float(_COPIES * weights)
    else:
        each = max(four - two, 0) / 2
    return int(_PART_OF_THE_ROOM * free / each) if each > 0 else MOST_IN_A_STEP


def _first_steps(prepared: Prepared, rows: int, size: int) -> Callable[[], None]:
    def work() -> None:
        step = step_together(prepared, table_of(prepared, rows, EAGER), size)
        step()
        step()

    return work


def _is_in_company(prepared: Prepared, rows: int, form: str) -> bool:
    """Whether a run would become another one beside other runs, on batches of the sizes that it has."""
    size = min(prepared.batching.batch_size, len(prepared.splits.train))
    last = len(prepared.splits.train) % size
    make_model, make_optimizer = stackable.makers(prepared.config, prepared.splits.interface, prepared.device)
    return depends_on_company(
        Company(
            make_model=make_model,
            make_optimizer=make_optimizer,
            task=prepared.task.to(prepared.device),
            batches=[_batch(prepared, one) for one in ([size, last] if last else [size])],
            rows=rows,
            form=form,
            clip_grad_norm=prepared.trainer.clip_grad_norm,
        )
    )


def measure(prepared: Prepared, rows: int, updates: int) -> Measured | None:
    """How long an update takes alone and as one of `rows`; None where it takes too long alone to be tried.

    The step is compiled for the trial where a process would take long enough for its `updates`.
    """
    size = min(prepared.batching.batch_size, len(prepared.splits.train))
    with compiler.left_out():
        alone_step = step_alone(prepared, size)
        if _seconds(alone_step, prepared.device) > _SLOW_SECONDS:
            return None
        step = step_together(prepared, table_of(prepared, rows, EAGER), size)
        each_way = [(_seconds(alone_step, prepared.device), _seconds(step, prepared.device)) for _ in range(_ROUNDS)]
    alone, together = (min(seconds) for seconds in zip(*each_way, strict=True))
    together /= rows
    found = Measured(alone, together, EAGER, rows)
    if min(alone, together) * updates < _WORTH_COMPILING_SECONDS:
        return found
    in_compiled, took = _compiled(prepared, rows, size)
    if in_compiled * updates + took < min(alone, together) * updates:
        return Measured(alone, in_compiled, compiled(rows), rows)
    return found


def _compiled(prepared: Prepared, rows: int, size: int) -> tuple[float, float]:
    """The seconds of an update in a compiled step, and of compiling it; infinite where it cannot be compiled.

    What is compiled stays on the disk, for the processes that train.
    """
    began = time.perf_counter()
    try:
        table = table_of(prepared, rows, compiled(rows))
        seconds = _seconds(step_together(prepared, table, size), prepared.device)
    except Exception as error:  # without a C++ compiler, say
        log.info("a step of %d runs cannot be compiled: %s", rows, first_line(error))
        return math.inf, math.inf
    return seconds / rows, time.perf_counter() - began


def _batch(prepared: Prepared, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    samples, targets = stackable.stand_in(prepared, size)
    return samples.to(prepared.device), targets.to(prepared.device)


def step_alone(prepared: Prepared, size: int) -> Callable[[], object]:
    """An update of a run that trains alone, on a batch of this `size`."""
    samples, targets = _batch(prepared, size)
    state, task = assemble.build_state(prepared), prepared.task.to(prepared.device)
    state.applied = {"lr": 0.0}  # so that nothing diverges
    _keep_still(state.optimizer)
    state.network.train()
    clip = prepared.trainer.clip_grad_norm

    def step() -> object:
        guard = Guard(state.device)
        return update(
            state, task, samples, targets, size=len(samples), accumulate=1, clip_grad_norm=clip, guard=guard, last=False
        )

    return step


def table_of(prepared: Prepared, rows: int, form: str) -> Updates:
    """So many runs in rows, and their optimizers."""
    states = [assemble.build_state(prepared) for _ in range(rows)]
    whole = min(prepared.batching.batch_size, len(prepared.splits.train))
    models = StackedModels.of([one.model for one in states], prepared.task.to(prepared.device), form, whole=whole)
    for state in states:
        _keep_still(state.optimizer)
    return Updates(models, [state.optimizer for state in states])


def _keep_still(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        group["lr"] = 0.0


def step_together(prepared: Prepared, table: Updates, size: int) -> Callable[[], object]:
    """An update of all runs in a `table`, each on a batch of this `size`."""
    rows = len(table.rows)
    samples, targets = (torch.stack([one] * rows) for one in _batch(prepared, size))
    seeds, steps = list(range(rows)), [0] * rows

    def step() -> None:
        _, gradients = table.rows.gradients(samples, targets, seeds, steps)
        table.step(gradients, prepared.trainer.clip_grad_norm)

    return step


def _seconds(step: Callable[[], object], device: torch.device) -> float:
    """The seconds of the fastest of some steps, after one that warms up."""
    taken = []
    for _ in range(1 + STEPS):
        _wait_for(device)
        began = time.perf_counter()
        step()
        _wait_for(device)
        taken.append(time.perf_counter() - began)
    return min(taken[1:])


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
