"""`lrlab sweep ...`, which is training with -m: a run for every combination of the values that commas separate."""

from typing import TYPE_CHECKING

from lrlab.commands import with_hydra
from lrlab.config.arguments import quoted
from lrlab.config.targets import forced
from lrlab.errors import wrong

if TYPE_CHECKING:
    from lrlab.sweeps.request import SweepRequest


def carry_out(typed: list[str]) -> None:
    """Carry out a sweep, or let Hydra do so where the user chose another launcher or sweeper."""
    from lrlab.sweeps import request as requests

    request = requests.read_request(typed)
    if request.is_ours:
        requests.carry_out(request)
    else:
        _with_another_launcher(request, typed)


def _with_another_launcher(request: "SweepRequest", typed: list[str]) -> None:
    """Let Hydra carry out a sweep in a folder that is ours to choose, after a check of all runs that are known."""
    from lrlab.sweeps import request as requests
    from lrlab.system import distributed

    # Hydra's launchers know nothing of ranks.
    if distributed.ranks() > 1:
        raise wrong(
            "hydra/launcher",
            got=f"{request.launcher}, under torchrun",
            allowed="lrlab, which trains one run after another on all ranks",
            do="leave out hydra/launcher and hydra/sweeper, or torchrun",
        )

    # Every run, and the folder.
    if request.runs:
        requests.check(request)
    request = requests.reserve(request)
    settings = [
        f"hydra.sweep.dir={quoted(str(request.folder))}",
        f"hydra.job.config.override_dirname.exclude_keys=[{','.join(map(quoted, request.fixed))}]",
    ]
    if request.runs:
        settings.append("hydra.sweeper.params=null")  # they are among the overrides
    try:
        with_hydra.start([*forced(request.overrides), *settings], ["--multirun"], typed)
    finally:
        requests.show_result(request)
