"""The report: every number in it recomputed from the runs' files by other means, and the page in a real browser."""

import csv
import json
import math
import os
import re
import shutil
import statistics
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from scipy import stats

from lrlab.commands import compare
from lrlab.drawing import panels as drawn

GRID = ("-m", "scheduler=step,cosine,onecycle", "optimizer.lr=0.02,0.1", "seed=0,1,2,3")
SMALL = ("trainer.epochs=4", "data.batch_size=128", "hydra.launcher.threads=1", "hydra.launcher.n_jobs=2")


@pytest.fixture
def look(enter):
    """Run `python -m lrlab.compare ARGUMENTS` in this process."""
    return partial(enter, compare.main)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep with one run that failed and one that never ended, made once."""
    import os
    import sys

    from lrlab.commands import train

    folder, before, argv = tmp_path_factory.mktemp("swept"), os.getcwd(), sys.argv
    os.chdir(folder)
    try:
        sys.argv = ["train.py", *GRID, *SMALL, "sweep=study"]
        train.main()
    finally:
        os.chdir(before)
        sys.argv = argv
    sweep = folder / "outputs" / "sweeps" / "study"
    change(sweep / "scheduler=step,lr=0.1,seed=3", status="diverged", complaint="train/loss: got nan at update 7")
    change(sweep / "scheduler=cosine,lr=0.02,seed=0", status="running")
    return sweep


def change(run: Path, **facts) -> None:
    said = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**said, **facts}))


@pytest.fixture
def sweep(swept, tmp_path):
    """A copy of the sweep."""
    shutil.copytree(swept, tmp_path / "study")
    return tmp_path / "study"


class Page(HTMLParser):
    """The tables of a page by class, its list items and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.items: dict[str, list[str]] = defaultdict(list)
        self._list, self._into, self.links = "", None, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        self.links += [known[name] for name in ("src", "href", "xlink:href") if name in known]
        if tag == "table":
            self._table = self.tables.setdefault(known["class"], [])
        elif tag == "tr":
            self._table.append([])
        elif tag in ("td", "th"):
            self._table[-1].append("")
            self._into = self._table[-1]
        elif tag == "ul":
            self._list = known.get("class", "")
        elif tag == "li":
            self.items[self._list].append("")
            self._into = self.items[self._list]

    def handle_endtag(self, tag):
        if tag in ("td", "th", "li"):
            self._into = None

    def handle_data(self, data):
        if self._into is not None:
            self._into[-1] += data


def read_runs(sweep: Path) -> list[dict]:
    """The runs' files, read with nothing of lrlab."""
    runs = []
    for folder in sorted(path.parent for path in sweep.glob("*/summary.json")):
        config = yaml.safe_load((folder / "config.yaml").read_text())
        with (folder / "history.csv").open() as file:
            rows = list(csv.DictReader(file))
        name = dict(part.split("=") for part in folder.name.split(","))
        runs.append(
            {
                "name": folder.name,
                "scheduler": name["scheduler"],
                "lr": config["optimizer"]["lr"],
                "seed": config["seed"],
                "rows": rows,
                "summary": json.loads((folder / "summary.json").read_text()),
            }
        )
    return runs


def final(run: dict, metric: str) -> float:
    """A metric of a run from its history alone."""
    if metric.startswith("best_"):
        values = [float(row[metric.removeprefix("best_")]) for row in run["rows"]]
        return max(values) if metric.endswith("accuracy") else min(values)
    return float(run["rows"][-1][metric])


IMAGES = 144  # in the validation split of the digits


def interval(values: list[float], *, together: int = 1, images: int | None = None) -> tuple[float, float, float]:
    """Mean and bounds, by scipy's own t interval, of as many as hold `together`; of counts of `images` if given."""
    center, count = sum(values) / len(values), len(values)
    rounding = (1 / images) ** 2 / 12 if images else 0.0
    scale = math.sqrt((statistics.variance(values) + rounding) / count)
    low, high = stats.t.interval(1 - 0.05 / together, count - 1, loc=center, scale=scale)
    return center, low, high


def percent(bounds: tuple[float, float, float]) -> str:
    center, low, high = bounds
    return f"{100 * center:.2f}% ({100 * max(low, 0):.2f} to {100 * min(high, 1):.2f})"


def plain(bounds: tuple[float, float, float]) -> str:
    center, low, high = bounds
    return f"{center:.4f} ({max(low, 0):.4f} to {high:.4f})"


def difference(ours: list[float], theirs: list[float], *, pairs: int) -> tuple[float, float, float]:
    """Welch's interval of the difference of two lists of accuracies, one of so many, from its formula."""
    first, second = ((statistics.variance(one) + (1 / IMAGES) ** 2 / 12) / len(one) for one in (ours, theirs))
    freedom = (first + second) ** 2 / (first**2 / (len(ours) - 1) + second**2 / (len(theirs) - 1))
    center = statistics.fmean(ours) - statistics.fmean(theirs)
    half = stats.t.isf(0.05 / pairs / 2, freedom) * math.sqrt(first + second)
    return center, center - half, center + half


@dataclass
class Expected:
    """What the runs' files say: finished runs by schedule, LR and seed, and those at each schedule's best LR."""

    cells: dict[tuple[str, float], dict[int, dict]]
    best_lr: dict[str, float]

    @property
    def best(self) -> dict[str, dict[int, dict]]:
        return {name: self.cells[name, lr] for name, lr in self.best_lr.items()}

    def mean(self, name: str, metric: str = "val_accuracy") -> float:
        return statistics.fmean(final(run, metric) for run in self.best[name].values())


def expected(sweep: Path) -> Expected:
    finished = [run for run in read_runs(sweep) if run["summary"]["status"] == "finished"]
    assert len(finished) == 22
    cells = defaultdict(dict)
    for run in finished:
        cells[run["scheduler"], run["lr"]][run["seed"]] = run
    of_onecycle = {
        lr: statistics.fmean(final(run, "val_accuracy") for run in cells["onecycle", lr].values()) for lr in (0.02, 0.1)
    }
    # At the LR at which a run diverged, step cannot have its best. One that has not ended yet bars nothing.
    return Expected(cells, {"step": 0.02, "cosine": 0.1, "onecycle": max(of_onecycle, key=of_onecycle.get)})


@pytest.fixture
def page(look, sweep) -> Page:
    """The report of the sweep, and what was printed with it as `page.printed`."""
    outcome = look(str(sweep), "compare.reference=step")
    assert (outcome.code, outcome.err) == (0, "")
    read = Page((sweep / "report.html").read_text())
    read.printed = outcome.out.splitlines()
    return read


def test_every_mean_and_interval_follows_from_the_runs_files(page, sweep):
    truth = expected(sweep)
    header, *rows = page.tables["results"]
    target = min(truth.mean(name) for name in truth.best)
    assert header == [
        *("schedule", "best LR", "seeds", "final val accuracy", "best val accuracy", "final val loss", "best val loss"),
        *("final train loss", "seconds", f"epochs to {target:.2%}"),
    ]
    shown = {"val_accuracy": percent, "best_val_accuracy": percent, "val_loss": plain, "best_val_loss": plain}
    for name, lr, seeds, *numbers, seconds, reached in rows:
        runs = list(truth.best[name].values())
        assert (float(lr), int(seeds)) == (truth.best_lr[name], len(runs))
        for number, (metric, form) in zip(numbers, [*shown.items(), ("train_loss", plain)], strict=True):
            images = {"val_accuracy": IMAGES, "best_val_accuracy": IMAGES}.get(metric)
            assert number == form(interval([final(run, metric) for run in runs], together=3, images=images))
        assert seconds == f"{statistics.fmean(sum(float(row['seconds']) for row in run['rows']) for run in runs):.1f}"
        first = []
        for run in runs:
            hits = [int(row["epoch"]) + 1 for row in run["rows"] if float(row["val_accuracy"]) >= target]
            first.append(hits[0] if hits else math.inf)
        there = f"({sum(map(math.isfinite, first))} of {len(runs)})"
        median = statistics.median(first)
        assert reached == f"{'not reached by half' if math.isinf(median) else f'{median:g}'} {there}"
    names = [row[0] for row in rows]
    assert names == sorted(names, key=lambda name: -truth.mean(name))
    for row in rows:
        [printed] = [line.split("  ") for line in page.printed if line.startswith(f"{row[0]} ")]
        assert [cell.strip() for cell in printed if cell.strip()] == row


def test_every_difference_chance_and_claim_follows_from_the_runs_files(page, sweep):
    best = expected(sweep).best
    values = {name: [final(run, "val_accuracy") for run in runs.values()] for name, runs in best.items()}
    _, *rows = page.tables["against"]
    assert sorted(row[0] for row in rows) == ["cosine", "onecycle"]
    for name, seeds, shown, chance in rows:
        center, low, high = difference(values[name], values["step"], pairs=3)
        assert (seeds, shown) == ("4", f"{100 * center:+.2f} ({100 * low:.2f} to {100 * high:.2f})")
        won = stats.mannwhitneyu(values[name], values["step"]).statistic / 16
        assert chance.startswith(f"{won:.0%} (")
        [sentence] = [item for item in page.items["said"] if f"{name} " in item]
        if low > 0 or high < 0:
            bounds = sorted((abs(low), abs(high)))
            amount = f"{100 * abs(center):.2f} points ({100 * bounds[0]:.2f} to {100 * bounds[1]:.2f}), 4 seeds each"
            assert sentence == f"{name} looks {'better' if center > 0 else 'worse'} than step by {amount}"
        else:
            assert sentence.startswith(f"{name} and step cannot be told apart: difference {100 * center:+.2f} points")
    assert set(page.items["said"]) <= {line.strip() for line in page.printed}


def test_every_lr_has_its_mean_and_what_was_left_out_is_named(page, sweep):
    truth = expected(sweep)
    (_, *lrs), *rows = page.tables["grid"]
    assert lrs == ["0.02", "0.1"]
    for name, *shown in rows:
        for lr, cell in zip((0.02, 0.1), shown, strict=True):
            values = [final(run, "val_accuracy") for run in truth.cells[name, lr].values()]
            lost = {"step": " (1 failed)", "cosine": " (1 not finished)"}[name] if len(values) < 4 else ""
            assert cell == percent(interval(values, images=IMAGES)) + lost
    assert page.tables["left-out"][1:] == [
        ["scheduler=cosine,lr=0.02,seed=0", "not finished: it still runs, or was killed"],
        ["scheduler=step,lr=0.1,seed=3", "diverged: train/loss: got nan at update 7"],
    ]
    warnings = page.items["warnings"]
    assert "step: 1 of 4 runs at LR 0.1 failed; it cannot be the best LR" in warnings
    assert "cosine: 1 run at LR 0.02 did not finish yet" in warnings
    edge = "its best LR 0.1 is the highest of the grid, and a better one may lie beyond (try optimizer.lr=0.3)"
    assert f"cosine: {edge}" in warnings
    assert ["optimizer.lr", "0.02, 0.1"] in page.tables["differences"]


@pytest.mark.slow
def test_results_csv_has_every_run_and_the_same_bytes_again(look, sweep):
    look(str(sweep))
    text = (sweep / "results.csv").read_bytes()
    rows = list(csv.DictReader(text.decode().splitlines()))
    assert len(rows) == 24
    for run, row in zip(read_runs(sweep), rows, strict=True):
        assert (row["run"], row["status"]) == (run["name"], run["summary"]["status"])
        assert float(row["val_loss"]) == final(run, "val_loss")
        assert float(row["best_val_accuracy"]) == final(run, "best_val_accuracy")
    report = (sweep / "report.html").read_bytes()
    look(str(sweep))
    assert (sweep / "results.csv").read_bytes() == text
    assert (sweep / "report.html").read_bytes() == report


@pytest.mark.slow
@pytest.mark.parametrize("figures", ["svg", "png", "pdf"])
def test_figures_are_files_for_a_paper(look, sweep, figures):
    assert look(str(sweep), f"compare.figures={figures}").code == 0
    start = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[figures]
    for name in ("learning_curves", "lr_sensitivity"):
        assert (sweep / "figures" / f"{name}.{figures}").read_bytes().startswith(start)


def test_the_curves_are_those_of_the_histories(sweep):
    from lrlab.comparison import contests, panels, results

    [contest] = contests.compare(results.find([sweep])).contests
    runs = {(run["scheduler"], run["lr"], run["seed"]): run for run in read_runs(sweep)}
    *drawn, of_lr = panels.learning_panels(contest)
    assert {panel.reach for panel in (*drawn, of_lr)} == {(0, 4)}
    judged = contest.metric.removeprefix("best_")
    scale = {judged: 100} if judged.endswith("accuracy") else {}
    for panel, column in zip(drawn, dict.fromkeys([judged, "val_loss", "train_loss"]), strict=True):
        for candidate, band in zip(contest.candidates, panel.bands, strict=True):
            rows = [runs[candidate.name, candidate.best_lr, seed]["rows"] for seed in candidate.best]
            values = [[scale.get(column, 1) * float(one[epoch][column]) for one in rows] for epoch in range(4)]
            assert list(band.x) == [1, 2, 3, 4]
            assert band.middle == pytest.approx([statistics.fmean(several) for several in values])
            assert band.low == [min(several) for several in values]
            assert band.high == [max(several) for several in values]
    for candidate, band in zip(contest.candidates, of_lr.bands, strict=True):
        rows = runs[candidate.name, candidate.best_lr, 1]["rows"]
        for row in rows:  # the LR of each epoch's last update lies on the stairs
            last = (int(row["step"]) - 1) / int(rows[0]["step"])
            stair = max(index for index, edge in enumerate(band.x) if edge <= last + 1e-9)
            assert band.middle[stair] == float(row["lr"])


@pytest.mark.slow
def test_one_more_run_at_a_losing_lr_reverses_no_verdict(look, command, tmp_path):
    """It did, in real sweeps: cosine, better by 4.6 points, was said to be worse by 7.3 once it had one more run."""
    typed = ("model=mlp", "trainer.epochs=10", "data.val=official")
    sweep = ("-m", "scheduler=constant,cosine", "optimizer.lr=0.06,0.2", "seed=range(5)", "sweep=study")
    assert command(*sweep, *typed, "hydra.launcher.threads=1").code == 0
    folder = str(tmp_path / "outputs" / "sweeps" / "study")

    def said() -> str:
        [line] = [line for line in look(folder).out.splitlines() if "than constant" in line]
        return line

    before = said()
    assert "cosine looks better than constant" in before
    one_more = ("scheduler=cosine", "optimizer.lr=0.06", "seed=5", "hydra.run.dir=outputs/sweeps/study/one_more")
    assert command(*one_more, *typed).code == 0
    assert said() == before


@pytest.mark.slow
def test_several_folders_go_to_a_folder_of_their_own(look, sweep, tmp_path):
    shutil.copytree(sweep, tmp_path / "other")
    outcome = look(str(sweep), str(tmp_path / "other"))
    assert outcome.code == 0
    assert (tmp_path / "outputs" / "compare" / "study-other" / "report.html").exists()
    assert "left out: study/scheduler=onecycle,lr=0.02,seed=0 (the same run as other/scheduler=" in outcome.out


@pytest.mark.slow
def test_runs_that_were_not_begun_are_named(look, sweep):
    shutil.rmtree(sweep / "scheduler=step,lr=0.02,seed=1")
    assert "left out: scheduler=step,lr=0.02,seed=1 (not begun)" in look(str(sweep)).out


@pytest.mark.slow
def test_names_are_text_and_never_markup(look, sweep):
    change(sweep / "scheduler=step,lr=0.02,seed=0", choices={"scheduler": "<script>alert(1)</script>"})
    change(sweep / "scheduler=step,lr=0.1,seed=3", error="<img src=x onerror=alert(1)>")
    (sweep / "sweep.json").write_text(json.dumps({"command": "<b>python</b>", "runs": ["<img>"]}))
    assert look(str(sweep)).code == 0
    text = (sweep / "report.html").read_text()
    for markup in ("<script", "<img", "<b>"):
        assert markup not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (("nowhere",), r"compare: got nowhere, which does not exist; allowed: folders of runs, tables .*; do: "),
        (("compare.metric=val_accuracy",), r"compare: got no folder; allowed: folders of runs; do: "),
        (
            (".", "compare.metric=accuracy"),
            r"compare\.metric: got 'accuracy'.*; allowed: val_accuracy, val_loss, .*; do: ",
        ),
        ((".", "metric=val_loss"), r"metric: got .*did you mean compare\.metric.*; do: compare\.metric=val_loss"),
        ((".", "compare.metrik=x"), r"compare\.metrik: got a setting that .*compare\.metric.*; allowed: .*; do: "),
        (
            (".", "compare.target=95"),
            r"compare\.target: got 95; allowed: a value of val_accuracy: 0 to 1, or 0% to 100%; do: ",
        ),
        ((".", "compare.target=high"), r"compare\.target: got high; allowed: a number, such as 0\.95 or 95%; do: "),
        ((".", "compare.figures=gif"), r"compare\.figures: got 'gif'.*; allowed: png, svg, pdf; do: "),
        (("--fast", "."), r"command line: got --fast; allowed: .*; do: "),
    ],
)
def test_mistakes_are_one_line(look, typed, line, tmp_path):
    outcome = look(*typed)
    assert outcome.code == 1
    assert re.fullmatch(rf"lrlab: error: {line}.*\n", outcome.err)
    assert list(tmp_path.iterdir()) == []


def test_help_says_what_can_be_asked(look):
    assert "compare.reference=NAME" in look("--help").out


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MEASURE = """<html><body><iframe id="page" style="width:{width}px;height:900px;border:0"></iframe><script>
const frame = document.getElementById("page");
frame.srcdoc = {text};
frame.onload = () => {{
  const page = frame.contentDocument, style = frame.contentWindow.getComputedStyle(page.body);
  const small = [...page.querySelectorAll("svg text")].filter(one => one.textContent.trim());
  const heights = small.map(one => one.getBoundingClientRect().height);
  document.title = JSON.stringify({{
    overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    background: style.backgroundColor, color: style.color, headings: page.querySelectorAll("h3").length,
    figures: page.querySelectorAll("svg").length, smallest: Math.min(...heights),
    ink: [...new Set(small.map(one => frame.contentWindow.getComputedStyle(one).fill))],
    outside: [...page.querySelectorAll("figure, p, ul")]
      .filter(one => one.getBoundingClientRect().right > {width} + 1).length,
  }});
}};
</script></body></html>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_can_be_read_in_a_browser(look, sweep, tmp_path, width, dark):
    assert look(str(sweep)).code == 0
    text = (sweep / "report.html").read_text()
    assert [link for link in Page(text).links if ":" in link or link.startswith("/")] == []  # needs no network
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(MEASURE.format(width=width, text=json.dumps(text).replace("</", "<\\/")))
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        f"--user-data-dir={tmp_path}/c",
    ]
    command += ["--disable-background-networking", "--virtual-time-budget=5000", "--window-size=1400,1000"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--dump-dom", wrapper.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = json.loads(re.search(r"<title>(.*?)</title>", dom)[1].replace("&quot;", '"'))
    assert (found["overflow"], found["outside"]) == (0, 0)
    assert (found["background"], found["color"]) == (
        ("rgb(18, 22, 28)", "rgb(230, 237, 243)") if dark else ("rgb(255, 255, 255)", "rgb(27, 31, 36)")
    )
    assert found["ink"] == [found["color"]]  # the letters of the figures as well
    assert found["figures"] == 4 + 1 + 3
    assert found["smallest"] >= 8  # pixels


@pytest.mark.slow
def test_the_page_leads_to_its_files_and_to_every_run(look, sweep):
    look(str(sweep))
    page = Page((sweep / "report.html").read_text())
    links = [unquote(link) for link in page.links if not link.startswith("#")]
    assert {"results.csv", "figures/learning_curves.svg", "figures/lr_sensitivity.svg"} <= set(links)
    assert len([link for link in links if link.startswith("scheduler=")]) == 22
    assert all((sweep / link).exists() for link in links)


@pytest.mark.slow
def test_from_another_folder_the_links_lead_to_the_same_runs(look, sweep, tmp_path):
    look(str(sweep), "compare.folder=elsewhere/deep")
    page = Page((tmp_path / "elsewhere" / "deep" / "report.html").read_text())
    links = [unquote(link) for link in page.links if not link.startswith("#")]
    assert all((tmp_path / "elsewhere" / "deep" / link).exists() for link in links)
    assert any("study/scheduler=step,lr=0.02,seed=0" in link for link in links)


def test_a_pointer_finds_the_values_of_the_judged_metric(look, sweep):
    look(str(sweep))
    said = re.findall(r"<title>(.*?)</title>", (sweep / "report.html").read_text())
    runs = [run for run in read_runs(sweep) if (run["scheduler"], run["lr"]) == ("onecycle", 0.1)]
    mean = statistics.fmean(100 * float(run["rows"][1]["val_accuracy"]) for run in runs)
    assert any(
        re.fullmatch(rf"onecycle, epoch 2: validation accuracy \(%\) {re.escape(f'{mean:.4g}')} \(.* to .*\)", text)
        for text in said
    )
    assert any(text.startswith("step, base LR 0.02: val accuracy (%) ") for text in said)


@pytest.mark.slow
def test_seconds_on_different_devices_are_not_set_beside_each_other(look, sweep):
    change(sweep / "scheduler=step,lr=0.02,seed=0", device="cpu (7 threads)")
    look(str(sweep))
    header, *rows = Page((sweep / "report.html").read_text()).tables["results"]
    assert {row[header.index("seconds")] for row in rows} == {"-"}


@pytest.mark.slow
def test_intervals_at_one_lr_stand_beside_each_other_and_a_single_seed_has_no_bands(look, sweep, monkeypatch):
    for folder in sweep.glob("*seed=[123]"):
        shutil.rmtree(folder)
    change(sweep / "scheduler=cosine,lr=0.02,seed=0", status="finished")
    places = []
    draw = drawn._draw_band

    def noted(axis, panel, band, index):
        if panel.points:
            places.append(tuple(band.x))
        return draw(axis, panel, band, index)

    monkeypatch.setattr(drawn, "_draw_band", noted)
    look(str(sweep))
    assert len({x for xs in places for x in xs}) == len(set(places)) * 2 == 6
    assert "bands reach" not in (sweep / "report.html").read_text()


def test_on_a_narrow_terminal_the_judged_metric_stays_and_no_line_wraps(sweep):
    from lrlab.comparison import contests, results, text

    compared = contests.compare(results.find([sweep]))
    wide, narrow = (text.lines(compared, width)[1:5] for width in (200, 50))
    assert max(map(len, narrow)) <= 50
    assert all("final val accuracy" in lines[0] for lines in (wide, narrow))
    assert "seconds" in wide[0]
    assert "seconds" not in narrow[0]


@pytest.mark.slow
def test_a_folder_whose_name_is_no_text_is_linked_to(look, sweep):
    (sweep / "scheduler=step,lr=0.02,seed=0").rename(os.fsdecode(os.fsencode(sweep) + b"/odd\xff"))
    assert look(str(sweep), "compare.folder=there").code == 0
    assert "odd%FF/" in Path("there/report.html").read_text()
