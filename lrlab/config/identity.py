"""What makes a run the run that it is: asked here by resume, sweeps, comparisons and the HPARAMS tab."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lrlab.config import other_data
from lrlab.config.secrets import mask, may_be_in
from lrlab.errors import UserError, wrong

GROUPS = ("data", "model", "optimizer", "scheduler")  # what a run chose in each of them names the run
# Where a run reads and computes, not what.
MACHINE = (
    "data.root",
    "data.download",
    "data.workers",
    "data.prefetch",
    "data.timeout",
    "data.cache",
    "data.cache_bytes",
    "data.cache_dir",
    "trainer.device",
    "trainer.timeout",
    "trainer.stacked",
    "tracking",
)
_INSIDE_OF_NONE = "tracking."  # whose settings are none either: who else is told of a run
NO_SETTING = (
    "resume",
    "extend",
    "replay",
    "sweep",
    "checkpoint.every",
    "trainer.forecast",
    *MACHINE,
)  # they do not make a run another run
_NOT_COMPARED = ("seed", "trainer.monitor", "trainer.deterministic")  # runs that differ in nothing else are averaged


LENGTHS = ("trainer.epochs", "trainer.steps", "trainer.budget")  # of the run, of which it has one
TUNED = ("optimizer.lr", "seed")  # what the runs of one candidate differ in
SHARED = ("data.", "model.", "task._target_")  # how settings begin that all runs of a contest have alike


@dataclass(frozen=True)
class Identity:
    """What makes a run that run: its settings, flat, and what its data holds as far as that is known."""

    settings: Mapping[str, Any]
    contents: Mapping[str, Any] | None = None

    @property
    def knows_its_data(self) -> bool:
        """Whether it is known what both splits hold."""
        return {"train", "val"} <= (self.contents or {}).keys()

    def without_place(self) -> dict[str, Any]:
        """The settings without the folder of the data."""
        return {key: value for key, value in self.settings.items() if key != "data.root"}

    def telling(self) -> dict[str, Any]:
        """The settings that tell it from other runs: where its data lies does not if it is known what they hold."""
        return self.without_place() if self.knows_its_data else dict(self.settings)


@dataclass(frozen=True)
class Mismatch:
    """The first thing in which a run is another one `now` than `before`."""

    key: str
    before: str
    now: str
    in_data: bool = False  # the settings may be the same

    def refusal(self, there: str, *, allowed: str, do: str) -> UserError:
        """The error of a caller who needs the same run; `there` says where the one before is: `the run has`."""
        return wrong(self.key, got=f"{self.now}, but {there} {self.before}", allowed=allowed, do=do)


def of(config: Mapping[str, Any], contents: Mapping[str, Any] | None = None) -> Identity:
    """The identity of the run that a resolved config describes, on data with these contents."""
    return Identity(identity(config), contents)


def difference(before: Identity, now: Identity, *, may_change: Iterable[str] = ()) -> Mismatch | None:
    """The first thing in which two runs differ, classes first, then data, then settings; None where they are one run.

    Where both know what their data holds, that decides, and `data.root` does not: a folder may be moved.
    """
    # The settings that differ.
    one, other = before.settings, now.settings
    free = set(may_change)
    if before.knows_its_data and now.knows_its_data:
        free.add("data.root")
    keys = sorted((one.keys() | other.keys()) - free)
    differing = [key for key in keys if comparable(one.get(key)) != comparable(other.get(key))]

    # Which of them, or the data, is named.
    first = next((key for key in differing if key.endswith("_target_")), None)
    if first is None and (said := other_data.difference(before.contents, now.contents)):
        key = "data.root" if "data.root" in other else "data"
        return Mismatch(key, f"other data ({said})", str(other.get(key, "this data")), in_data=True)
    if not differing:
        return None
    key = first or differing[0]
    return Mismatch(key, str(one.get(key, _NOTHING)), str(other.get(key, _NOTHING)))


_NOTHING = "nothing"  # is said of a setting that is not there


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that make a run the run it is, flat: without those that say where it reads and computes.

    `data.root` is left out only where the data set has a name: a folder of images is told by nothing but its path.
    """
    flat = flatten(mask(config) if may_be_in(config) else config)
    named = flat.get("data._target_") == "lrlab.data.datasets.torchvision_images"
    kept = set() if named else {"data.root"}
    counted = {key: value for key, value in flat.items() if not key.startswith(_INSIDE_OF_NONE)}
    return {key: value for key, value in sorted(counted.items()) if key not in NO_SETTING or key in kept}


def of_the_machine(config: Mapping[str, Any]) -> list[str]:
    """The settings of a run that only say where it reads and computes."""
    own = identity(config)
    return [key for key in MACHINE if key not in own]


def watched(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the HPARAMS tab compares: what makes a run that run, but for what is only drawn or watched."""
    return {key: value for key, value in identity(config).items() if key not in _NOT_COMPARED}


def fingerprint(settings: Mapping[str, Any]) -> str:
    """The same text for the same settings: 1 is 1.0, NaN is itself, and what is null need not be there."""
    return repr(sorted((key, comparable(value)) for key, value in settings.items() if value is not None))


def comparable(value: Any) -> str:
    """A text that is the same for values that mean the same: for 1 and 1.0, and for NaN and itself."""
    return repr(_plain(value))


def _plain(value: Any) -> Any:
    """A value with every whole number in it as an int, which is exact however large it is, and with sorted keys."""
    if isinstance(value, Mapping):
        return [[str(key), _plain(value[key])] for key in sorted(value, key=str)]
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


_PLAIN_TYPES = {str, int, float, bool, type(None), list}  # of most settings; to ask whether one is a Mapping is slow


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if type(value) not in _PLAIN_TYPES and isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
