"""What a schedule does to a run, update by update, so that two runs can be compared bit for bit.

Runs that are alike in everything else are the same run as long as every update uses the same LR of every group,
momentum and weight decay. Hippo builds trees of such runs (Shin et al., PVLDB 2022, arXiv:2006.11972).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy

from lrlab.lr.plan import Plan


@dataclass(frozen=True)
class Controls:
    """The planned values of every update, as far as all of them are known: not where a metric decides."""

    names: tuple[str, ...]  # lr, lr/GROUP, momentum, weight_decay
    values: numpy.ndarray  # (updates, names) float64

    @classmethod
    def of(cls, plan: Plan) -> "Controls":
        names = tuple(sorted(plan.curves))
        if "lr" not in plan.curves or plan.horizon.in_shares:  # where in the plan an update is shows in training
            return cls(names, numpy.empty((0, len(names))))
        updates = min(plan.horizon.steps, *(plan.known_updates(name) for name in names))
        counts = plan.count(updates - 1) + 1 if updates else 0
        by_count = numpy.array([plan.curves[name][:counts] for name in names], dtype=numpy.float64).T
        return cls(names, numpy.repeat(by_count, plan.updates_per_count, axis=0)[:updates])

    def __len__(self) -> int:
        """The updates that are known."""
        return len(self.values)

    def shared_with(self, other: "Controls") -> int:
        """For how many updates, from the first on, both are equal bit for bit."""
        if self.names != other.names:
            return 0
        length = min(len(self), len(other))
        differing = (self._bits[:length] != other._bits[:length]).any(axis=1)
        return int(differing.argmax()) if differing.any() else length

    @cached_property
    def _bits(self) -> numpy.ndarray:
        """The values as whole numbers: 0.0 is not -0.0, and NaN is itself."""
        return numpy.ascontiguousarray(self.values).view(numpy.int64)

    @property
    def order(self) -> bytes:
        """Sorted by this, those that share most are neighbours."""
        return self._bits.tobytes()

    def digests(self, counts: Iterable[int], salt: str) -> dict[int, str]:
        """By each of `counts` that is reached: a hash of `salt` and of all that is used in so many updates."""
        hashed, digest, done = {}, hashlib.sha256(f"{salt}\n{self.names}\n".encode()), 0
        for count in sorted({*counts}):
            if count > len(self):
                break
            digest.update(self._bits[done:count].tobytes())
            hashed[count], done = digest.hexdigest()[:32], count
        return hashed
