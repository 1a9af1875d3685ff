"""A study as lines of text: what is claimed first, then on what it rests."""

from dataclasses import replace

from lrlab.comparison import verdict
from lrlab.comparison.claims import sentence
from lrlab.comparison.pairs import Pair
from lrlab.comparison.verdict import Finding, Judged, Study
from lrlab.comparison.written import shown, shown_amount, shown_chance, shown_mean
from lrlab.drawing.terminal import aligned
from lrlab.training.metrics import lower_is_better
from lrlab.words import counted, epochs_in_words

_SPARE = ("tuned by", "collapsed", "seeds", "LR")  # columns that a narrow terminal does without, the first first


def lines(study: Study, width: int | None = None) -> list[str]:
    """The study as text, for the terminal."""
    text = [title(study), *standing(study)]
    text += ["", *aligned([headings(study), *rows(study)], width, _SPARE)]
    if study.is_finished:
        text.append("")
        for finding in study.findings:
            text += [f"  {claim(study, finding)}", f"    {beside(study, finding)}"]
    if collapsed := about_collapse(study):
        text += ["", *(f"  {one}" for one in collapsed)]
    return text


def title(study: Study) -> str:
    protocol = study.protocol
    return (
        f"{counted(len(protocol.candidates), 'candidate')}, {epochs_in_words(protocol.epochs)}, "
        f"judged by {protocol.judged_by.replace('_', ' ')}"
    )


def standing(study: Study) -> list[str]:
    """How far the study is, and what its words are worth."""
    record, protocol = study.record, study.protocol
    text = []
    if record.design is None:
        text.append("unfinished: the candidates are being tuned, and nothing is claimed; to go on:")
        text.append(f"  {record.command}")
    elif not study.is_finished:
        done = f"{record.looks} of {counted(len(protocol.looks), 'look')}"
        text.append(f"unfinished: {done} done, and nothing is claimed before the study ends; to go on:")
        text.append(f"  {record.command}")
    if study.exploratory:
        text.append(study.exploratory)
        text += [f"  changed: {change}" for change in record.changes]
    if not protocol.has_test:
        text.append("no test split: fresh seeds were judged by the images that chose the base LRs (data.val=official)")
    if (looks := verdict.looks_at_test(study)) > 1:
        text.append(f"the test images were looked at {looks} times")
    return text


def headings(study: Study) -> list[str]:
    return ["candidate", "LR", "tuned by", "seeds", study.protocol.judged_by.replace("_", " "), "collapsed"]


def rows(study: Study) -> list[list[str]]:
    """A row for each candidate, in the order of the design: an order by what was judged would flatter the first."""
    return [_row(study, judged) for judged in study.candidates]


def _row(study: Study, judged: Judged) -> list[str]:
    lr = "-" if judged.tuning.lr is None else f"{judged.tuning.lr:g}"
    if study.record.design is not None:
        lr = f"{study.record.design.lrs[judged.name]:g}"
    value = shown_mean(judged.mean, study.protocol.judged_by) if judged.values else "-"
    collapsed = f"{len(judged.collapsed)} of {judged.seeds}" if judged.seeds else "-"
    return [judged.name, lr, tuned_by(judged), str(judged.seeds), value, collapsed]


def tuned_by(judged: Judged) -> str:
    """How the base LR of a candidate was chosen: how many runs, from which LRs."""
    cost = judged.tuning
    failed = f", {cost.failed} failed" if cost.failed else ""
    if not cost.lrs:
        return "-"
    return f"{counted(cost.runs, 'run')} at {len(cost.lrs)} LRs, {cost.lrs[0]:g} to {cost.lrs[-1]:g}{failed}"


def claim(study: Study, finding: Finding) -> str:
    """What the study claims of a pair, named by the better one first, each as it was tuned."""
    pair = better_first(study, finding.pair)
    tuned = {judged.name: f"{judged.name} ({as_tuned(study, judged)})" for judged in study.candidates}
    named = replace(pair, name=tuned[pair.name], other=tuned[pair.other])
    return sentence(named, study.protocol.judged_by, confirmed=not study.exploratory)


def as_tuned(study: Study, judged: Judged) -> str:
    """The base LR of a candidate, and what it was chosen from."""
    lr = judged.tuning.lr if study.record.design is None else study.record.design.lrs[judged.name]
    return "never trained" if lr is None else f"LR {lr:g}, by {tuned_by(judged)}"


def beside(study: Study, finding: Finding) -> str:
    """What else is known of a pair: the chance that one run is better, and what other test images would change."""
    pair = better_first(study, finding.pair)
    text = f"a run of {pair.name} is the better one in {shown_chance(pair.superiority)}"
    if finding.images is not None:
        images = finding.images if pair.name == finding.pair.name else finding.images.reversed()
        is_claimed = pair.verdict in ("better", "worse")
        if is_claimed and lower_is_better(study.protocol.judged_by):
            images = images.reversed()  # by how much it is better, as the claim says
        text += f"; over samples of test images {shown_amount(images, study.protocol.judged_by, signed=True)}"
    return text


def better_first(study: Study, pair: Pair) -> Pair:
    """The pair, named such that the better of the two, or the one that is ahead, comes first."""
    if pair.verdict in ("better", "worse"):
        return pair if pair.verdict == "better" else pair.reversed()
    return pair.reversed() if _is_behind(study, pair.difference.value) else pair


def _is_behind(study: Study, difference: float) -> bool:
    return difference > 0 if study.metric.lower_is_better else difference < 0


def about_collapse(study: Study) -> list[str]:
    """What to say of runs that collapsed: how often that is, and what counts as one."""
    decided = study.record.design
    if decided is None or not any(judged.collapsed for judged in study.candidates):
        return []
    text = []
    for judged in study.candidates:
        threshold = decided.collapsed.get(judged.name)
        worse = "above" if study.metric.lower_is_better else "below"
        beyond = "" if threshold is None else f", or ended {worse} {shown(threshold, study.protocol.judged_by)}"
        rate = f"{judged.rate.value:.0%} ({judged.rate.low:.0%} to {judged.rate.high:.0%})"
        text.append(f"{judged.name}: {len(judged.collapsed)} of {judged.seeds} collapsed, {rate}: diverged{beyond}")
    return [*text, "means and differences are those of the runs that trained"]
