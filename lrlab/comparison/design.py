"""The design of a study: what will be judged, on how many seeds, by which test, and when it may stop.

It is written into `study.json` before the first judging run. From then on a claim is made under it, or it is no claim.
A change later makes the report exploratory, and is told.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, get_args

from lrlab.comparison import pairs, sequential
from lrlab.comparison.pairs import Test
from lrlab.errors import wrong
from lrlab.runs import summary
from lrlab.system import disk
from lrlab.training.metrics import METRICS

FILE = "study.json"
FORMAT = 1  # of the file
TUNING, JUDGING = "tuning", "judging"  # the folders of its two sweeps
FIRST_SEED = 1000  # of judging; tuning counts from 0
_MOST_SEEDS = 1000  # of a candidate, so that two candidates have none in common


@dataclass(frozen=True)
class Protocol:
    """What is decided before anything is trained."""

    candidates: dict[str, list[str]]  # what each is called, and the overrides that make it
    metric: str  # one of lrlab's table; tuned by it on val, judged by it on test
    margin: float | None  # differences inside of it do not matter; None: nothing is called equivalent
    epochs: int  # the budget of every run
    split: dict[str, Any]  # images in each split, data.val and data.split_seed
    tuning: int  # runs a candidate
    grids: dict[str, list[float]]  # the base LRs that its tuning begins with
    maximum: int  # seeds a candidate, at the last look
    looks: list[int]  # seeds a candidate, at each
    test: str  # welch, paired, or auto: decided by the tuning runs

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


Runs = dict[str, list[SeededRun]]  # of each candidate


@dataclass(frozen=True)
class Record:
    """What study.json says."""

    command: str  # that goes on with it
    protocol: Protocol
    design: Design | None = None  # None while it is tuned
    looks: int = 0  # that were made
    changes: tuple[str, ...] = ()  # of the protocol after the first look
    tuning: Runs = field(default_factory=dict)
    judging: Runs = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write `study.json`."""
        said = {"study": FORMAT, **asdict(self), "sha256": self.fingerprint}
        disk.write_whole(folder / FILE, json.dumps(said, indent=2, allow_nan=False) + "\n")

    @property
    def fingerprint(self) -> str:
        """A text that is another one where the protocol or the design is."""
        return fingerprint(asdict(self.protocol), None if self.design is None else asdict(self.design))


def fingerprint(protocol: Mapping[str, Any], design: Mapping[str, Any] | None) -> str:
    text = json.dumps([protocol, design], sort_keys=True)
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
        protocol = Protocol(**_of(Protocol, said["protocol"]))
        design = None if said["design"] is None else Design(**_of(Design, said["design"]))
        record = Record(
            command=str(said["command"]),
            protocol=protocol,
            design=design,
            looks=int(said["looks"]),
            changes=tuple(map(str, said["changes"])),
            tuning=_runs(said["tuning"]),
            judging=_runs(said["judging"]),
        )
        _require_sense(record)
        return record
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise wrong(
            "study",
            got=f"{folder / FILE}, which is damaged ({error})",
            allowed="the file as a study wrote it",
            do="another name for a new study",
        ) from error


def _of(kind: type, said: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: said[field.name] for field in fields(kind)}


def _runs(said: Mapping[str, Any]) -> Runs:
    """The runs of a sweep. Raises ValueError for a folder that lies elsewhere."""
    found = {}
    for name, runs in said.items():
        found[str(name)] = [SeededRun(float(lr), int(seed), str(folder)) for lr, seed, folder in runs]
    for run in chain.from_iterable(found.values()):
        if Path(run.folder).is_absolute() or ".." in Path(run.folder).parts or "\0" in run.folder:
            raise ValueError(f"a run in {run.folder!r}")
    return found


def _require_sense(record: Record) -> None:
    """Raise ValueError where a file says what no study could have written."""
    protocol, design = record.protocol, record.design
    if protocol.metric not in METRICS:
        raise ValueError(f"no metric {protocol.metric}")
    if not all(isinstance(seeds, int) and seeds > 0 for seeds in protocol.looks) or not protocol.looks:
        raise ValueError("looks that are no numbers of seeds")
    if protocol.margin is not None and not protocol.margin > 0:
        raise ValueError("a margin that is not above 0")
    if design is None:
        return
    names = set(protocol.candidates)
    if not set(design.lrs) == set(design.seeds) <= names or design.test not in get_args(Test):
        raise ValueError("a design of other candidates")
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


def require_possible(maximum: int, candidates: int) -> None:
    """Raise UserError where so few seeds can show nothing, or where two candidates would share seeds."""
    compared = pairs.count(candidates)
    fewest = sequential.fewest_that_can_claim(compared)
    if not fewest <= maximum <= _MOST_SEEDS:
        counted = f"{compared} pair{'s' if compared != 1 else ''} of candidates"
        raise wrong(
            "study.seeds",
            got=f"{maximum}, with which no claim is possible for {counted}" if maximum < fewest else maximum,
            allowed=f"{fewest} to {_MOST_SEEDS:,}, so that a difference of three standard deviations is found",
            do=f"study.seeds={fewest if maximum < fewest else 20}",
        )


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
