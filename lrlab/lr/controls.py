"""What a schedule does to a run, update by update, so that two runs can be compared bit for bit.

Runs that are alike in everything else are the same run as long as every update uses the same LR of every group,
momentum and weight decay. Hippo builds trees of such runs (Shin et al., PVLDB 2022, arXiv:2006.11972).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy

from lrlab.lr.plan import Plan

_LONGEST = 2**62  # more updates than any run has


@dataclass(frozen=True)
class Controls:
    """The planned values of every update, as far as all of them are known: not where a metric decides.

    Equal neighbours are kept once: row i of `values` holds from update `starts[i]` on. Values are float64, as the bits
    of whole numbers, for which 0.0 is not -0.0.
    """

    names: tuple[str, ...]  # lr, lr/GROUP, momentum, weight_decay
    starts: numpy.ndarray  # (rows,) int64, from 0 on
    values: numpy.ndarray  # (rows, names) int64
    updates: int  # that are known

    @classmethod
    def of(cls, plan: Plan) -> "Controls":
        names = tuple(sorted(plan.curves))
        updates = 0
        if "lr" in plan.curves and not plan.horizon.in_shares:  # where in its budget an update is shows in training
            updates = min(plan.horizon.steps, *(plan.known_updates(name) for name in names))
        counts = plan.count(updates - 1) + 1 if updates else 0
        curves = [numpy.array(plan.curves[name][:counts], dtype=numpy.float64) for name in names]
        values = numpy.stack(curves, axis=1).view(numpy.int64) if counts else numpy.empty((0, len(names)), numpy.int64)
        is_new = numpy.ones(counts, dtype=bool)
        is_new[1:] = (values[1:] != values[:-1]).any(axis=1)
        return cls(names, numpy.flatnonzero(is_new) * plan.updates_per_count, values[is_new], updates)

    def __len__(self) -> int:
        """The updates that are known."""
        return self.updates

    def shared_with(self, other: "Controls") -> int:
        """For how many updates, from the first on, both are equal."""
        if self.names != other.names:
            return 0
        rows = min(len(self.starts), len(other.starts))
        moved = self.starts[:rows] != other.starts[:rows]
        changed = (self.values[:rows] != other.values[:rows]).any(axis=1) | moved
        first = int(changed.argmax()) if changed.any() else rows
        # There, or where the one that has no further row ends, one of them has another value.
        ends = [len(self), len(other)]
        ends += [int(one.starts[first]) for one in (self, other) if first < len(one.starts)]
        return min(ends)

    @property
    def order(self) -> bytes:
        """Sorted by this, those that share most are neighbours; of those that are equal so far the longest is first.

        So the one that ends comes last.
        """
        shortness = _LONGEST - numpy.diff(self.starts, append=self.updates)
        rows = numpy.concatenate([self.values, shortness[:, None]], axis=1).astype(">i8")
        return rows.tobytes() + b"\xff" * rows.itemsize * rows.shape[1]

    def digests(self, counts: Iterable[int], salt: str) -> dict[int, str]:
        """By each of `counts` that is reached: a hash of `salt` and of all that is used in so many updates."""
        rows = numpy.concatenate([self.starts[:, None], self.values], axis=1)
        hashed, digest, done = {}, hashlib.sha256(f"{salt}\n{self.names}\n".encode()), 0
        for count in sorted({*counts}):
            if count > len(self):
                break
            begun = int(numpy.searchsorted(self.starts, count))
            digest.update(rows[done:begun].tobytes())
            finished = digest.copy()
            finished.update(f"\n{count}".encode())
            hashed[count], done = finished.hexdigest()[:32], begun
        return hashed
