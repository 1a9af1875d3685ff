"""The design of a study: what will be judged, on how many seeds, by which test, and when it may stop.

It is written into `study.json` before the first judging run. From then on a claim is made under it, or it is no claim.
A change later makes the report exploratory, and is told.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, get_args

from lrlab.comparison import pairs, sequential
from lrlab.comparison.pairs import Test
from lrlab.errors import wrong
from lrlab.runs import summary
from lrlab.system import disk
from lrlab.training.metrics import METRICS
from lrlab.words import counted, printable

FILE = "study.json"
FORMAT = 1  # of the file
TUNING, JUDGING = "tuning", "judging"  # the folders of its two sweeps
FIRST_SEED = 1000  # of judging; tuning counts from 0
_MOST_SEEDS = 1000  # of a candidate, so that two candidates have none in common
_LARGEST, _MOST = 2**53, 1e150  # of counts, and of numbers whose squares are reckoned with


@dataclass(frozen=True)
class Following:
    """How candidates are tuned whose best base LRs follow from that of another one, the leader."""

    leader: str
    probes: int  # tuning runs of each that is led
    ratios: dict[str, float]  # how many times as large its best LR is as the leader's, by the bound


@dataclass(frozen=True)
class Protocol:
    """What is decided before anything is trained."""

    candidates: dict[str, list[str]]  # what each is called, and the overrides that make it
    metric: str  # one of lrlab's table; tuned by it on val, judged by it on test
    margin: float | None  # differences inside of it do not matter; None: nothing is called equivalent
    epochs: int | float  # the budget of every run
    split: dict[str, Any]  # images in each split, data.val and data.split_seed
    tuning: int  # runs a candidate
    grids: dict[str, list[float]]  # the base LRs that its tuning begins with
    maximum: int  # seeds a candidate, at the last look
    looks: list[int]  # seeds a candidate, at each
    test: str  # welch, paired, or auto: decided by the tuning runs
    led: Following | None = None  # None: every candidate is tuned by itself

    def tuning_of(self, name: str) -> int:
        """The tuning runs of a candidate."""
        return self.led.probes if self.led is not None and name in self.led.ratios else self.tuning

    @property
    def has_test(self) -> bool:
        """Whether there are images that decided nothing."""
        return "test" in self.split

    @property
    def tuned_by(self) -> str:
        return f"val_{self.metric}"

    @property
    def judged_by(self) -> str:
        return f"test_{self.metric}" if self.has_test else f"val_{self.metric}"

    @property
    def pairs(self) -> int:
        return pairs.count(len(self.candidates))


@dataclass(frozen=True)
class Design:
    """What is decided by the tuning runs, before the first judging run."""

    lrs: dict[str, float]  # the base LR of each candidate
    seeds: dict[str, list[int]]  # of its judging runs, in the order in which they are used
    test: Test
    why: str  # that test
    levels: list[float]  # of the interval of each pair, at each look
    row_levels: list[float]  # of the interval of each candidate's mean, at each look
    collapsed: dict[str, float]  # beyond this value of the metric a run of the candidate counts as collapsed


class SeededRun(NamedTuple):
    """A run of one of the two sweeps."""

    lr: float
    seed: int
    folder: str  # its name in the sweep's


SeededRuns = dict[str, list[SeededRun]]  # of each candidate


@dataclass(frozen=True)
class Record:
    """What study.json says."""

    command: str  # that goes on with it
    protocol: Protocol
    design: Design | None = None  # None while it is tuned
    looks: int = 0  # that were made
    changes: tuple[str, ...] = ()  # of the protocol after the first look
    tuning: SeededRuns = field(default_factory=dict)
    judging: SeededRuns = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write `study.json`."""
        said = {"study": FORMAT, **asdict(self), "sha256": self.fingerprint}
        disk.write_whole(folder / FILE, json.dumps(said, indent=2, allow_nan=False) + "\n")

    @property
    def fingerprint(self) -> str:
        """A text that is another one where the protocol or the design is."""
        return fingerprint(asdict(self.protocol), None if self.design is None else asdict(self.design))


def fingerprint(protocol: Mapping[str, Any], design: Mapping[str, Any] | None) -> str:
    known = {key: value for key, value in protocol.items() if key != "led" or value is not None}  # older ones lack it
    text = json.dumps([known, design], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_study(folder: Path) -> bool:
    """Whether `folder` is that of a study."""
    return (folder / FILE).is_file()


def read(folder: Path) -> Record:
    """What `study.json` in `folder` says. Raises UserError where it is damaged."""
    said = summary.read(folder, FILE)
    try:
        if said["study"] != FORMAT:
            raise ValueError("of another version")
        record = Record(
            command=_text(said["command"]),
            protocol=_protocol(said["protocol"]),
            design=None if said["design"] is None else _design(said["design"]),
            looks=_count(said["looks"]),
            changes=tuple(map(_text, said["changes"])),
            tuning=_runs(said["tuning"]),
            judging=_runs(said["judging"]),
        )
        _require_sense(record)
        return record
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise wrong(
            "study",
            got=f"{folder / FILE}, which is damaged ({error})",
            allowed="the file as a study wrote it",
            do="another name for a new study",
        ) from error


def _protocol(said: Mapping[str, Any]) -> Protocol:
    margin = said["margin"]
    return Protocol(
        candidates={_text(name): [*map(_text, overrides)] for name, overrides in said["candidates"].items()},
        metric=_text(said["metric"]),
        margin=None if margin is None else _number(margin),
        epochs=_epochs(said["epochs"]),
        split=_split(said["split"]),
        tuning=_count(said["tuning"]),
        grids={_text(name): [*map(_number, lrs)] for name, lrs in said["grids"].items()},
        maximum=_count(said["maximum"]),
        looks=[*map(_count, said["looks"])],
        test=_text(said["test"]),
        led=_led(said.get("led")),
    )


def _led(said: Mapping[str, Any] | None) -> Following | None:
    if said is None:
        return None
    ratios = {_text(name): _number(ratio) for name, ratio in said["ratios"].items()}
    return Following(_text(said["leader"]), _count(said["probes"]), ratios)


def _epochs(said: Any) -> int | float:
    """A number of epochs, whole or with the share of the last that is trained."""
    return _count(said) if isinstance(said, int) else _number(said)


def _split(said: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: _count(said[name]) for name in ("train", "val", "test") if name in said}
    if not found.keys() >= {"train", "val"} or 0 in found.values():
        raise ValueError("a split without images")
    return {**found, **{name: said.get(name) for name in ("data", "held_out", "split_seed")}}


def _design(said: Mapping[str, Any]) -> Design:
    return Design(
        lrs={_text(name): _number(lr) for name, lr in said["lrs"].items()},
        seeds={_text(name): [*map(_count, seeds)] for name, seeds in said["seeds"].items()},
        test=said["test"],
        why=_text(said["why"]),
        levels=[*map(_number, said["levels"])],
        row_levels=[*map(_number, said["row_levels"])],
        collapsed={_text(name): _number(value) for name, value in said["collapsed"].items()},
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r}, which is no text")
    return printable(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MOST:
        raise TypeError(f"{value!r}, which is no number")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LARGEST:
        raise TypeError(f"{value!r}, which is no count")
    return value


def _runs(said: Mapping[str, Any]) -> SeededRuns:
    """The runs of a sweep. Raises ValueError for a folder that lies elsewhere."""
    found = {}
    for name, runs in said.items():
        found[_text(name)] = [SeededRun(_number(lr), _count(seed), _text(folder)) for lr, seed, folder in runs]
    for run in chain.from_iterable(found.values()):
        if Path(run.folder).is_absolute() or ".." in Path(run.folder).parts or "\0" in run.folder:
            raise ValueError(f"a run in {run.folder!r}")
    return found


def _require_sense(record: Record) -> None:
    """Raise ValueError where a file says what no study could have written."""
    protocol, design = record.protocol, record.design
    if protocol.metric not in METRICS:
        raise ValueError(f"no metric {protocol.metric}")
    if not protocol.looks or sorted(set(protocol.looks)) != protocol.looks or 0 in protocol.looks:
        raise ValueError("looks that do not rise")
    if len(protocol.candidates) < 2:
        raise ValueError("fewer than two candidates")
    if protocol.margin is not None and not protocol.margin > 0:
        raise ValueError("a margin that is not above 0")
    if protocol.led is not None:
        led = {protocol.led.leader, *protocol.led.ratios}
        if not led <= set(protocol.candidates) or not all(ratio > 0 for ratio in protocol.led.ratios.values()):
            raise ValueError("LRs that follow from those of other candidates")
    if design is None:
        return
    names = set(protocol.candidates)
    if not set(design.lrs) == set(design.seeds) <= names or design.test not in get_args(Test):
        raise ValueError("a design of other candidates")
    if any(len(seeds) < protocol.looks[-1] for seeds in design.seeds.values()) or len(names) < 2:
        raise ValueError("fewer seeds than the last look takes")
    for levels in (design.levels, design.row_levels):
        if len(levels) != len(protocol.looks) or not all(0 < level < 1 for level in levels):
            raise ValueError("looks without their levels")


def seeds_of(candidates: Sequence[str], maximum: int, test: Test) -> dict[str, list[int]]:
    """The judging seeds of each candidate: the same for all where they are paired, and else none in common.

    >>> seeds_of(["a", "b"], 2, "welch"), seeds_of(["a", "b"], 2, "paired")
    ({'a': [1000, 1001], 'b': [2000, 2001]}, {'a': [1000, 1001], 'b': [1000, 1001]})
    """
    first = {
        name: FIRST_SEED + _MOST_SEEDS * (0 if test == "paired" else number) for number, name in enumerate(candidates)
    }
    return {name: list(range(start, start + maximum)) for name, start in first.items()}


def require_possible(maximum: int, count: int, test: str, candidates: int) -> None:
    """Raise UserError where so few seeds can show nothing, or where two candidates would share seeds."""
    compared = pairs.count(candidates)
    strictest: Test = "welch" if test == "welch" else "paired"
    fewest = sequential.fewest_that_can_claim(compared, count, strictest)
    if maximum < fewest:
        raise wrong(
            "study.seeds",
            got=f"{maximum}, which find no difference of three standard deviations among {counted(compared, 'pair')}",
            allowed=f"{fewest} to {_MOST_SEEDS:,}, which find it more often than not",
            do=f"study.seeds={fewest}",
        )
    if maximum > _MOST_SEEDS:
        raise wrong("study.seeds", got=maximum, allowed=f"{fewest} to {_MOST_SEEDS:,}", do="study.seeds=20")


def collapse_threshold(metric: str, tuned: float, classes: int | None) -> float | None:
    """The value of a metric beyond which a run counts as collapsed: half way from guessing to what tuning reached.

    None where it is not known what guessing gives, and where tuning itself got less than half way from there to
    perfection: nobody could tell a run that collapsed from one that learned little.

    >>> collapse_threshold("accuracy", 0.9, 10), round(collapse_threshold("loss", 0.3, 10), 3)
    (0.5, 1.301)
    >>> collapse_threshold("accuracy", 0.3, 10) is None
    True
    """
    guess = METRICS[metric].guessing
    if classes is None or guess is None:
        return None
    lowest, perfect = guess(classes), 0.0 if METRICS[metric].lower_is_better else 1.0
    if abs(tuned - lowest) < abs(perfect - lowest) / 2:
        return None
    return lowest + (tuned - lowest) / 2
