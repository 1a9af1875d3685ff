"""What is said of two candidates, in one sentence."""

import math

from lrlab.comparison.pairs import FEWEST_SEEDS, Pair
from lrlab.comparison.statistics import MOST_SEEDS
from lrlab.comparison.written import shown_amount, shown_margin
from lrlab.words import counted


def sentence(pair: Pair, metric: str, *, confirmed: bool) -> str:
    """What a pair shows, in plain words.

    Only where it is `confirmed`, by runs that decided nothing before, is it said that one is better. Otherwise it
    looks better.
    """
    count = _counted_seeds(pair)
    if math.isnan(pair.difference.value):
        return f"{pair.name} and {pair.other} cannot be compared: {_why_not(pair)}"
    amount = shown_amount(pair.difference, metric, signed=pair.verdict in ("equivalent", "undecided"))
    if pair.verdict in ("better", "worse"):
        verb = "is" if confirmed else "looks"
        return f"{pair.name} {verb} {pair.verdict} than {pair.other} by {amount}, {count}"
    if pair.verdict == "equivalent":
        verb = "are" if confirmed else "look"
        within = f" within {shown_margin(pair.margin, metric)}" if pair.margin is not None else ""
        return f"{pair.name} and {pair.other} {verb} equivalent{within}: difference {amount}, {count}"
    return f"{pair.name} and {pair.other} cannot be told apart: difference {amount}, {count}{_why(pair)}"


def _why_not(pair: Pair) -> str:
    """Why there is nothing to compare: paired runs have no seed in common, or one has no run at all."""
    without = [name for name, seeds in zip((pair.name, pair.other), pair.seeds, strict=True) if not seeds]
    if len(without) == 2:
        return "they have no seed in common, or no run that can be judged"
    return f"no run of {without[0]} can be judged"


def _counted_seeds(pair: Pair) -> str:
    ours, theirs = pair.seeds
    return f"{counted(ours, 'seed')} each" if ours == theirs else f"{ours} and {counted(theirs, 'seed')}"


def _why(pair: Pair) -> str:
    """Why a pair is undecided, or what would decide it, as far as that is known."""
    if min(pair.seeds) < FEWEST_SEEDS:
        return f"; at least {FEWEST_SEEDS} seeds of each are needed to judge the noise"
    if not pair.difference.is_known:
        return "; their values do not differ from seed to seed, so the noise is unknown"
    if pair.more is None:
        return ""
    fewest, most = pair.more
    if most >= MOST_SEEDS:
        return f"; {fewest:,} seeds each or more would tell, if that is the difference"
    if fewest == most:
        return f"; about {fewest:,} seeds each would tell, if that is the difference"
    return f"; about {fewest:,} to {most:,} seeds each would tell, if that is the difference"
