"""What is compared with what, which LR is a schedule's best, and what is claimed: on runs whose truth is known."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from lrlab.comparison.candidates import names_of, reached
from lrlab.comparison.claims import sentence
from lrlab.comparison.contests import compare
from lrlab.comparison.results import HistoryRow, Result
from lrlab.comparison.statistics import Interval
from lrlab.comparison.written import shown_amount, shown_difference
from lrlab.errors import UserError


def run(name: str, accuracy: float = 0.9, *, loss: float = 0.5, status: str = "finished", **settings) -> Result:
    """A run as its folder would tell it, with `scheduler`, `lr`, `seed` and other settings."""
    scheduler = settings.pop("scheduler", "step")
    known = {
        "data.name": "digits",
        "model.width": 16,
        "optimizer.lr": settings.pop("lr", 0.1),
        "scheduler._target_": scheduler,
        "seed": settings.pop("seed", 0),
        "trainer.epochs": settings.pop("epochs", 2),
        **settings,
    }
    metrics = {"val_loss": loss, "val_accuracy": accuracy, "train_loss": loss, "train_accuracy": accuracy}
    best = {"best_val_loss": loss, "best_val_accuracy": accuracy}
    choices = {"data": "digits", "model": "cnn", "optimizer": "sgd", "scheduler": scheduler}
    first = {"train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 2 * loss, "val_accuracy": accuracy / 2}
    history = [HistoryRow(0, 10, 0.1, 1.0, first), HistoryRow(1, 20, 0.05, 1.0, metrics)]
    summary = {"status": status, "seconds": 2.0, "choices": choices, **metrics, **best}
    return Result(name, Path(name), known, summary, history)


def grid(table: dict[str, dict[float, list[float]]], **settings) -> list[Result]:
    """Runs from accuracies by scheduler, LR and seed."""
    return [
        run(f"{scheduler},{lr},{seed}", value, scheduler=scheduler, lr=lr, seed=seed, **settings)
        for scheduler, by_lr in table.items()
        for lr, values in by_lr.items()
        for seed, value in enumerate(values)
    ]


def only(results, **settings):
    """The one contest of `results`."""
    [contest] = compare(results, **settings).contests
    return contest


def test_each_schedule_is_judged_at_its_own_best_lr():
    contest = only(grid({"step": {0.1: [0.8, 0.8], 0.2: [0.9, 0.9]}, "cosine": {0.1: [0.85, 0.85], 0.2: [0.5, 0.5]}}))
    assert {one.name: one.best_lr for one in contest.candidates} == {"step": 0.2, "cosine": 0.1}
    assert [one.name for one in contest.candidates] == ["step", "cosine"]
    [against] = contest.against
    assert (against.name, against.other) == ("step", "cosine")
    assert against.difference.value == pytest.approx(0.05)


def test_of_a_loss_the_lowest_is_the_best():
    results = [run(f"{lr}", lr=lr, loss=loss) for lr, loss in ((0.1, 0.5), (0.2, 0.3), (0.3, 0.4))]
    assert only(results, metric="val_loss").candidates[0].best_lr == 0.2


def test_an_lr_at_which_a_seed_diverged_cannot_win_by_its_survivors():
    results = grid({"step": {0.1: [0.80, 0.80, 0.80], 0.5: [0.95, 0.95]}})
    results.append(run("lost", status="diverged", lr=0.5, seed=2))
    contest = only(results)
    assert contest.candidates[0].best_lr == 0.1
    assert "step: 1 of 3 runs at LR 0.5 failed; it cannot be the best LR" in contest.warnings
    survivors = only([*results, run("too", status="diverged", lr=0.1, seed=3)])
    assert any("survivors" in warning for warning in survivors.warnings)


def test_a_run_that_failed_and_was_run_again_elsewhere_is_not_missing():
    results = [*grid({"step": {0.1: [0.9] * 3, 0.2: [0.5] * 3}}), run("lost", status="killed", lr=0.1, seed=2)]
    contest = only(results)
    assert contest.candidates[0].best_lr == 0.1
    assert not any("finished" in warning for warning in contest.warnings)


def test_a_run_that_was_extended_is_no_seed_of_one_planned_for_all_epochs():
    extended = run("extended", seed=1)
    extended.summary["extended_from"] = 1
    names = sorted(candidate.name for candidate in only([run("whole"), extended]).candidates)
    assert names == ["step", "step, extended from 1 epoch"]


def test_settings_that_only_happen_to_go_with_the_seed_or_the_lr_are_never_pooled():
    by_seed = [
        run(f"{gamma},{seed}", seed=seed, **{"scheduler.gamma": gamma})
        for gamma, seeds in ((0.5, (0, 1, 2)), (0.9, (3, 4, 5)))
        for seed in seeds
    ]
    assert sorted(one.name for one in only(by_seed).candidates) == ["step, gamma=0.5", "step, gamma=0.9"]
    by_lr = [run(f"{lr}", lr=lr, **{"scheduler.gamma": gamma}) for lr, gamma in ((0.1, 0.5), (0.2, 0.9))]
    assert len(only(by_lr).candidates) == 2
    noise = [run(f"{seed}", seed=seed, **{"scheduler.lr_lambda.seed": seed}) for seed in (0, 1)]
    assert [one.name for one in only(noise).candidates] == ["step"]


def test_an_lr_of_one_is_an_lr_of_one():
    comparison = compare([run("a", lr=1, seed=0), run("b", lr=1.0, seed=0), run("c", lr=1.0, seed=1)])
    assert comparison.left_out == [("b", "the same run as a")]
    assert sorted(comparison.contests[0].candidates[0].runs[1.0]) == [0, 1]


def test_losses_of_different_functions_are_named_where_they_are_compared():
    results = [run("a"), run("b", scheduler="cosine", **{"task.loss._target_": "my_pkg.FocalLoss"})]
    said = "the runs were not trained with the same task.loss, so their losses are not comparable"
    assert any(said in warning for warning in only(results, metric="val_loss").warnings)
    assert not any(said in warning for warning in only(results).warnings)
    assert not any(said in warning for warning in only([run("a"), run("c", seed=1)], metric="val_loss").warnings)


def test_runs_that_were_computed_differently_are_named():
    other = run("other", seed=1)
    other.summary["versions"] = {"torch": "2.11.0"}
    contest = only([run("a"), other])
    assert any("not all computed alike: torch 2.11.0 (1 run), unknown (1 run)" in one for one in contest.warnings)


@pytest.mark.parametrize("key", ["best_val_accuracy", "seconds", "val_loss"])
def test_a_run_that_lacks_a_number_is_left_out(key):
    odd = run("odd", seed=1)
    odd.summary[key] = None
    assert compare([run("a"), odd]).left_out == [("odd", f"its files are missing or damaged (no {key})")]


def test_an_optimizer_without_an_lr_has_the_one_it_began_with():
    odd = run("odd")
    del odd.settings["optimizer.lr"]
    assert only([odd]).candidates[0].best_lr == 0.1


def test_a_schedule_of_which_no_run_finished_is_named():
    results = [*grid({"step": {0.1: [0.8]}}), run("lost", status="failed", scheduler="wild")]
    comparison = compare(results)
    assert "wild: 0 of 1 run finished" in comparison.contests[0].warnings
    assert comparison.left_out == [("lost", "failed")]


def test_other_data_models_and_doubles_are_left_out_by_name():
    results = [
        *grid({"step": {0.1: [0.8, 0.9]}}),
        run("other", **{"data.name": "mnist", "seed": 0}),
        run("wide", **{"model.width": 32, "seed": 1}),
        run("again", 0.7, seed=0),
    ]
    comparison = compare(results)
    assert comparison.left_out == [
        ("other", "other data or model: data.name=mnist"),
        ("wide", "other data or model: model.width=32"),
        ("again", "the same run as step,0.1,0"),
    ]
    assert len(comparison.contests[0].candidates[0].best) == 2


def test_a_run_of_another_task_is_left_out_once():
    results = [*grid({"step": {0.1: [0.8, 0.9]}}), run("apart", **{"task._target_": "my_pkg.Ranking", "seed": 2})]
    assert compare(results).left_out == [("apart", "another task: task._target_=my_pkg.Ranking")]


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ("running", "not finished: it still runs, or was killed"),
        ("interrupted", "interrupted"),
        ("killed", "killed"),
    ],
)
def test_what_is_not_finished_is_left_out_with_the_reason(status, why):
    assert compare([run("a"), run("b", status=status, seed=1)]).left_out == [("b", why)]


def test_budgets_are_compared_each_by_itself():
    comparison = compare(grid({"step": {0.1: [0.8]}}, epochs=2) + grid({"cosine": {0.1: [0.9]}}, epochs=20))
    assert [contest.epochs for contest in comparison.contests] == [2, 20]
    assert [[one.name for one in contest.candidates] for contest in comparison.contests] == [["step"], ["cosine"]]


def test_runs_of_so_many_updates_are_no_runs_of_so_many_epochs():
    by_steps = {"trainer.epochs": None, "trainer.steps": 100}
    by_images = {"trainer.epochs": None, "trainer.steps": "6_400im"}
    runs = [run("a"), run("b", **by_steps), run("c", seed=1, **by_images), run("d", **{"trainer.epochs": 2.5})]
    runs[2].summary["updates"] = 100
    contests = compare(runs).contests
    assert [contest.budget.in_words for contest in contests] == ["2 epochs", "2.5 epochs", "100 updates"]
    assert [len(contest.runs) for contest in contests] == [1, 1, 2]
    assert [contest.budget.setting for contest in contests][1:] == ["trainer.epochs=2.5", "trainer.steps=100"]


def test_runs_of_a_time_budget_are_a_contest_of_their_own_unless_asked():
    in_time = {"trainer.epochs": None, "trainer.budget": "30min"}
    hours = {"trainer.epochs": None, "trainer.budget": "0.5h"}
    runs = [run("a"), run("b", **in_time), run("c", seed=1, **hours)]
    assert [contest.budget.in_words for contest in compare(runs).contests] == ["2 epochs", "30 min"]
    [together] = compare(runs, together=True).contests
    assert {one.name: len(one.best) for one in together.candidates} == {"step, epochs=2": 1, "step, budget=1800s": 2}


def test_runs_that_were_stopped_early_are_left_out_and_counted():
    early = [run(name, seed=index + 1) for index, name in enumerate("bc")]
    for one in early:
        one.summary["stopped_early"] = {"epoch": 1, "why": "val_loss has not become better for 5 epochs"}
    comparison = compare([run("a"), *early])
    assert [len(contest.runs) for contest in comparison.contests] == [1]
    assert comparison.left_out[0] == ("b", "stopped early in epoch 2: val_loss has not become better for 5 epochs")
    assert any(line.startswith("2 runs that were stopped early are left out") for line in comparison.warnings)
    assert len(only([run("a"), *early], stopped_early=True).runs) == 3


def test_a_schedule_with_other_settings_is_another_candidate_named_by_them():
    results = [
        run(f"{gamma},{seed}", seed=seed, **{"scheduler.gamma": gamma}) for gamma in (0.1, 0.5) for seed in (0, 1)
    ]
    assert sorted(one.name for one in only(results).candidates) == ["step, gamma=0.1", "step, gamma=0.5"]


def test_a_setting_that_follows_the_base_lr_makes_no_other_candidate():
    results = [run(f"{lr}", lr=lr, **{"scheduler.max_lr": 2 * lr}) for lr in (0.1, 0.2)]
    [candidate] = only(results).candidates
    assert (candidate.name, sorted(candidate.runs)) == ("step", [0.1, 0.2])


def test_warnings_name_an_edge_one_lr_few_seeds_and_unequal_grids():
    edge = only(grid({"step": {0.1: [0.8] * 3, 0.2: [0.9] * 3}, "cosine": {0.1: [0.9] * 3, 0.2: [0.8] * 3}}))
    assert any("step: its best LR 0.2 is the highest" in one and "lr=0.4)" in one for one in edge.warnings)
    assert any("cosine: its best LR 0.1 is the lowest" in one and "lr=0.05)" in one for one in edge.warnings)
    single = only(grid({"step": {0.1: [0.8] * 3}, "cosine": {0.1: [0.9] * 3}}))
    assert any("one base LR only" in one for one in single.warnings)
    few = only(grid({"step": {0.1: [0.8] * 2}, "cosine": {0.1: [0.9] * 3}}))
    assert any(one.endswith("say nothing about the noise: step") for one in few.warnings)
    unequal = only(grid({"step": {0.1: [0.8] * 3}, "cosine": {0.1: [0.9] * 3, 0.2: [0.8] * 3}}))
    assert any("not run with the same base LRs: cosine 0.1, 0.2; step 0.1" in one for one in unequal.warnings)
    table = {0.1: [0.7] * 3, 0.2: [0.9] * 3, 0.4: [0.8] * 3}
    middle = only([*grid({"a": table}), *grid({"b": table}, loss=0.4)])
    assert middle.warnings == []


def test_two_names_of_one_training_are_told():
    same = only(grid({name: {0.1: [0.7, 0.8, 0.9]} for name in ("step", "constant")}))
    assert "constant and step are the same training: the same LR and losses in every epoch" in same.warnings
    three = only(grid({name: {0.1: [0.7]} for name in ("step", "constant", "cosine")}))
    assert any(one.startswith("constant, cosine and step are the same training") for one in three.warnings)
    other = only([*grid({"step": {0.1: [0.7, 0.8]}}), run("b", 0.7, scheduler="constant", lr=0.1, seed=1, loss=0.6)])
    assert not any("same training" in one for one in other.warnings)


def test_epochs_to_a_target_count_from_one_and_say_who_never_got_there():
    contest = only([run("a", 0.9), run("b", 0.5, seed=1), run("c", 0.9, seed=2)], target=0.6)
    found = reached(contest.candidates[0], contest.target)
    assert (found.epochs.value, found.reached, found.seeds) == (2, 2, 3)
    assert reached(contest.candidates[0], 0.99).epochs.value == math.inf


CONSTANT = [0.90, 0.91, 0.90, 0.89, 0.90]


@pytest.mark.parametrize(
    ("ours", "metric", "said"),
    [
        (
            [0.92, 0.93, 0.91, 0.92, 0.92],
            "val_accuracy",
            "cosine looks better than step by 2.00 points (0.89 to 3.11), 5",
        ),
        (
            [0.88, 0.87, 0.89, 0.88, 0.88],
            "val_accuracy",
            "cosine looks worse than step by 2.00 points (0.89 to 3.11), 5",
        ),
        ([0.92, 0.93, 0.91, 0.92, 0.92], "val_loss", "cosine looks worse than step by 0.0200 (0.0097 to 0.0303), 5"),
        (
            [0.95, 0.86, 0.91, 0.87, 0.93],
            "val_accuracy",
            "cosine and step cannot be told apart: difference +0.40 points (-4.35 to 5.15), 5 seeds each",
        ),
        (
            [0.95, 0.95],
            "val_accuracy",
            "cosine and step cannot be told apart: difference +4.50 points, 2 seeds each; "
            "at least 3 seeds of each are needed to judge the noise",
        ),
        (
            [0.905, 0.912, 0.904, 0.91],
            "val_accuracy",
            "cosine and step cannot be told apart: difference +0.78 points (-0.45 to 2.00), 4 seeds each; "
            "about 5 to 782 seeds each would tell, if that is the difference",
        ),
    ],
)
def test_the_sentence_says_what_can_be_claimed(ours, metric, said):
    values = {"cosine": ours, "step": CONSTANT[: len(ours)]}
    results = [
        run(f"{name}{seed}", value, loss=value, scheduler=name, seed=seed)
        for name, several in values.items()
        for seed, value in enumerate(several)
    ]
    [pair] = only(results, metric=metric, reference="step").against
    assert sentence(pair, metric, confirmed=False) == (
        said if said.endswith(("each", "noise", "difference")) else f"{said} seeds each"
    )
    assert "looks" not in sentence(pair, metric, confirmed=True)


def test_losses_that_do_not_vary_say_nothing_of_their_noise():
    results = [
        run(f"{name}{seed}", loss=loss, scheduler=name, seed=seed)
        for name, loss in (("a", 0.5), ("b", 0.6))
        for seed in range(3)
    ]
    [pair] = only(results, metric="val_loss").against
    assert sentence(pair, "val_loss", confirmed=False).endswith("so the noise is unknown")


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UserError, match=r"got 1 run of which none is finished \(diverged\)"):
        compare([run("a", status="diverged")])
    with pytest.raises(UserError, match=r"compare\.reference: got 'cosin'; allowed: cosine, step; do: .*=cosine"):
        compare(grid({"step": {0.1: [0.8]}, "cosine": {0.1: [0.8]}}), reference="cosin")


def test_the_data_of_most_runs_is_the_one_that_is_compared():
    def on(data: str, seed: int) -> Result:
        contents = {"train": {"fingerprint": data}, "val": {"fingerprint": data}}
        one = run(f"{data}{seed}", seed=seed)
        return replace(one, summary={**one.summary, "contents": contents})

    compared = compare([on("a", 0), on("b", 1), on("b", 2), on("b", 3)])
    assert [name for name, _ in compared.left_out] == ["a0"]


def test_what_rounds_to_zero_has_no_sign():
    small = Interval(-1e-7, -0.5, -1e-9)
    assert shown_amount(small, "val_accuracy", signed=True) == "0.00 points (-50.00 to 0.00)"
    assert shown_difference(small, "val_loss") == "0.0000 (-0.5000 to 0.0000)"
    assert shown_difference(Interval(-0.02, -0.03, 0.01), "val_accuracy") == "-2.00 (-3.00 to 1.00)"


def test_settings_that_tell_candidates_apart_are_written_as_they_are_typed():
    results = []
    for index, (clip, nesterov) in enumerate(((None, True), (1.0, False))):
        one = run(f"{index}")
        settings = {**one.settings, "trainer.clip_grad_norm": clip, "optimizer.nesterov": nesterov}
        results.append(replace(one, settings=settings))
    names = set(names_of(results).values())
    assert names == {"step, nesterov=true, clip_grad_norm=null", "step, nesterov=false, clip_grad_norm=1.0"}
