"""`lrlab.compare`: tables of other programs by the protocol of lrlab's own runs, and what such tables cannot say."""

import csv
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from fabricated import write_sweep
from torch.utils.tensorboard import SummaryWriter

import lrlab
from lrlab.commands import compare as command
from lrlab.comparison.contests import compare as compare_results
from lrlab.comparison.results import find

TRUTH = {"cosine": 0.9, "step": 0.88, "constant": 0.85}


def rows(**names: str) -> list[dict[str, Any]]:
    """Runs of three schedules at three LRs, as some program logged them; `names` are its words."""
    draw = random.Random(0)
    words = {"schedule": "schedule", "lr": "lr", "seed": "seed", "metric": "val_accuracy", **names}
    table: list[dict[str, Any]] = []
    for schedule, best in TRUTH.items():
        for lr in (0.1, 0.2, 0.4):
            for seed in range(5):
                value = best - 0.02 * abs(lr - 0.2) + draw.gauss(0, 0.004)
                said = {"schedule": schedule, "lr": lr, "seed": seed, "metric": value}
                table.append({words[name]: one for name, one in said.items()})
    return table


def write(table: list[dict[str, Any]], file: str) -> str:
    with Path(file).open("w", newline="") as opened:
        writer = csv.DictWriter(opened, table[0].keys(), delimiter="\t" if file.endswith("tsv") else ",")
        writer.writeheader()
        writer.writerows(table)
    return file


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"schedule": "lr_scheduler_type", "lr": "learning_rate", "metric": "eval_accuracy"},
        {"schedule": "params.scheduler", "lr": "params.lr", "seed": "params.seed", "metric": "metrics.val_acc"},
        {"schedule": "config/lr_scheduler", "lr": "config/lr", "seed": "config/seed", "metric": "eval/f1"},
    ],
)
def test_a_table_is_read_by_the_names_of_its_columns(names):
    found = lrlab.compare(rows(**names))
    assert found.verdict("cosine", "constant") == "better"
    assert found.verdict("constant", "step") == "worse"
    assert [*found.to_frame()["schedule"]] == ["cosine", "step", "constant"]
    assert [*found.to_frame()["lr"]] == [0.2, 0.2, 0.2]


def test_a_table_is_judged_as_lrlabs_own_runs_are(tmp_path):
    table = rows()
    values: dict[str, dict[float, list[float]]] = {}
    for row in table:
        values.setdefault(row["schedule"], {}).setdefault(row["lr"], []).append(row["val_accuracy"])
    write_sweep(tmp_path / "own", values)
    own = compare_results(find([tmp_path / "own"])).contests[0]
    foreign = lrlab.compare(table).comparison.contests[0]
    for one, other in zip(own.pairs, foreign.pairs, strict=True):
        assert (one.name, one.other, one.verdict) == (other.name, other.other, other.verdict)
        assert float(one.difference.low) == pytest.approx(float(other.difference.low), abs=2e-3)  # these are counts


def test_every_form_of_a_table_says_the_same():
    table = rows()
    columns = {name: [row[name] for row in table] for name in table[0]}
    sentences = lrlab.compare(table).sentences
    assert lrlab.compare(columns).sentences == sentences
    assert lrlab.compare(write(table, "runs.csv")).sentences == sentences
    assert lrlab.compare(write(table, "runs.tsv")).sentences == sentences
    pandas = pytest.importorskip("pandas")
    assert lrlab.compare(pandas.DataFrame(table)).sentences == sentences


def test_a_row_a_step_is_a_history_whose_last_value_counts():
    table = []
    for row in rows():
        for step in (30, 10, 20):
            value = row["val_accuracy"] - (30 - step) / 100
            table.append({**row, "step": step, "val_accuracy": value})
    found = lrlab.compare(table)
    assert found.sentences == lrlab.compare(rows()).sentences
    assert len(found.runs[0].history) == 3


def test_lower_is_better_for_losses_and_is_said_for_others():
    table = [{**row, "val_accuracy": 1 - row["val_accuracy"]} for row in rows()]
    losses = [{**row, "val_loss": row["val_accuracy"]} for row in table]
    for row in losses:
        del row["val_accuracy"]
    assert lrlab.compare(losses).verdict("cosine", "constant") == "better"
    wobble = [
        {"schedule": row["schedule"], "lr": row["lr"], "seed": row["seed"], "wobble": row["val_loss"]} for row in losses
    ]
    with pytest.raises(ValueError, match='do: better="higher"'):
        lrlab.compare(wobble, metric="wobble")
    assert lrlab.compare(wobble, metric="wobble", better="lower").verdict("cosine", "constant") == "better"


def test_a_schedules_name_may_be_without_what_was_added_to_it():
    longer = {"cosine": "cosine (a loop)", "step": "constant and then cosine", "constant": "constant"}
    found = lrlab.compare([{**row, "schedule": longer[row["schedule"]]} for row in rows()])
    assert found.verdict("cosine", "constant") == found.verdict("cosine (a loop)", "constant") == "better"
    with pytest.raises(ValueError, match=r"'constant and' and 'cosine'; allowed: constant, constant and then"):
        found.verdict("constant and", "cosine")


def test_a_run_without_a_finite_metric_has_failed():
    table = rows()
    table[0]["val_accuracy"] = float("nan")
    found = lrlab.compare(table)
    assert any("1 of 5 runs at LR 0.1 failed" in line for line in found.warnings)
    table[1] |= {"state": "crashed"}
    assert any("2 of 5 runs at LR 0.1 failed" in line for line in lrlab.compare(table).warnings)


def test_what_a_table_does_not_say_is_said():
    said = "\n".join(lrlab.compare(rows()).warnings)
    for unknown in (
        "planned LR",
        "which images or texts",
        "versions and devices",
        "seeds that judge",
        "which runs failed",
    ):
        assert unknown in said
    without = [{name: value for name, value in row.items() if name not in ("seed", "lr")} for row in rows()]
    found = lrlab.compare(without)
    said = "\n".join(found.warnings)
    assert "has no seeds" in said
    assert "has no LR" in said
    assert [*found.to_frame()["seeds"]] == [15, 15, 15]
    assert "exploratory" in repr(found)
    assert [*found.to_frame()["lr"]] == [None, None, None]
    assert re.search(r"cosine +- +15 ", repr(found))
    assert "base LR only" not in said  # nobody knows


def test_a_table_without_lrs_makes_no_lr_up(enter):
    of_one_lr = [row for row in rows() if row["lr"] == 0.2]
    without = [{name: value for name, value in row.items() if name != "lr"} for row in of_one_lr]
    states = ["crashed", *["finished"] * (len(without) - 1)]
    found = lrlab.compare([{**row, "state": state} for row, state in zip(without, states, strict=True)])
    assert any(re.search(r": 1 of 5 runs failed; ", line) for line in found.warnings), found.warnings
    page = found.write("report").read_text()
    assert "<td>-</td>" in page
    done = enter(command.main, write(without, "table.csv"), "compare.json=found.json")
    assert done.code == 0, done.err
    [contest] = json.loads(Path("found.json").read_text())["contests"]
    assert [one["lr"] for one in contest["candidates"]] == [None, None, None]
    assert [[lr["lr"] for lr in one["lrs"]] for one in contest["candidates"]] == [[None], [None], [None]]


@pytest.mark.slow
@pytest.mark.parametrize("lrs", [(0.2,), (0.1, 0.2, 0.4)], ids=str)
def test_a_row_without_an_lr_is_left_out_and_counts_as_no_lr(lrs):
    table = [row for row in rows() if row["lr"] in lrs]
    table[0] |= {"lr": None}
    found = lrlab.compare(table)
    said = repr(found)
    assert "left out: table: row 1 (without an LR)" in said
    assert "did not finish yet" not in said
    assert " 0," not in said
    assert min(found.to_frame()["lr"]) == 0.2


def test_tensorboard_folders_of_other_programs_are_read(enter):
    for number, row in enumerate(rows()):
        with SummaryWriter(f"logs/{number}") as writer:
            writer.add_hparams(
                {"scheduler": row["schedule"], "lr": row["lr"], "seed": row["seed"]}, {"hp/none": 0.0}, run_name="."
            )
            for step in range(3):
                writer.add_scalar("eval/accuracy", row["val_accuracy"] - 0.1 * (2 - step), step)
                writer.add_scalar("train/loss", 1.0, step)
    found = lrlab.compare("logs", metric="eval/accuracy")
    assert found.verdict("cosine", "constant") == "better"
    done = enter(command.main, "logs", "compare.metric=eval/accuracy")
    assert done.code == 0
    assert "cosine looks better than constant" in done.out
    named = [Path(f"logs/{number}") for number in range(45)]
    for path, row in zip(named, rows(), strict=True):
        path.rename(f"logs/scheduler={row['schedule']},lr={row['lr']},seed={row['seed']}")
    assert lrlab.compare("logs", metric="eval/accuracy").sentences == found.sentences


@pytest.mark.slow
def test_the_command_reads_a_table_and_writes_a_page(enter, tmp_path):
    write(rows(schedule="how", metric="score"), "runs.csv")
    done = enter(command.main, "runs.csv", "compare.schedule=how", "compare.json=found.json")
    assert done.code == 0, done.err
    assert "cosine looks better than constant by" in done.out
    assert "lrlab study" not in done.out
    assert (tmp_path / "outputs" / "compare" / "runs" / "report.html").is_file()
    again = lrlab.compare("runs.csv", schedule="how").write("page")
    page = again.read_text()
    assert "cosine" in page
    assert "Learning curves" not in page  # a table with one value a run has none
    assert "median number of epochs" not in page
    assert "<svg" in lrlab.compare([row for row in rows() if row["lr"] == 0.1])._repr_html_()  # the means


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([], "columns of which none is called like a schedule"),
        (["compare.schedule=hw"], "did you mean how?"),
        (["compare.schedule=how", "compare.metric=scores"], "did you mean score?"),
        (["compare.schedule=how", "compare.metric=quality"], "do: compare.metric=score"),
        (["compare.schedule=how", "compare.better=up"], "do: compare.better="),
        (["compare.schedule=how", "compare.metric=score", "compare.seed=score"], "allowed: whole numbers"),
    ],
)
def test_a_mistake_about_columns_is_one_line(enter, typed, said):
    write(rows(schedule="how", metric="score"), "runs.csv")
    done = enter(command.main, "runs.csv", *typed)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert said in done.err


def test_columns_of_folders_of_runs_are_refused(enter, tmp_path):
    write_sweep(tmp_path / "own", {"cosine": {0.1: [0.9, 0.91, 0.92]}})
    done = enter(command.main, "own", "compare.lr=lr")
    assert (done.code, "compare.lr: got lr, for folders of runs" in done.err) == (1, True)
    done = enter(command.main, "own", "compare.metric=foo")
    assert (done.code, "compare.metric: got 'foo'" in done.err) == (1, True)


@pytest.mark.parametrize("what", [[], [{}], [3], "nowhere", {"a": [1], "b": [1, 2]}, [[{"a": 1}], [{"a": 1}]]])
def test_what_is_no_table_is_a_value_error(what):
    with pytest.raises(ValueError, match="do: "):
        lrlab.compare(*what) if isinstance(what, list) and len(what) > 1 else lrlab.compare(what)


def test_a_notebook_shows_tables_sentences_and_curves():
    shown = lrlab.compare(rows())._repr_html_()
    assert "cosine looks better than constant" in shown
    assert "<table>" in shown
    assert "<svg" in shown


# What was found wrong, each with the right value.


def of_steps(values: dict[str, list[Any]], **more: Any) -> list[dict[str, Any]]:
    """A row a step, three seeds of each schedule."""
    table = []
    for schedule, series in values.items():
        for seed in range(3):
            for epoch, value in enumerate(series):
                shown = value + 0.001 * seed if isinstance(value, float) else value
                table.append({"schedule": schedule, "lr": 0.1, "seed": seed, "epoch": epoch, "val_loss": shown, **more})
    return table


@pytest.mark.parametrize("last", ["nan", "inf", float("inf")])
def test_a_run_whose_last_value_is_not_finite_has_diverged(last):
    found = lrlab.compare(of_steps({"a": [0.1, 0.1, last], "b": [0.3, 0.3, 0.3]}))
    assert "a" in "".join(found.warnings)
    assert [*found.to_frame()["schedule"]] == ["b"]


def test_a_metric_means_the_same_whatever_is_compared_afterwards():
    table = [{**row, "val_acc": row["val_accuracy"]} for row in rows()]
    shares = lrlab.compare(table, metric="val_acc")
    said = repr(shares)
    percent = lrlab.compare([{**row, "val_acc": 100 * row["val_acc"]} for row in table], metric="val_acc")
    turned = lrlab.compare(table, metric="val_acc", better="lower")
    assert repr(shares) == said
    assert "5.00 points" in said
    assert "5.0035" in "".join(percent.sentences)
    assert turned.verdict("cosine", "constant") == "worse"


def test_an_accuracy_in_percent_is_a_number_and_better_is_heeded():
    table = [{**row, "val_accuracy": 100 * row["val_accuracy"]} for row in rows()]
    assert "points" not in "".join(lrlab.compare(table).sentences)
    assert lrlab.compare(rows(), better="lower").verdict("cosine", "constant") == "worse"
    written = [{**row, "val_accuracy": f"{row['val_accuracy']:.2f}%"} for row in table]
    assert lrlab.compare(written).verdict("cosine", "constant") == "better"


@pytest.mark.parametrize(
    ("name", "way"), [("mape", "lower"), ("brier_score", "lower"), ("eval/f1", "higher"), ("acc1", "higher")]
)
def test_the_words_of_a_name_tell_which_way_is_better_and_it_is_said(name, way):
    found = lrlab.compare(rows(metric=name))
    assert any(f"{way} is taken for better" in line for line in found.warnings)
    assert found.verdict("cosine", "constant") == ("better" if way == "higher" else "worse")


def test_steps_of_one_run_are_no_seeds():
    table = [
        {"schedule": s, "lr": 0.1, "epoch": e, "val_loss": 2 - 0.1 * e + (s == "b")} for s in "ab" for e in range(9)
    ]
    assert [*lrlab.compare(table).to_frame()["seeds"]] == [1, 1]


def test_a_column_of_last_epochs_makes_no_run_of_several():
    names = ("schedule", "lr", "val_accuracy")
    table = [{**{name: row[name] for name in names}, "epoch": 3} for row in rows()]
    assert [*lrlab.compare(table).to_frame()["seeds"]] == [5, 5, 5]


@pytest.mark.parametrize("named", [False, True])
def test_an_lr_that_falls_within_a_run_is_no_base_lr(named):
    table = []
    for schedule, base in (("a", 0.1), ("b", 0.3)):
        for seed in range(3):
            for epoch in range(5):
                name = {"run": f"{schedule}{seed}"} if named else {}
                lr = base * (1 - epoch / 5)
                loss = 1 + 0.1 * (schedule == "b") + 0.01 * seed
                table.append({**name, "schedule": schedule, "lr": lr, "seed": seed, "epoch": epoch, "val_loss": loss})
    assert [*lrlab.compare(table).to_frame()["lr"]] == [0.1, 0.3]


def test_runs_that_cannot_be_told_apart_are_refused_in_any_order():
    table = [{**row, "model": "small"} for row in rows()] + [
        {**row, "model": "big", "val_accuracy": 0.1} for row in rows()
    ]
    for order in (table, table[::-1]):
        with pytest.raises(ValueError, match="which differ in val_accuracy, model"):
            lrlab.compare(order)
    assert lrlab.compare(rows() + rows()).sentences == lrlab.compare(rows()).sentences


def test_budgets_that_differ_are_named():
    table = of_steps({"full": [0.3, 0.2, 0.1], "short": [0.3, 0.2]})
    found = lrlab.compare(table)
    assert any("end at 2 different steps, from 1 to 2" in line for line in found.warnings)
    assert "epoch" not in repr(found).splitlines()[0]


def test_a_run_without_an_lr_is_left_out_and_named():
    table = rows()
    table[0]["lr"] = ""
    found = lrlab.compare(table)
    assert [*found.left_out.values()] == ["without an LR"]


def test_semicolons_and_decimal_commas_are_read():
    table = rows()
    lines = [";".join(table[0]), *(";".join(str(value).replace(".", ",") for value in row.values()) for row in table)]
    Path("excel.csv").write_text("\n".join(lines))
    assert lrlab.compare("excel.csv").sentences == lrlab.compare(table).sentences


def test_the_lr_in_force_of_tensorboard_is_no_base_lr():
    for row in rows():
        with SummaryWriter(f"logs/scheduler={row['schedule']},lr={row['lr']},seed={row['seed']}") as writer:
            for step in range(3):
                writer.add_scalar("lr", row["lr"] / (step + 1), step)
                writer.add_scalar("val/accuracy", row["val_accuracy"], step)
    assert [*lrlab.compare("logs", metric="val/accuracy").to_frame()["lr"]] == [0.2, 0.2, 0.2]


def test_a_file_that_is_not_there_is_said_so(enter):
    done = enter(command.main, "nope.csv")
    assert "nope.csv, which does not exist; allowed: folders of runs, tables" in done.err


def test_one_of_two_metrics_can_be_chosen_also_where_it_is_the_default(enter):
    write([{**row, "val_loss": 1.0} for row in rows()], "two.csv")
    assert enter(command.main, "two.csv", "compare.metric=val_accuracy").code == 0
