"""What a study claims, against known truth: fabricated studies, tuned, judged and stopped by lrlab's own functions.

Not a matter of time but of counts: how often an interval misses the truth, and how often a report claims what is not
so. Noise has the standard deviation 1 unless a row says otherwise.
"""

import math
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy
from scipy import stats

from benchmarks import timing
from benchmarks.fabricated_studies import TUNING, Array, Noise, Outcome, Scenario, conduct, fabricate, heavy, normal
from benchmarks.timing import Table
from lrlab.comparison import statistics
from lrlab.comparison.across import interquartile_mean


def upper_limit(count: int, of: int) -> float:
    """The 99 % upper confidence limit of a rate (Clopper and Pearson)."""
    return float(stats.beta.ppf(0.99, count + 1, of - count)) if count < of else 1.0


def false_claims(outcome: Outcome, margin: float | None) -> Array:
    """Whether each study (R,) claims anything that is not so."""
    truth, said = outcome.truth, outcome.verdicts
    wrong = ((said == 1) & (truth <= 0)) | ((said == -1) & (truth >= 0))
    if margin is not None:
        wrong |= (said == 0) & (numpy.abs(truth) >= margin)
    return wrong.any(1)


def row(scenario: Scenario, outcome: Outcome) -> dict[str, Any]:
    studies = len(outcome.truth)
    false = int(false_claims(outcome, scenario.margin).sum())
    missed = (outcome.low > outcome.truth) | (outcome.high < outcome.truth)
    mean_missed = (outcome.mean_low > outcome.mean_truth) | (outcome.mean_high < outcome.mean_truth)
    chance_missed = (outcome.chance_low > outcome.chance_truth + 1e-9) | (
        outcome.chance_high < outcome.chance_truth - 1e-9
    )
    rate_missed = (outcome.rate_low > scenario.collapse) | (outcome.rate_high < scenario.collapse)
    known = numpy.isfinite(outcome.low) & numpy.isfinite(outcome.high)
    width = (outcome.high - outcome.low)[known] / outcome.oracle_width[known]
    mean_width = (outcome.mean_high - outcome.mean_low) / outcome.mean_oracle_width
    return {
        "name": scenario.name,
        "studies": studies,
        "false claims": f"{false / studies:.3f}",
        "at most (99 %)": f"{upper_limit(false, studies):.3f}",
        "all differences covered": f"{1 - missed.any(1).mean():.3f}",
        "width to an oracle's": f"{numpy.median(width):.2f}",
        "all means covered": f"{1 - mean_missed.any(1).mean():.3f}",
        "their width to an oracle's": f"{numpy.nanmedian(mean_width):.2f}",
        "a chance covered": f"{1 - chance_missed.mean():.3f}",
        "a rate covered": f"{1 - rate_missed.mean():.3f}",
        "seeds used": f"{outcome.seeds.mean():.1f}",
    }


FLAT3, FLAT7 = [[0.0] * 3] * 6, [[0.0] * 7] * 6
SHARP = [-0.8 * (index - 3) ** 2 for index in range(7)]

SCENARIOS = (
    Scenario("6 equal, 3 LRs", FLAT3),
    Scenario("6 equal, 7 LRs", FLAT7),
    Scenario("6 equal, 7 LRs, 5 seeds, one look", FLAT7, maximum=5, looks=1),
    Scenario("2 equal, 3 LRs", [[0.0] * 3] * 2),
    Scenario("2 equal, 3 LRs, 5 seeds, one look", [[0.0] * 3] * 2, maximum=5, looks=1),
    Scenario("2 equal, 3 LRs, 3 seeds, one look", [[0.0] * 3] * 2, maximum=3, looks=1),
    Scenario("flat against sharp, 7 LRs", [[0.0] * 7, SHARP]),
    Scenario("7 LRs against 1", [[0.0] * 7, [0.0]]),
    Scenario("6, deviations 1 to 3", FLAT3, deviations=(1.0, 1.0, 1.5, 2.0, 2.5, 3.0)),
    Scenario("2, deviations 1 and 3", [[0.0] * 3] * 2, deviations=(1.0, 3.0)),
    Scenario("6 equal, noise of Student's t with 3 degrees", FLAT3, noise=heavy),
    Scenario("6 equal, 10 % of seeds collapse", FLAT3, collapse=0.1),
    Scenario("2, one better by 2, 10 % collapse", [[2.0] * 3, [0.0] * 3], collapse=0.1),
    Scenario("6 equal, counts of 360 images", FLAT3, images=360),
    Scenario("2 equal, counts of 360 images, 5 seeds, one look", [[0.0] * 3] * 2, images=360, maximum=5, looks=1),
    Scenario("6 equal, paired, common seeds correlate by 0.8", FLAT3, test="paired", common=0.8),
    Scenario("6 equal, paired by 0.8, 10 % collapse", FLAT3, test="paired", common=0.8, collapse=0.1),
    Scenario("3: two equal, one worse by 1", [[0.0] * 3, [0.0] * 3, [-1.0] * 3]),
    Scenario("2 that differ by the margin of 1", [[1.0] * 3, [0.0] * 3], margin=1.0),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("honesty", __doc__, repeats=1)
    parser.add_argument("--studies", type=int, default=40_000, help="fabricated for each row (default: 40000)")
    options = parser.parse_args(arguments)
    studies = 300 if options.quick else options.studies
    before = timing.machine()
    fewer = max(studies // 4, 300)
    tables = [errors(studies), budgets(studies), others(fewer), powers(fewer), folders(4 if options.quick else 200)]
    timing.report("honesty", tables, options, before, seed=0)


def errors(studies: int) -> Table:
    """False claims and coverage, for every scenario."""
    rows = []
    for number, scenario in enumerate(SCENARIOS):
        timing.note(f"honesty: {scenario.name}")
        generator = numpy.random.default_rng(number)
        rows.append(row(scenario, conduct(scenario, *fabricate(scenario, studies, generator))))
    return Table("Reports of studies: claims that are false, and intervals that cover (stated: 0.95)", "", rows)


def budgets(studies: int) -> Table:
    """A report of three budgets, of which one was declared beforehand: only it claims."""
    generator = numpy.random.default_rng(99)
    scenario = Scenario("one of three budgets declared", FLAT3)
    outcomes = [conduct(scenario, *fabricate(scenario, studies, generator)) for _ in range(3)]
    first = false_claims(outcomes[0], None)
    anyone = first | false_claims(outcomes[1], None) | false_claims(outcomes[2], None)
    rows = []
    claims = {"6 equal; one of three budgets is declared, and claims": first, "all three would claim": anyone}
    for name, wrong in claims.items():
        false = int(wrong.sum())
        most = f"{upper_limit(false, studies):.3f}"
        rows.append(
            {"name": name, "studies": studies, "false claims": f"{false / studies:.3f}", "at most (99 %)": most}
        )
    return Table("Several budgets in one report", "", rows)


def others(repetitions: int) -> Table:
    """The intervals that stand alone: over test images, of deviations, of medians, over several data sets."""
    generator = numpy.random.default_rng(11)
    rows = []
    for images in (360, 10_000):
        timing.note(f"honesty: over {images} test images")
        rows.append(_alone(f"difference over {images:,} test images", _over_images(images, repetitions, generator)))
    for seeds in (5, 20):
        deviations = [statistics.deviation(generator.normal(0, 1, seeds).tolist()) for _ in range(repetitions)]
        covered = [found.low <= 1 <= found.high for found in deviations]
        rows.append(_alone(f"deviation between {seeds} seeds", covered))
    for seeds in (6, 10, 20):
        medians = [statistics.median(heavy(generator, (seeds,)).tolist()) for _ in range(repetitions)]
        rows.append(_alone(f"median of {seeds} seeds, heavy tails", [one.low <= 0 <= one.high for one in medians]))
    for name, noise in (("normal", normal), ("heavy tails", heavy)):
        for seeds in (5, 10, 20):
            timing.note(f"honesty: three data sets, {seeds} seeds, {name}")
            covered = _interquartile(seeds, noise, repetitions, generator)
            rows.append(_alone(f"interquartile mean over 3 data sets, {seeds} seeds, {name}", covered))
    return Table("Intervals that stand alone (stated: 0.95)", "", rows)


def _alone(name: str, covered: Sequence[bool]) -> dict[str, Any]:
    return {"name": name, "repetitions": len(covered), "covered": f"{numpy.mean(covered):.3f}"}


def _over_images(images: int, repetitions: int, generator: numpy.random.Generator) -> list[bool]:
    """Two candidates of five seeds each, right with chances that depend on the image; each time others are drawn."""
    covered = []
    for _ in range(repetitions):
        hard = generator.random(images) < 0.1  # images; the others are right in 99 % of cases
        ours = generator.binomial(5, numpy.where(hard, 0.7, 0.99)) / 5
        theirs = generator.binomial(5, numpy.where(hard, 0.5, 0.99)) / 5
        found = statistics.mean(ours - theirs)
        covered.append(bool(found.low <= 0.1 * 0.2 <= found.high))
    return covered


def _interquartile(seeds: int, noise: Noise, repetitions: int, generator: numpy.random.Generator) -> list[bool]:
    """Ratios around 1.0, 1.2 and 1.4 on three data sets."""
    centres = numpy.array([1.0, 1.2, 1.4])[:, None]
    many = (centres + 0.1 * noise(generator, (3, 1_000_000))).ravel()
    ordered = numpy.sort(many)
    truth = ordered[len(ordered) // 4 : -(len(ordered) // 4)].mean()
    covered = []
    for _ in range(repetitions):
        found = interquartile_mean(list(centres + 0.1 * noise(generator, (3, seeds))))
        covered.append(bool(found.low <= truth <= found.high))
    return covered


def rule_before(values: Array, reference: int = 0) -> Array:
    """Which candidates (R, k) commit 25a6d11 called different: paired t, Holm over the comparisons with the reference.

    `values` (R, k, LRs, n): the LR with the best mean over seeds is judged by the same runs that chose it.
    """
    means = values.mean(-1)
    best = means.argmax(-1)
    chosen = numpy.take_along_axis(values, best[:, :, None, None], axis=2)[:, :, 0]
    n = values.shape[-1]
    others = [index for index in range(values.shape[1]) if index != reference]
    differences = chosen[:, others] - chosen[:, [reference]]
    t = differences.mean(-1) / (differences.std(-1, ddof=1) / math.sqrt(n))
    p = 2 * stats.t.sf(numpy.abs(t), n - 1)
    order = numpy.argsort(p, axis=1)
    ranked = numpy.take_along_axis(p, order, axis=1) * numpy.arange(len(others), 0, -1)
    adjusted = numpy.maximum.accumulate(ranked, axis=1)
    found = numpy.empty_like(p)
    numpy.put_along_axis(found, order, adjusted, axis=1)
    said = numpy.zeros(values.shape[:2])
    said[:, others] = numpy.where(found < 0.05, numpy.sign(differences.mean(-1)), 0)
    return said


def powers(studies: int) -> Table:
    """How often the better one of several is found, by studies and by the rule before with as many runs."""
    rows = []
    for candidates in (2, 3, 6):
        for effect in (0.5, 1.0, 1.5, 2.0, 3.0):
            timing.note(f"honesty: power, {candidates} candidates, {effect:g}")
            rows.append(_power(candidates, effect, studies))
    return Table(
        "How often a difference of so many deviations between seeds is found: one candidate against the others",
        "",
        rows,
    )


def _power(candidates: int, effect: float, studies: int) -> dict[str, Any]:
    generator = numpy.random.default_rng(int(100 * effect) + candidates)
    profiles = [[effect if index == 0 else 0.0] * 3 for index in range(candidates)]
    scenario = Scenario("", profiles)
    outcome = conduct(scenario, *fabricate(scenario, studies, generator))
    with_first = [index for index, pair in enumerate(combinations(range(candidates), 2)) if 0 in pair]
    found = (outcome.verdicts[:, with_first] == 1).mean()
    runs = TUNING + outcome.seeds.mean()
    short = Scenario("", profiles, maximum=5, looks=1)
    at_five = conduct(short, *fabricate(short, studies, generator))
    few = (at_five.verdicts[:, with_first] == 1).mean()
    before = {}
    for seeds in (5, 10):
        values = generator.standard_normal((studies, candidates, 3, seeds))
        values[:, 0] += effect
        before[seeds] = (rule_before(values)[:, 1:] == -1).mean()
    return {
        "name": f"{candidates} candidates, {effect:g}",
        "study, 20 seeds at most": f"{found:.2f}",
        "its runs a candidate": f"{runs:.0f}",
        "study, 5 seeds (17 runs)": f"{few:.2f}",
        "25a6d11, 3 LRs x 5 (15 runs)": f"{before[5]:.2f}",
        "25a6d11, 3 LRs x 10 (30 runs)": f"{before[10]:.2f}",
    }


def folders(count: int) -> Table:
    """Fabricated folders of studies, read and judged as `lrlab compare` does it, beside the arrays above."""
    sys.path.insert(0, str(timing.ROOT / "tests"))
    from fabricated import write_study

    from lrlab.comparison import verdict

    scenario = Scenario("3 equal", [[0.0] * 3] * 3, images=360)
    generator = numpy.random.default_rng(2026)
    values, collapsed, truth = fabricate(scenario, count, generator)
    outcome = conduct(scenario, values, collapsed, truth)
    differ = 0
    for number in range(count):
        with TemporaryDirectory() as place:
            seeds = {f"candidate{index}": int(used) for index, used in enumerate(outcome.seeds[number])}
            table = {name: values[number, index, :used].tolist() for index, (name, used) in enumerate(seeds.items())}
            study = verdict.read(write_study(Path(place), table, maximum=scenario.maximum, looks=scenario.looks))
        words = {1.0: "better", -1.0: "worse"}
        ours = [words.get(one, "undecided") for one in outcome.verdicts[number]]
        bounds = [(finding.pair.difference.low, finding.pair.difference.high) for finding in study.findings]
        same = numpy.allclose(bounds, list(zip(outcome.low[number], outcome.high[number], strict=True)))
        differ += not (same and [finding.pair.verdict for finding in study.findings] == ours and study.is_finished)
    false = int(false_claims(outcome, None).sum())
    said = {"folders": count, "judged otherwise than the arrays": differ, "false claims": f"{false / count:.3f}"}
    left_out = {"folders": f"{differ} of them were judged otherwise"} if differ else {}
    return Table("Folders of studies, read by lrlab", "", [{"name": "3 equal, counts of 360 images", **said}], left_out)


if __name__ == "__main__":
    main()
