"""`lrlab.predict`: runs, folders and tables of any loop; schedules by name and as values."""

import numpy as np
import pytest
from support import train

import lrlab

T = 300
LRS = 0.1 * 0.5 * (1 + np.cos(np.pi * np.arange(T) / T))


def _losses(lrs):
    return 0.3 + 0.6 * (np.cumsum(lrs) / LRS.sum()) ** -0.5 * (1 + 0.5 * lrs / 0.1)


@pytest.fixture
def table():
    return {"step": list(range(T)), "lr": LRS.tolist(), "loss": _losses(LRS).tolist()}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    typed = ("model=mlp", "trainer.epochs=12", "scheduler=cosine", "scheduler.interval=step")
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(folder, *typed)
    return lrlab.Run(folder)


def test_a_table_of_any_loop_is_enough(table):
    found = lrlab.predict(table, "linear", "constant", lrlab.schedule("wsd", lr=0.1, total_steps=T, decay="40%"))
    assert [one.rank for one in found] == [1, 2, 3, 4]
    assert found[-1].name == "constant"
    assert found.refused == {"val": "it was not measured"}
    assert set(found.parameters["train"]) == {"L0", "A", "alpha", "B"}
    assert "wsd" in repr(found)
    assert "<svg" in found._repr_html_()


def test_steps_may_begin_with_0_or_1_and_columns_may_have_other_names(table):
    named = {"t": [step + 1 for step in table["step"]], "eta": table["lr"], "y": table["loss"]}
    one = lrlab.predict(table, "linear")
    other = lrlab.predict(named, "linear", step="t", learning_rate="eta", train="y")
    assert other.rows() == [{**row, "schedule": row["schedule"]} for row in one.rows()]


def test_validations_may_be_rare(table):
    val = [value if step % 20 == 19 else None for step, value in enumerate(table["loss"])]
    found = lrlab.predict({**table, "val_loss": val}, "linear")
    assert found.refused == {}
    assert found.best.losses["val"].value == pytest.approx(found.best.losses["train"].value, rel=0.05)


def test_a_csv_file_is_a_table(table, tmp_path):
    rows = zip(table["step"], table["lr"], table["loss"], strict=True)
    (tmp_path / "log.csv").write_text("step,lr,loss\n" + "".join(f"{s},{lr!r},{y!r}\n" for s, lr, y in rows))
    assert lrlab.predict(tmp_path / "log.csv", "linear").rows() == lrlab.predict(table, "linear").rows()


@pytest.mark.slow
def test_a_run_is_asked_for_schedules_by_name_and_for_ones_own(run):
    own = lrlab.schedule([0.02] * run.summary["updates"])
    found = lrlab.predict(run, "linear", own)
    names = {one.name for one in found}
    assert {"linear", "cosine"} < names
    assert len(found) == 3
    assert len(lrlab.predict(run)) > 40
    frame = found.to_frame()
    assert list(frame["rank"]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": None}, "learning_rate: got columns step, loss"),
        ({"loss": None}, "loss: got columns step, lr"),
        ({"step": None}, "step: got columns lr, loss"),
    ],
)
def test_a_table_without_a_column_that_is_needed_is_refused(table, change, message):
    kept = {name: values for name, values in table.items() if name not in change}
    with pytest.raises(ValueError, match=message):
        lrlab.predict(kept, "linear")


def test_a_schedule_that_does_not_exist_is_refused(table):
    with pytest.raises(ValueError, match="csoine"):
        lrlab.predict(table, "csoine")


def test_a_column_of_a_run_is_refused(run):
    with pytest.raises(ValueError, match="step: got 'epoch'; allowed: of a table only"):
        lrlab.predict(run, "linear", step="epoch")


def test_a_curve_that_is_no_law_is_refused_with_the_reason(table):
    table["loss"] = [7.0 - (step % 7) for step in table["step"][: T // 2]] + [100.0] * (T // 2)
    with pytest.raises(ValueError, match="training loss is not predicted: the law is"):
        lrlab.predict(table, "linear")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda step: step + 1000, "step: got trained, whose steps begin with 1,000"),
        (lambda step: step / 10, "step: got 0.1 in step; allowed: whole numbers of updates"),
        (lambda step: step // 2, "run: got several rows with step 0"),
    ],
)
def test_steps_that_are_no_updates_are_refused(table, change, message):
    with pytest.raises(ValueError, match=message):
        lrlab.predict({**table, "step": [change(step) for step in table["step"]]}, "linear")


@pytest.mark.parametrize("rest", [float("nan"), float("inf"), None], ids=str)
def test_a_loss_that_ends_in_the_middle_is_refused(table, rest):
    broken = [value if step < 200 else rest for step, value in enumerate(table["loss"])]
    with pytest.raises(ValueError, match=r"it ends after 200 of 300 updates|it is not finite"):
        lrlab.predict({**table, "loss": broken}, "linear")


def test_of_several_columns_that_may_be_the_loss_the_fullest_is_taken(table):
    rows = [{"step": s, "lr": lr, "loss": y} for s, lr, y in zip(*table.values(), strict=True)]
    summed = [*rows, {"step": T - 1, "train_loss": 0.9, "train_runtime": 12.0}]  # as transformers ends its log
    assert lrlab.predict(summed, "linear").rows() == lrlab.predict(rows, "linear").rows()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lr": "0.05"}, "lr: got '0.05'; allowed: a number above 0"),
        ({"lr": -1}, "lr: got -1"),
    ],
)
def test_a_base_lr_that_is_none_is_refused(table, given, message):
    with pytest.raises(ValueError, match=message):
        lrlab.predict(table, "linear", **given)


def test_numpys_numbers_are_base_lrs_and_parts_are_had_by_slices(table):
    found = lrlab.predict(table, "linear", lr=[np.float32(0.05), 0.1])
    assert {round(one.lr, 6) for one in found[:2]} <= {0.05, 0.1}


@pytest.mark.parametrize("what", [5, None, [], "nope.csv"], ids=repr)
def test_what_is_no_run_and_no_table_is_refused(what):
    with pytest.raises(ValueError, match=r"^what: got "):
        lrlab.predict(what, "linear")


def test_a_function_is_no_schedule_here(table):
    with pytest.raises(ValueError, match="schedules: got a function; allowed: the name of a schedule"):
        lrlab.predict(table, lambda t: 1 - t / T)


def test_the_best_shape_is_among_the_predictions_where_it_is_searched_for(table):
    found = lrlab.predict(table, "linear", "wsd", search=True)
    assert found.shape[0] == "scheduler=piecewise_linear"
    assert found.shape[1].startswith("scheduler.lr_lambda.knots=[[0,")
    by_name = {one.name: one.losses["train"].value for one in found}
    assert by_name["piecewise_linear, found"] <= 1.01 * min(by_name.values())
    assert lrlab.predict(table, "linear").shape is None


def test_gradient_norms_of_a_table_refine_the_schedule_or_a_note_says_why_not(table):
    even = lrlab.predict({**table, "grad_norm": [1.0] * T}, "linear", search=True)
    assert (even.refined is None) == any("no refinement" in note for note in even.notes)
    odd = [100.0 if step < 0.9 * T else 1.0 for step in table["step"]]
    found = lrlab.predict({**table, "norm": odd}, "linear", search=True, grad_norm="norm")
    assert found.refined is None
    assert any(note.startswith("no refinement by gradient norms is offered") for note in found.notes)
    assert lrlab.predict(table, "linear", search=True).refined is None
