"""The command line: checks every run that was asked for, reserves its folder, then lets Hydra carry it out.

Nothing is written before every run is known to be sound, and every mistake is one line and exit code 1.
"""

import io
import json
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

from lrlab import compose, folders
from lrlab.arguments import key_of, quoted, read, value_of
from lrlab.errors import Interrupted, UserError, wrong
from lrlab.fitting import GROUPS, fit_to_targets

log = logging.getLogger(__name__)


def main() -> None:
    """Run `train.py`'s command line; exits with 0, 1 for an error, 130 or 143 for a signal."""
    enter(_main)


def enter(command: Callable[[list[str]], None]) -> None:
    """Run `command` with what was typed; whatever the user did wrong is one line and exit code 1."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them and leaving
    sys.path.append(os.getcwd())  # a user's own classes may lie in the current folder
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character still shows the rest
    try:
        command(sys.argv[1:])
    except UserError as error:
        _report(error)
        sys.exit(1)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        got = f"{error.filename or 'a file'}, which cannot be used ({error.strerror})"
        _report(wrong("file", got=got, allowed="a disk with room, and a place to write to", do="choose another folder"))
        sys.exit(1)
    except Interrupted as stop:
        sys.exit(128 + stop.signal_number)
    except KeyboardInterrupt:
        sys.exit(130)


def _main(typed: list[str]) -> None:
    arguments = read(typed)
    if arguments.flags:
        _call_hydra(arguments.overrides, arguments.flags, arguments.overrides)
        return
    overrides = fit_to_targets(arguments.overrides)
    if arguments.resume and arguments.multirun:
        raise wrong("resume", got="a sweep (-m)", allowed="one run at a time", do="leave out -m and what is swept")
    if arguments.resume:
        _resume(overrides, arguments.resume)
    elif arguments.multirun:
        _sweep(overrides)
    else:
        _run(overrides)


def _run(overrides: list[str]) -> None:
    """Check one run, reserve its folder, carry it out."""
    from lrlab.prepare import prepare

    config = compose.compose(overrides)
    prepare(config)
    folder = _reserve(config, overrides, "run")
    _call_hydra([*overrides, f"hydra.run.dir={quoted(str(folder))}"], [], overrides)
    _print_hint(folder)


def _sweep(overrides: list[str]) -> None:
    """Check every run of a sweep, reserve its folder, carry all of them out; afterwards say where to look."""
    # Only Hydra's basic sweeper can say in advance what it will run.
    runs = compose.expand(overrides) if value_of(overrides, "hydra/sweeper") is None else [overrides]
    fixed = folders.fixed_keys(runs)
    base = compose.compose(compose.without_sweeps(overrides))
    if value_of(overrides, "hydra/sweeper") is None:
        _check_sweep(runs, fixed, _folder(base, "sweep"))
    folder = _reserve(base, overrides, "sweep")
    excluded = ",".join(map(quoted, fixed))
    settings = [
        f"hydra.sweep.dir={quoted(str(folder))}",
        f"hydra.job.config.override_dirname.exclude_keys=[{excluded}]",
    ]
    varying = [key for override in runs[0] if (key := key_of(override)) not in fixed]
    colour_by = "scheduler" if "scheduler" in varying else (varying or [""])[0].rpartition(".")[2]
    names = [folders.run_name(run, leave_out=fixed) for run in runs]
    try:
        _call_hydra([*overrides, *settings], ["--multirun"], overrides)
    except UserError as error:
        raise UserError(f"{folder}: {_not_finished(folder, names)}; each folder's summary.json says more") from error
    except Interrupted:
        print(f"of this sweep, {_not_finished(folder, names)}")
        raise
    finally:
        _print_hint(folder, colour_by)


def _not_finished(folder: Path, names: Sequence[str]) -> str:
    """Which of a sweep's runs did not finish, and how they ended."""
    ended = []
    for name in names:
        file = folder / name / "summary.json"
        status = json.loads(file.read_text())["status"] if file.exists() else "not run"
        if status != "finished":
            ended.append(f"{name} {status}")
    return ", ".join(ended)


def _check_sweep(runs: Sequence[Sequence[str]], fixed: Sequence[str], folder: Path) -> None:
    """Raise UserError for the first mistake in any run, and where two would share a folder."""
    from lrlab.prepare import prepare

    names = [folders.run_name(run, leave_out=fixed) for run in runs]
    for run, name in zip(runs, names, strict=True):
        if names.count(name) > 1:
            raise wrong("command line", got=f"two runs named {name}", allowed="each run once", do="remove the double")
        _refuse_used(folder / name)
        prepare(compose.compose(run))


def _resume(overrides: list[str], target: str) -> None:
    """Continue a run with the config that its checkpoint holds, and what is typed now on top, in its own folder."""
    from lrlab import checkpoint, experiment

    path = checkpoint.find(target).resolve()
    if path.parent.name != "checkpoints":
        raise wrong("resume", got=path, allowed="a file in a run's checkpoints/", do="resume=outputs/runs/NAME")
    folder, contents = _shortest(path.parent.parent), checkpoint.load(path)
    epochs = [f"trainer.epochs={extend}"] if (extend := value_of(overrides, "extend")) else []
    typed = [override for override in overrides if not key_of(override).startswith("hydra")]
    as_it_was = {**contents["config"], "resume": str(path), "extend": None}
    config = compose.change(as_it_was, [*typed, *epochs])
    handler = logging.FileHandler(folder / "train.log", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    _guarded(lambda: experiment.run(config, folder, choices=contents["choices"], overrides=contents["overrides"]))
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
    from lrlab import experiment

    settings = HydraConfig.get()
    folder = _shortest(Path(settings.runtime.output_dir))
    choices = {group: str(settings.runtime.choices.get(group)) for group in GROUPS}
    for group in GROUPS:
        if target := value_of(settings.overrides.task, f"{group}._target_"):
            choices[group] = target
    typed = [override for override in settings.overrides.task if not override.startswith("~")]
    try:
        return _guarded(lambda: experiment.run(config, folder, choices=choices, overrides=typed))
    except UserError as error:
        folders.discard_unused(folder)
        if settings.mode == RunMode.MULTIRUN:
            _report(error)
            raise  # Hydra goes on with the sweep's other runs
        raise SystemExit(_report(error)) from error


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


def _report(error: UserError) -> int:
    """Print the one line of a mistake; the exit code."""
    if os.environ.get("LRLAB_DEBUG"):
        logging.getLogger().handlers = [logging.StreamHandler()]
        log.error("", exc_info=error)
    print(f"lrlab: error: {error}", file=sys.stderr)
    return 1


def _folder(config: DictConfig, kind: str) -> Path:
    """Where the config puts a `run` or a `sweep`."""
    HydraConfig.instance().set_config(config)
    return Path(config.hydra[kind].dir)


def _reserve(config: DictConfig, overrides: Sequence[str], kind: str) -> Path:
    """The folder of a `run` or a `sweep`: made now and ours alone, unless the user named it."""
    folder = _folder(config, kind)
    if value_of(overrides, f"hydra.{kind}.dir") is None:
        return folders.reserve(folder)
    _refuse_used(folder)
    return folder


def _refuse_used(folder: Path) -> None:
    if (folder / "config.yaml").exists():
        raise wrong("folder", got=f"{folder}, which holds a run", allowed="a folder without one", do=f"resume={folder}")


def _shortest(path: Path) -> Path:
    """`path` relative to the current folder where it lies in it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _print_hint(folder: Path, colour_by: str = "") -> None:
    from lrlab.display import tensorboard_hint

    print(
        "\n".join(
            [
                "LR and loss side by side:",
                *(f"  {line}" for line in tensorboard_hint(_shortest(folder), colour_by=colour_by)),
            ]
        )
    )
