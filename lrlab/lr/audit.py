"""Whether the LR that was applied is the LR that was planned, update by update."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lrlab.lr.plan import Plan

_STATE = ("updates", "differing", "first_difference", "largest_difference")


@dataclass
class Audit:
    """Compares what every update used with what `plan` says; exact equality, for LRs, momentum and weight decay."""

    plan: Plan
    updates: int = 0  # compared
    differing: int = 0
    first_difference: dict[str, Any] | None = None  # update, name, planned, applied
    largest_difference: float = 0.0
    _expected: tuple[int, dict[str, float]] = field(default=(-1, {}), repr=False)

    def check(self, step: int, applied: Mapping[str, float], position: int | None = None) -> str | None:
        """Compare update `step`; returns the line to tell the user at the first difference of the run.

        `position` says where in the plan it was, in a run with a time budget.
        """
        if not self.plan.curves:
            return None
        self.updates += 1
        count = self.plan.count(step) if position is None else position
        if self._expected[0] != count:
            known = {name: values[count] for name, values in self.plan.curves.items() if count < len(values)}
            self._expected = (count, known)
        planned = self._expected[1]
        if self.plan.lrs is None:
            applied = {name: value for name, value in applied.items() if name in planned}
        return None if planned == applied else self._record(step, planned, applied)

    def _record(self, step: int, planned: Mapping[str, float], applied: Mapping[str, float]) -> str | None:
        self.differing += 1
        names = [name for name in {**planned, **applied} if planned.get(name) != applied.get(name)]
        gaps = [abs(planned[name] - applied[name]) for name in names if name in planned and name in applied]
        self.largest_difference = max(self.largest_difference, *gaps, 0.0)
        if self.first_difference is not None:
            return None
        name = names[0]
        self.first_difference = {
            "update": step,
            "name": name,
            "planned": planned.get(name),
            "applied": applied.get(name),
        }
        return (
            f"warning: {name} at update {step} is {applied.get(name)}, and was planned as {planned.get(name)}; "
            "summary.json will say how far the run left its plan"
        )

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def summary(self, monitor: str, updates: int) -> dict[str, Any]:
        """What `summary.json` says after `updates` updates; an LR that follows a metric (`monitor`) has no plan.

        `equal` is None as long as there is nothing to say, or an update was not compared.
        """
        known = self.plan.known_updates()
        since = f" from update {known} on" if known else ""
        exempt = {"exempt": f"the LR follows {monitor}{since}"} if self.plan.lrs is None else {}
        if not self.plan.curves:
            return exempt
        complete = self.updates == updates > 0
        return exempt | {"equal": self.differing == 0 if complete else None, **self.state_dict()}
