"""Which columns of another program's table say what: as the user says, or by their names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrlab.comparison import cells
from lrlab.errors import UserError, closest, wrong

# What the columns are called, in the order in which they are looked for, without a prefix such as `params.`.
_NAMES = {
    "schedule": (
        "schedule",
        "scheduler",
        "lr_schedule",
        "lr_scheduler",
        "lr_scheduler_type",
        "scheduler_name",
        "sched",
    ),
    "lr": ("lr", "learning_rate", "base_lr", "optimizer.lr", "max_lr", "peak_lr", "learningrate"),
    "seed": ("seed", "random_seed", "data_seed", "seeds"),
    "step": ("step", "_step", "epoch", "global_step", "iteration"),
    "status": ("status", "state"),
    "run": ("run", "run_id", "id", "name"),
}
_PREFIXES = re.compile(r"^(?:params|metrics|config|summary|tags|hparam|hparams)[./]")
_LOWER = {"loss", "error", "err", "perplexity", "ppl", "rmse", "mae", "mse", "mape", "smape", "nll", "bpb", "bpc"}
_LOWER |= {"wer", "cer", "fid", "brier", "ece", "time", "seconds"}
_HIGHER = {"acc", "accuracy", "f1", "auc", "auroc", "score", "bleu", "rouge", "iou", "map", "r2", "precision", "recall"}
_HIGHER |= {"reward", "psnr", "ssim", "dice", "top"}


@dataclass(frozen=True)
class Columns:
    """Which columns, or tags and hyperparameters, say what; None where their names are to tell."""

    schedule: str | None = None
    lr: str | None = None
    seed: str | None = None
    metric: str | None = None
    step: str | None = None
    better: str | None = None  # "higher" or "lower"


def chosen_of(
    columns: Columns, names: Sequence[str], rows: Sequence[Mapping[str, Any]], key: str
) -> dict[str, str | None]:
    """Which column says what. Raises UserError where one that is needed is not there, or two could be it."""
    chosen: dict[str, str | None] = {}
    for what in ("schedule", "lr", "seed", "step", "status", "run"):
        asked = getattr(columns, what, None)
        if asked is not None:
            _require_column(asked, names, f"{key}{what}")
            chosen[what] = asked
        else:
            chosen[what] = _named_like(_NAMES[what], names)
    if chosen["schedule"] is None:
        raise _no_column("schedule", names, f"{key}schedule")
    chosen["metric"] = columns.metric
    if columns.metric is None:
        taken = {one for one in chosen.values() if one is not None}
        chosen["metric"] = _only_metric([name for name in names if name not in taken], rows, f"{key}metric")
    taken = {one for what, one in chosen.items() if what != "metric" and one is not None}
    usable = [name for name in _numbers(names, rows) if name not in taken]
    if chosen["metric"] not in names and usable:
        _require_column(str(chosen["metric"]), usable, f"{key}metric")
    _require_column(str(chosen["metric"]), names, f"{key}metric")
    return chosen


def bare(name: str) -> str:
    return _PREFIXES.sub("", name.strip()).lower().replace("-", "_").replace(" ", "_")


def _named_like(known: Sequence[str], names: Sequence[str]) -> str | None:
    for one in known:
        for name in names:
            if bare(name) == one:
                return name
    return None


def _only_metric(names: Sequence[str], rows: Sequence[Mapping[str, Any]], key: str) -> str:
    """The one column that can be what runs are judged by."""
    numbers = _numbers(names, rows)
    judged = [name for name in numbers if way_of(name) is not None and not bare(name).startswith("train")]
    preferred = [name for name in judged if bare(name).startswith(("val", "eval", "test"))] or judged
    if len(preferred) == 1:
        return preferred[0]
    got = (
        f"{', '.join(preferred[:6])}, any of which it could be" if preferred else "no column that is known as a metric"
    )
    do = f"{key}={(preferred or numbers or ['COLUMN'])[0]}"
    raise wrong(key, got=got, allowed=", ".join(numbers[:20]) or "a column of numbers", do=do)


def _numbers(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns of numbers, those first that are called like a metric."""
    found = [name for name in names if any(cells.number(row.get(name)) is not None for row in rows)]
    return sorted(found, key=lambda name: way_of(name) is None)


def _require_column(name: str, names: Sequence[str], key: str) -> None:
    if name not in names:
        guess = closest(name, names)
        hint = f" (did you mean {guess}?)" if guess else ""
        raise wrong(key, got=f"{name}{hint}", allowed=", ".join(names[:30]), do=f"{key}={guess or names[0]}")


def _no_column(what: str, names: Sequence[str], key: str) -> UserError:
    got = f"columns of which none is called like a {what}"
    return wrong(key, got=got, allowed=", ".join(names[:30]), do=f"{key}=COLUMN")


def way_of(column: str) -> str | None:
    """Which way is better, as far as the words in the name of a metric tell."""
    words = {re.sub(r"\d+$", "", word) or word for word in re.split(r"[^a-z0-9]+", bare(column))}
    words |= set(re.split(r"[^a-z0-9]+", bare(column)))
    if words & _LOWER:
        return "lower"
    return "higher" if words & _HIGHER else None
