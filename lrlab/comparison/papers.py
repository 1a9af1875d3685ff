"""A study for a paper: a paragraph about how it was done, and a LaTeX table. Both are made of what was done."""

from collections.abc import Iterable
from itertools import chain

from lrlab.comparison.study_text import as_tuned, better_first
from lrlab.comparison.verdict import Finding, Judged, Study, looks_at_test
from lrlab.comparison.written import shown, shown_difference, shown_margin, shown_mean
from lrlab.training.metrics import Metric
from lrlab.words import counted, epochs_in_words

_TESTS = {"welch": "Welch's t intervals on disjoint seeds", "paired": "paired t intervals on common seeds"}


def methods(study: Study) -> str:
    """The paragraph: data and splits, tuning, judging, test and corrections, versions and commit."""
    sentences = [*_about_the_model(study), _about_the_data(study), *_about_the_tuning(study)]
    if study.is_finished:
        sentences += [*_about_the_judging(study), *_about_collapse(study), *_about_the_computer(study)]
    else:
        sentences = ["This study is not finished.", *sentences]
    return " ".join(sentences)


def _about_the_model(study: Study) -> Iterable[str]:
    """What was trained on what, as the judging runs say it."""
    runs = list(chain.from_iterable(judged.runs for judged in study.candidates))
    if not runs:
        return
    said = {}
    for group in ("model", "data", "optimizer"):
        said[group] = " or ".join(dict.fromkeys(run.choice(group) for run in runs))
    size = " or ".join(dict.fromkeys(str(run.settings.get("data.batch_size")) for run in runs))
    made = "; ".join(f"{name}: {' '.join(own)}" for name, own in study.protocol.candidates.items())
    yield f"The model {said['model']} was trained on {said['data']} by {said['optimizer']} in batches of {size}."
    yield f"Candidates were made by these settings ({made})."


def _about_the_data(study: Study) -> str:
    split, epochs = study.protocol.split, epochs_in_words(study.protocol.epochs)
    if not study.protocol.has_test:
        return (
            f"Models were trained on {split['train']:,} samples for {epochs} and validated on {split['val']:,} "
            "(data.val=official); there was no test split, so the samples that chose the learning rates also judged."
        )
    looked = ""
    if study.record.looks:
        looked = f", on which each model was evaluated {counted(max(looks_at_test(study), 1), 'time')}, after training"
    seed = split.get("split_seed")
    drawn = "" if seed is None else f", split seed {seed}"  # a text is cut, not drawn
    return (
        f"Models were trained on {split['train']:,} samples for {epochs}, tuned on {split['val']:,} validation samples "
        f"(data.val={split.get('held_out')}{drawn}) and judged on {split['test']:,} test samples{looked}."
    )


def _about_the_tuning(study: Study) -> Iterable[str]:
    protocol, led = study.protocol, study.protocol.led
    how = "a grid, extended where its best lay at an edge, then finer learning rates and more seeds"
    if led is None:
        yield (
            f"The base learning rate of each of the {len(protocol.candidates)} candidates was chosen by validation "
            f"{protocol.metric} with {_spent(study)}, failed ones included: {how}."
        )
    else:
        in_full = ", ".join(name for name in protocol.candidates if name not in led.ratios)
        yield (
            f"Base learning rates were chosen by validation {protocol.metric}, failed runs included: of {in_full} with "
            f"{counted(protocol.tuning, 'run')} ({how}), of {', '.join(led.ratios)} with {counted(led.probes, 'run')} "
            f"each, beginning with the learning rate that follows from that of {led.leader} by the ratio of the "
            "last-iterate bounds (arXiv:2310.07831); another one was taken only where it was better by more than two "
            "standard errors, or where runs failed at that one."
        )
    tuned = [f"{judged.name}, {as_tuned(study, judged)}" for judged in study.candidates]
    yield f"Chosen were: {'; '.join(tuned)}."
    shared = sum(judged.tuning.shared for judged in study.candidates)
    spent = sum(judged.tuning.updates for judged in study.candidates) - shared
    runs = sum(judged.tuning.runs for judged in study.candidates)
    once = f"; {counted(shared, 'further update')} that runs have in common were trained once" if shared else ""
    yield f"Tuning took {counted(runs, 'run')} and {counted(spent, 'update')} in all{once}."


def _spent(study: Study) -> str:
    """How many tuning runs the candidates had."""
    counts = sorted({judged.tuning.runs for judged in study.candidates})
    return counted(counts[0], "run") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} runs"


def _about_the_judging(study: Study) -> Iterable[str]:
    protocol, decided = study.protocol, study.record.design
    if decided is None:
        return
    looks = ", ".join(map(str, protocol.looks))
    yield (
        f"Candidates were then trained anew at these learning rates on seeds that had decided nothing, at most "
        f"{protocol.maximum} each, and compared by {protocol.judged_by.replace('_', ' ')} after the last epoch."
    )
    stopping = (
        f"analysed after {looks} seeds, with levels calibrated by simulation on the t scale such that all analyses "
        "together keep the error rate (error spending as the square of the share of seeds; Lan and DeMets, 1983)"
    )
    yield (
        f"{_all_pairs(protocol.pairs)} judged by {_TESTS[decided.test]} ({decided.why}), simultaneous at "
        f"95% (Bonferroni), {stopping if len(protocol.looks) > 1 else f'on {looks} seeds'}."
    )
    yield "A difference is claimed where its interval excludes zero."
    if protocol.margin is not None:
        within = shown_margin(protocol.margin, protocol.judged_by)
        yield f"Candidates are called equivalent where the same interval lies within {within}."
    if study.exploratory:
        yield f"The report is {study.exploratory}."


def _all_pairs(count: int) -> str:
    return "The pair was" if count == 1 else f"All {count} pairs were"


def _about_collapse(study: Study) -> Iterable[str]:
    decided = study.record.design
    if decided is None:
        return
    lost = sum(len(judged.collapsed) for judged in study.candidates)
    or_else = ", or did not get half as far from guessing as its candidate's tuning runs" if decided.collapsed else ""
    yield (
        f"A run counts as collapsed if it diverged{or_else}; of the judging runs, {lost} did. Means are over the runs "
        "that trained."
    )


def _about_the_computer(study: Study) -> Iterable[str]:
    runs = list(chain.from_iterable(judged.runs for judged in study.candidates))
    said: dict[str, dict[str, None]] = {}
    for run in runs:
        pairs = {**(run.summary.get("versions") or {}), "device": run.summary.get("device")}
        pairs["commit"] = run.summary.get("commit")
        for name, value in pairs.items():
            if value is not None:
                said.setdefault(name, {})[str(value)] = None
    if said:
        listed = ", ".join(f"{name} {' and '.join(values)}" for name, values in said.items())
        yield f"Computed with {listed}."


def latex(study: Study) -> str:
    """Two tables: a row for each candidate, in the order of the design, and one for each pair."""
    metric = _plain(study.protocol.judged_by.replace("_", " "))
    unfinished = [] if study.is_finished else ["% This study is not finished, and claims nothing."]
    exploratory = [f"% {study.exploratory}"] if study.exploratory else []
    return "\n".join(
        [
            *unfinished,
            *exploratory,
            r"\begin{tabular}{lrrrr}",
            r"\toprule",
            rf"candidate & LR & seeds & {metric} (simultaneous 95\% interval) & collapsed \\",
            r"\midrule",
            *(rf"{_row(study, judged)} \\" for judged in study.candidates),
            r"\bottomrule",
            r"\end{tabular}",
            "",
            "% Claims are about differences. Their intervals may exclude zero where those of the means overlap.",
            r"\begin{tabular}{lrrl}",
            r"\toprule",
            rf"pair & seeds & difference of {metric} (simultaneous 95\% interval) & verdict \\",
            r"\midrule",
            *(rf"{_pair_row(study, finding)} \\" for finding in study.findings if study.is_finished),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _pair_row(study: Study, finding: Finding) -> str:
    pair = better_first(study, finding.pair)
    seeds = " and ".join(map(str, dict.fromkeys(pair.seeds)))
    difference = shown_difference(pair.difference, study.protocol.judged_by)
    looks = "looks " if study.exploratory and pair.verdict != "undecided" else ""
    return " & ".join(map(_plain, [f"{pair.name} -- {pair.other}", seeds, difference, f"{looks}{pair.verdict}"]))


def _row(study: Study, judged: Judged) -> str:
    lr = judged.tuning.lr if study.record.design is None else study.record.design.lrs[judged.name]
    value = shown_mean(judged.mean, study.protocol.judged_by) if judged.values else "--"
    cells = [judged.name, "--" if lr is None else f"{lr:g}", str(judged.seeds), value]
    return " & ".join(map(_plain, [*cells, f"{len(judged.collapsed)} of {judged.seeds}"]))


_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL |= {one: rf"\{one}" for one in "&%$#_{}"}


def _plain(text: str) -> str:
    r"""A text as LaTeX shows it.

    >>> print(_plain("step, gamma=0.5_x 90%"))
    step, gamma=0.5\_x 90\%
    """
    return "".join(_SPECIAL.get(one, one) for one in text)


def expected(study: Study, judged: Judged, most: int = 12) -> list[tuple[int, str]]:
    """What the best of k tuning runs of a candidate is expected to reach, for some k."""
    values = judged.tuning.expected_best[:most]
    metric: Metric = study.metric
    return [(count, shown(value, f"val_{metric.name}")) for count, value in enumerate(values, start=1)]
