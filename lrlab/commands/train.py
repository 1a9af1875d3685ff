"""The command line: checks every run that was asked for, reserves its folder, then lets Hydra carry it out.

Nothing is written before every run is known to be sound, and every mistake is one line and exit code 1.
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lrlab.commands.entry import enter, report
from lrlab.config import compose
from lrlab.config.arguments import key_of, quoted, read, value_of
from lrlab.config.targets import chosen, fit_to_targets
from lrlab.errors import UserError, wrong
from lrlab.runs import folders
from lrlab.system import spelling

log = logging.getLogger(__name__)


def main() -> None:
    """`python train.py`; exits with 0, 1 for an error, 130 or 143 for a signal."""
    spelling.say(spelling.script(sys.argv[0]))
    start()


def start() -> None:
    """Run the command with what was typed."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        _as_one_of_several()
    else:
        enter(_main)


def _as_one_of_several() -> None:
    """Run it as one of torchrun's processes, and leave without Python's own end.

    There the threads of a process group are destroyed in an order that now and then aborts the process.
    """
    code = 0
    try:
        enter(_main_of_a_rank)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _main_of_a_rank(typed: list[str]) -> None:
    """Rank 0 does what was typed; the others train along, and read nothing of it.

    The ranks are connected once, around all runs of a sweep.
    """
    from lrlab.runs import assemble
    from lrlab.system import distributed

    own = int(os.environ["RANK"])
    try:
        with distributed.process_group():
            if own:
                return assemble.follow()
            try:
                _main(typed)
            finally:
                distributed.dismiss()
    except distributed.PeerFailed as lost:
        if own and lost.told:  # by the rank that failed, and by rank 0
            sys.exit(1)
        raise
    except UserError as error:
        if own:
            raise UserError(f"rank {own}: {error}") from error
        raise


def _main(typed: list[str]) -> None:
    arguments = read(typed)
    if arguments.flags:
        _call_hydra(arguments.overrides, arguments.flags, arguments.overrides)
        return
    if arguments.resume and arguments.multirun:
        installed = spelling.said() == spelling.INSTALLED
        do = "lrlab train resume=PATH" if installed else "leave out -m and what is swept"
        raise wrong("resume", got="a sweep (-m)", allowed="one run at a time", do=do)
    if arguments.resume:
        _resume(arguments.overrides, arguments.resume)
    elif arguments.multirun:
        _sweep(arguments.overrides)
    else:
        _run(fit_to_targets(arguments.overrides))


def _run(overrides: list[str]) -> None:
    """Check one run, reserve its folder, carry it out."""
    from lrlab.config.prepare import prepare

    config = compose.compose(overrides)
    prepare(config)
    if config.sweep is not None:
        raise wrong(
            "sweep", got=f"{config.sweep}, for a single run", allowed="no sweep, unless -m is given", do="add -m"
        )
    folder = _reserve(config, overrides)
    _call_hydra([*overrides, f"hydra.run.dir={quoted(str(folder))}"], [], overrides)
    _print_hint(folder)


def _sweep(typed: list[str]) -> None:
    """Carry out a sweep, or let Hydra do so where the user chose another launcher or sweeper."""
    from lrlab.sweeps.request import carry_out, check, read_request, reserve, show_result

    request = read_request(typed)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not request.is_ours:
        raise wrong(
            "hydra/launcher",
            got=f"{request.launcher}, under torchrun",
            allowed="lrlab, which trains one run after another on all ranks",
            do="leave out hydra/launcher and hydra/sweeper, or torchrun",
        )
    if request.is_ours:
        carry_out(request)
        return
    if request.runs:
        check(request)
    request = reserve(request)
    settings = [
        f"hydra.sweep.dir={quoted(str(request.folder))}",
        f"hydra.job.config.override_dirname.exclude_keys=[{','.join(map(quoted, request.fixed))}]",
        *(["hydra.sweeper.params=null"] if request.runs else []),  # they are among the overrides
    ]
    try:
        _call_hydra([*request.overrides, *settings], ["--multirun"], typed)
    finally:
        show_result(request)


def _resume(overrides: list[str], target: str) -> None:
    """Continue a run with the config that its checkpoint holds, and what is typed now on top, in its own folder."""
    from lrlab.config import trust
    from lrlab.runs import checkpoint
    from lrlab.runs.display import log_to
    from lrlab.runs.run import run

    found, contents = checkpoint.latest(target, lambda reason: print(f"warning: {reason}", file=sys.stderr))
    path = found.resolve()
    if path.parent.name != "checkpoints":
        raise wrong("resume", got=path, allowed="a file in a run's checkpoints/", do="resume=outputs/runs/NAME")
    folder = _shortest(path.parent.parent)
    epochs = [f"trainer.epochs={extend}"] if (extend := value_of(overrides, "extend")) else []
    typed = [override for override in overrides if not key_of(override).startswith("hydra")]
    as_it_was = {**contents["config"], "resume": str(path), "extend": None}
    folders.require_plain(folder)
    config = compose.change(as_it_was, [*typed, *epochs])
    trust.require_known_targets(compose.plain(config), typed, path)
    log_to(folder)
    _guarded(lambda: run(config, folder, choices=contents["choices"], overrides=contents["overrides"]))
    _print_hint(folder)


def _call_hydra(overrides: Sequence[str], flags: Sequence[str], typed: Sequence[str]) -> None:
    """Hand over to Hydra, as if `overrides` and `flags` had been typed."""
    sys.argv = [sys.argv[0], *overrides, *flags]
    try:
        hydra.main(version_base=compose.VERSION_BASE, config_path=str(compose.CONF), config_name=compose.NAME)(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise compose.explain(error, typed) from error


def job(config: DictConfig) -> float | None:
    """What Hydra runs: one run, in the folder that Hydra made for it."""
    from lrlab.runs.run import run
    from lrlab.sweeps.job import run_in_sweep

    settings = HydraConfig.get()
    folder = _shortest(Path(settings.runtime.output_dir))
    choices = chosen(HydraConfig.instance().cfg, settings.overrides.task)  # type: ignore[arg-type]
    typed = [override for override in settings.overrides.task if not override.startswith("~")]
    carry_out = run_in_sweep if settings.mode == RunMode.MULTIRUN else run
    try:
        return _guarded(lambda: carry_out(config, folder, choices=choices, overrides=typed))
    except UserError as error:
        folders.discard_unused(folder)
        if settings.mode == RunMode.MULTIRUN:
            report(error)
            raise  # Hydra goes on with the sweep's other runs
        raise SystemExit(report(error)) from error


def _guarded(run: Callable[[], float | None]) -> float | None:
    """`run()`, with whatever ends it in the run's log."""
    try:
        return run()
    except UserError as error:
        log.error("error: %s", error)
        raise
    except Exception:
        log.exception("this is a bug in lrlab or in code that it was given")
        raise


def _reserve(config: DictConfig, overrides: Sequence[str]) -> Path:
    """The folder of a run: made now and ours alone, unless the user named it."""
    HydraConfig.instance().set_config(config)
    folder = Path(config.hydra.run.dir)
    if value_of(overrides, "hydra.run.dir") is None:
        return folders.reserve(folder)
    if (folder / "config.yaml").exists():
        raise wrong("folder", got=f"{folder}, which holds a run", allowed="a folder without one", do=f"resume={folder}")
    return folder


def _shortest(path: Path) -> Path:
    """`path` relative to the current folder where it lies in it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _print_hint(folder: Path, colour_by: str = "") -> None:
    from lrlab.runs.display import tensorboard_hint

    print(
        "\n".join(
            [
                "LR and loss side by side:",
                *(f"  {line}" for line in tensorboard_hint(_shortest(folder), colour_by=colour_by)),
            ]
        )
    )
