"""The settings of `hydra/launcher=lrlab`. They are read without torch, whose import they start in another process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lrlab.config import options
from lrlab.errors import wrong
from lrlab.system import process

EXECUTORS = ("processes", "ray")
MOST_IN_A_STEP = 64  # on a CPU more gain nothing


@dataclass(frozen=True)
class LauncherSettings:
    """The settings of `hydra/launcher=lrlab`, checked."""

    n_jobs: int = options.option(1, options.whole(low=1, example=2))
    threads: int | None = options.option(None, options.whole(low=1, example=1))
    fail_fast: bool = options.option(False, options.flag())
    reuse: bool = options.option(True, options.flag())
    in_process: bool = options.option(False, options.flag())
    executor: str = options.option("processes", options.choice(lambda: EXECUTORS))
    retries: int = options.option(3, options.whole(low=0, example=3))
    share: bool = options.option(True, options.flag())
    stack: bool | int = options.option(False, options.flag_or_whole(low=2, example=16))
    gpus_per_run: float = options.option(1, options.number(low=0, example=0.5))

    @property
    def threads_per_run(self) -> int:
        return self.threads or process.threads_asked_for() or max(1, process.cores() // self.n_jobs)

    @property
    def most_in_a_step(self) -> int:
        """How many runs may train in one step; 1: each has its own."""
        if not self.stack or process.ranks() > 1:
            return 1
        return MOST_IN_A_STEP if self.stack is True else self.stack

    @property
    def in_this_process(self) -> bool:
        return self.in_process or process.ranks() > 1


def read_settings(node: Mapping[str, Any]) -> LauncherSettings:
    """Raises UserError naming the first of the launcher's settings that is not allowed."""
    key = "hydra.launcher"
    settings = options.check(LauncherSettings, node, key)
    several = settings.n_jobs > 1
    elsewhere = settings.executor != "processes"
    if settings.in_process and (several or elsewhere):
        raise wrong(
            f"{key}.in_process",
            got=f"true, with {'n_jobs' if several else 'executor'} set too",
            allowed="true with one run at a time, on this machine",
            do=f"leave one of them out, or {key}.in_process=false",
        )
    if settings.stack and process.ranks() > 1:
        raise wrong(
            f"{key}.stack",
            got=f"{str(settings.stack).lower()}, on several ranks",
            allowed="where each run trains on one",
            do=f"{key}.stack=false, or leave out torchrun",
        )
    ranks = process.ranks()
    if ranks > 1 and (several or elsewhere):
        raise wrong(
            f"{key}.n_jobs",
            got=f"several runs at a time, each on {ranks} ranks",
            allowed="one run after another where torchrun shares out each",
            do=f"leave out {key}.*, or torchrun",
        )
    return settings
