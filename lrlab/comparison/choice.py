"""Which base LR is the best of those that were tried.

Two LRs are compared on the seeds that both have, so an LR that was tried with more of them has no advantage and no
disadvantage. The best LR is the one that no other beats; where each is beaten by some other, it is the one that loses
by least. So a run at an LR that loses changes nothing.
"""

import statistics
from collections.abc import Mapping
from fractions import Fraction

from lrlab.comparison.statistics import exact_mean

BySeed = Mapping[int, float]


def best_lr(
    values: Mapping[float, BySeed], failed: Mapping[float, int], *, lower_is_better: bool, are_shares: bool
) -> float:
    """The best of the LRs in `values`, whose finished runs have a value a seed; of equal ones the smallest.

    An LR at which runs `failed` must not win by the mean of those that survived. Only where runs failed at all of them,
    those at which the fewest did are compared.
    """
    fewest = min(failed.get(lr, 0) for lr in values)
    eligible = sorted(lr for lr in values if failed.get(lr, 0) == fewest)
    if len(eligible) == 1:
        return eligible[0]
    sign = -1 if lower_is_better else 1
    if len({frozenset(values[lr]) for lr in eligible}) == 1:  # all of them have all seeds, so the best mean wins
        means = {lr: exact_mean(values[lr].values(), are_shares=are_shares) for lr in eligible}
        return max(eligible, key=lambda lr: sign * means[lr])

    def worst_comparison(lr: float) -> Fraction:
        others = [other for other in eligible if other != lr]
        return min(sign * _advantage(values[lr], values[other], are_shares=are_shares) for other in others)

    return max(eligible, key=worst_comparison)  # the first of equal ones


def _advantage(one: BySeed, other: BySeed, *, are_shares: bool) -> Fraction:
    """How much larger the mean of `one` is on common seeds, without rounding; over all seeds where none is common."""
    common = sorted(one.keys() & other.keys())
    ours = [one[seed] for seed in common] or one.values()
    theirs = [other[seed] for seed in common] or other.values()
    return exact_mean(ours, are_shares=are_shares) - exact_mean(theirs, are_shares=are_shares)


def width_within(means: Mapping[float, float], *, share: float, lower_is_better: bool) -> tuple[float, float]:
    """The LRs between which the mean stays within `share` of the best: 5 % of it for 0.05. Between two LRs it is taken
    to change evenly with the logarithm of the LR. The ends are LRs that were tried where it never leaves.

    >>> width_within({0.1: 0.5, 0.2: 1.0, 0.4: 1.0, 0.8: 0.0}, share=0.05, lower_is_better=False)[0] < 0.2
    True
    """
    lrs = sorted(means)
    sign = -1.0 if lower_is_better else 1.0
    best = max(lrs, key=lambda lr: sign * means[lr])
    bound = sign * means[best] - share * abs(means[best])

    def end(outward: list[float]) -> float:
        inside = best
        for lr in outward:
            value, before = sign * means[lr], sign * means[inside]
            if value < bound:
                part = (before - bound) / (before - value)
                return inside * (lr / inside) ** part
            inside = lr
        return inside

    return end([lr for lr in reversed(lrs) if lr < best]), end([lr for lr in lrs if lr > best])


def expected_best(values: list[float], *, lower_is_better: bool) -> list[float]:
    """What the best of k tuning runs is expected to be, for k = 1, 2, ..., len(values).

    The k runs are drawn from these with replacement. Source: Dodge et al., Show Your Work, 2019 (arXiv:1909.03004).

    >>> expected_best([0.0, 1.0], lower_is_better=False)
    [0.5, 0.75]
    """
    ordered = sorted(values, reverse=lower_is_better)
    n = len(ordered)
    found = []
    for k in range(1, n + 1):
        chances = [(rank / n) ** k - ((rank - 1) / n) ** k for rank in range(1, n + 1)]
        found.append(statistics.fmean(ordered, chances))
    return found
