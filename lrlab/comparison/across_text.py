"""Several studies as lines of text and as a figure."""

from lrlab.comparison.across import Across, Wins
from lrlab.comparison.statistics import Interval
from lrlab.drawing.panels import Band, Panel
from lrlab.drawing.terminal import aligned


def lines(found: Across, width: int | None = None) -> list[str]:
    """The studies as text: how far each candidate is from the best, and on how many data sets it is better."""
    text = [f"{len(found.candidates)} candidates on {len(found.data_sets)} data sets: {', '.join(found.data_sets)}", ""]
    rows = [["candidate", "times the error of the best (interquartile mean)", *found.data_sets]]
    for name in found.candidates:
        means = [f"{sum(own) / len(own):.2f}" for own in found.ratios[name]]
        rows.append([name, _shown(found.iqm[name]), *means])
    text += [*aligned(rows, width, found.data_sets[::-1]), ""]
    text += [f"  {_sentence(wins, len(found.data_sets))}" for wins in found.wins]
    text += ["", "each study keeps its own 5 %; the intervals of the means are single ones"]
    if found.exploratory:
        text.append(f"{found.exploratory} (in one of the studies)")
    if found.same_data:
        text.append(f"warning: these are of one data set, which counts as often: {', '.join(found.same_data)}")
    text += [f"left out: {name} (not the same in every study)" for name in found.left_out]
    return text


def _shown(mean: Interval) -> str:
    if not mean.is_known:
        return f"{mean.value:.2f}"
    return f"{mean.value:.2f} ({mean.low:.2f} to {mean.high:.2f})"


def _sentence(wins: Wins, data_sets: int) -> str:
    counts = {"better": wins.better, "worse": wins.worse, "equivalent": wins.equivalent, "undecided": wins.undecided}
    said = ", ".join(f"{verdict} on {count}" for verdict, count in counts.items() if count)
    return f"{wins.one} against {wins.other}, of {data_sets}: {said}"


def profile_panel(found: Across) -> Panel:
    """The performance profiles: for each ratio, the share of runs that are at most so bad."""
    bands = [Band(name, *found.profiles[name]) for name in found.candidates]
    return Panel(bands, "times the error of the best", "share of runs", stairs=True)
