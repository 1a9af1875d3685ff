"""The command line: checks every run that was asked for, reserves its folder, then lets Hydra carry it out.

Nothing is written before every run is known to be sound, and every mistake is one line and exit code 1.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lrlab import compose, folders
from lrlab.errors import Interrupted, UserError, wrong

log = logging.getLogger(__name__)


def main() -> None:
    """Run `train.py`'s command line; exits with 0, 1 for an error, 130 or 143 for a signal."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them and leaving
    sys.path.append(os.getcwd())  # a user's own classes may lie in the current folder
    try:
        _main(sys.argv[1:])
    except UserError as error:
        _report(error)
        sys.exit(1)
    except Interrupted as stop:
        sys.exit(128 + stop.signal_number)
    except KeyboardInterrupt:
        sys.exit(130)


def _main(arguments: list[str]) -> None:
    parsed = get_args_parser().parse_intermixed_args([_quote_path(argument) for argument in arguments])
    overrides, flags = _take_config_dir(parsed), _flags(parsed)
    if flags and not parsed.multirun:  # --help, --cfg and the like: nothing runs
        _call_hydra(overrides, flags, overrides)
        return
    import lrlab.experiment  # torch, which --help does without

    overrides = _make_room_for_targets(overrides)
    if parsed.multirun:
        _sweep(overrides, flags)
    elif resume := _value(overrides, "resume"):
        _resume(overrides, resume)
    else:
        config = compose.compose(overrides)
        lrlab.experiment.prepare(config)
        folder = _reserve(config, overrides, "hydra.run.dir")
        _call_hydra([*overrides, f"hydra.run.dir={_quoted(str(folder))}"], [], overrides)
        _print_hint(folder)


def _make_room_for_targets(overrides: list[str]) -> list[str]:
    """`overrides`, and where one of them is `GROUP._target_=...`, deletions of what only the former target takes.

    So `scheduler._target_=my_pkg.MyLR` needs no YAML. What was typed stays, to be refused where it does not fit.
    """
    from lrlab import build

    typed = {_key(override) for override in overrides}
    deletions = []
    for group in ("data", "model", "optimizer", "scheduler"):
        if f"{group}._target_" in typed and "," not in str(_value(overrides, f"{group}._target_")):
            node = compose.resolve(compose.compose([o for o in overrides if not compose.is_sweep(o)]))[group]
            left_over = [f"{group}.{name}" for name in build.foreign_settings(group, node)]
            deletions += [f"~{key}" for key in left_over if key not in typed]
    return [*overrides, *deletions]


def _sweep(overrides: list[str], flags: list[str]) -> None:
    """Check every run of a sweep, then start it; afterwards say where to look."""
    import lrlab.experiment

    if _value(overrides, "resume"):
        raise wrong("resume", got="a sweep (-m)", allowed="one run at a time", do="leave out -m and what is swept")
    runs = compose.expand(overrides)
    fixed = _fixed_keys(runs)
    names = [folders.run_name(run, leave_out=fixed) for run in runs]
    for run, name in zip(runs, names, strict=True):
        if names.count(name) > 1:
            raise wrong("command line", got=f"two runs named {name}", allowed="each run once", do="remove the double")
        lrlab.experiment.prepare(compose.compose(run))
    folder = _reserve(compose.compose(runs[0]), overrides, "hydra.sweep.dir")
    excluded = ",".join(map(_quoted, fixed))
    settings = [
        f"hydra.sweep.dir={_quoted(str(folder))}",
        f"hydra.job.config.override_dirname.exclude_keys=[{excluded}]",
    ]
    try:
        _call_hydra([*overrides, *settings], flags, overrides)
    except UserError as error:
        raise UserError(
            f"{folder}: not every run finished; each folder's summary.json says how its run ended"
        ) from error
    finally:
        varying = [key for override in runs[0] if (key := _key(override)) not in fixed]
        _print_hint(
            folder, colour_by="scheduler" if "scheduler" in varying else (varying or [""])[0].rpartition(".")[2]
        )


def _resume(overrides: list[str], target: str) -> None:
    """Continue a run with what was typed then, what is typed now on top, in its own folder."""
    from lrlab import checkpoint

    path = checkpoint.find(target)
    if path.parent.name != "checkpoints":
        raise wrong("resume", got=f"{path}", allowed="a file in a run's checkpoints/", do="resume=outputs/runs/NAME")
    folder = path.parent.parent
    extend = _value(overrides, "extend")
    if extend is not None:
        overrides = [*overrides, f"trainer.epochs={extend}"]
    typed_now = {_key(override) for override in overrides}
    typed_then = [old for old in checkpoint.load(path)["overrides"] if _key(old) not in typed_now]
    overrides = [*typed_then, *(new for new in overrides if _key(new) != "resume"), f"resume={_quoted(str(path))}"]
    compose.compose(overrides)
    _call_hydra([*overrides, f"hydra.run.dir={_quoted(str(folder))}"], [], overrides)
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
    searchpath = [override for override in settings.overrides.hydra if override.startswith("hydra.searchpath")]
    typed = [override for override in settings.overrides.task if _key(override) not in ("resume", "extend")]
    groups = ("data", "model", "optimizer", "scheduler")
    choices = {group: str(settings.runtime.choices.get(group)) for group in groups}
    try:
        return experiment.run(config, folder, choices=choices, overrides=[*typed, *searchpath])
    except UserError as error:
        log.error("error: %s", error)
        folders.discard_unused(folder)
        if settings.mode == RunMode.MULTIRUN:
            _report(error)
            raise  # Hydra goes on with the sweep's other runs
        raise SystemExit(_report(error)) from error
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


def _take_config_dir(parsed: argparse.Namespace) -> list[str]:
    """The overrides, with `--config-dir` as one of them, so that resuming a run finds the same folder."""
    if parsed.config_path:
        raise wrong(
            "--config-path", got=parsed.config_path, allowed="--config-dir", do=f"--config-dir {parsed.config_path}"
        )
    if not parsed.config_dir:
        return parsed.overrides
    folder = Path(parsed.config_dir).absolute()
    if not folder.is_dir():
        raise wrong(
            "--config-dir",
            got=f"{folder}, which is no folder",
            allowed="a folder with GROUP/OPTION.yaml files in it",
            do="make it, or correct its path",
        )
    return [*parsed.overrides, f"hydra.searchpath=[{_quoted(f'file://{folder}')}]"]


def _flags(parsed: argparse.Namespace) -> list[str]:
    """The options of Hydra's command line that are passed on to it."""
    flags = [
        flag
        for flag, given in (
            ("--help", parsed.help),
            ("--hydra-help", parsed.hydra_help),
            ("--shell-completion", parsed.shell_completion),
            ("--resolve", parsed.resolve),
            ("--multirun", parsed.multirun),
        )
        if given
    ]
    for name in ("cfg", "package", "info"):
        if value := getattr(parsed, name):
            flags += [f"--{name}", value]
    return flags


def _reserve(config: DictConfig, overrides: Sequence[str], key: str) -> Path:
    """The folder that the config's `key` names: made now and ours alone, unless the user named it."""
    HydraConfig.instance().set_config(config)
    folder = Path(config.hydra.run.dir if key == "hydra.run.dir" else config.hydra.sweep.dir)
    if _value(overrides, key) is None:
        return folders.reserve(folder)
    if key == "hydra.run.dir" and (folder / "config.yaml").exists():
        raise wrong(key, got=f"{folder}, which holds a run", allowed="a folder without one", do=f"resume={folder}")
    return folder


def _fixed_keys(runs: Sequence[Sequence[str]]) -> list[str]:
    """The keys that have the same value in all runs; none where nothing varies, so that the name says something."""
    values: dict[str, set[str]] = {}
    for run in runs:
        for override in run:
            values.setdefault(_key(override), set()).add(override)
    fixed = [key for key, several in values.items() if len(several) == 1]
    return fixed if len(fixed) < len(values) else []


def _quote_path(argument: str) -> str:
    """A path in quotes: as the shell completes it, it may hold characters of Hydra's grammar, such as = and ~.

    A comma is part of a run's name, but separates what is swept elsewhere.

    >>> print(_quote_path("resume=outputs/scheduler=step,seed=1"), _quote_path("data.root=a,b"))
    resume='outputs/scheduler=step,seed=1' data.root=a,b
    """
    key, _, value = argument.partition("=")
    if key not in ("resume", "data.root") or value[:1] in ("'", '"', "") or value == "null":
        return argument
    return argument if key == "data.root" and "," in value else f"{key}={_quoted(value)}"


def _quoted(text: str) -> str:
    r"""`text` as a quoted string of Hydra's grammar.

    >>> print(_quoted("it's"))
    'it\'s'
    """
    escaped = text.replace("'", r"\'")
    return f"'{escaped}'"


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _value(overrides: Sequence[str], key: str) -> str | None:
    """The value that was typed for `key`, without quotes; None where it was not, or was null."""
    for override in reversed(overrides):
        if _key(override) == key:
            value = override.partition("=")[2]
            if value[:1] == value[-1:] and value[:1] in ("'", '"'):
                value = value[1:-1].replace(r"\'", "'")
            return None if value in ("", "null") else value
    return None


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
