"""What runs have in common is trained once, and every run is what it would have been alone, to the last bit."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import composed, job, slow_but
from sweeps_compared import CNN, HERE, SMALL, require_equal, shared_updates, sweep

from lrlab.config.prepare import Prepared, equip, prepare_typed
from lrlab.errors import UserError
from lrlab.lr.controls import Controls
from lrlab.lr.horizon import Horizon
from lrlab.lr.plan import Plan
from lrlab.runs import beginning, checkpoint, records, tracking
from lrlab.runs.assemble import build_state
from lrlab.runs.led import Led, would_use
from lrlab.sweeps import shared
from lrlab.sweeps.job import Job, Seen
from lrlab.sweeps.plan import Planned
from lrlab.training.state import TrainState


def require_the_same_alone(command: Callable[..., Any], *typed: str) -> list[int]:
    """The updates that runs did not train themselves, from few to many, where all are what they are alone."""
    runs = sweep(command, *typed, name="together", share=True)
    alone = sweep(command, *typed, name="alone", share=False)
    require_equal(runs, alone)
    assert shared_updates(alone) == [0] * len(alone)
    return sorted(shared_updates(runs))


WSD = ("scheduler=wsd", "trainer.epochs=4", "scheduler.lr_lambda.decay=15%,35%")


QUICK = {f"torch.optim.{name}" for name in ("SGD",)}  # the others are tried in the long trials


@pytest.mark.parametrize(
    "optimizer",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in sorted(beginning.OPTIMIZERS)],
)
def test_with_every_optimizer_whose_runs_share_one_that_parts_from_another_is_what_it_is_alone(command, optimizer):
    groups = {"Lion": "lion", "Muon": "muon"}
    name = optimizer.rpartition(".")[2]
    typed = (f"optimizer={groups.get(name, name.lower())}", "optimizer.lr=0.002", *WSD)
    if name == "SGD":
        typed += ("optimizer.nesterov=true",)
    assert require_the_same_alone(command, *typed) == [0, 66]


CASES = [
    (("scheduler=constant", "trainer.epochs=3,5", "trainer.eval_every=3"), [0, 74]),
    ((*WSD, "trainer.average=ema", "trainer.monitor=average_val_loss"), [0, 66]),
]
MORE_CASES = [
    (("scheduler=step", "scheduler.step_size=2,3,4", "trainer.epochs=5"), [0, 50, 75]),
    (
        ("scheduler=wsd", "scheduler.lr_lambda.warmup=10st", "scheduler.lr_lambda.decay=30st", "trainer.epochs=4,5,6"),
        [0, 71, 96],
    ),
    (("scheduler=constant", "trainer.steps=60,95"), [0, 59]),
    ((*WSD, "trainer.monitor=val_accuracy", "trainer.eval_every=2"), [0, 66]),
    ((*WSD, "trainer.average=lawa", "trainer.average_every=7st"), [0, 66]),
    ((*WSD, "trainer.clip_grad_norm=0.5", "trainer.accumulate=2"), [0, 66]),
    ((*WSD, "trainer.stop_early=3ep"), [0, 66]),
    ((*WSD, "trainer.precision=bf16"), [0, 66]),
    (("scheduler=onecycle,cosine", "trainer.epochs=4"), [0, 0]),
    (("scheduler=plateau,constant,greedy", "trainer.epochs=4"), [0, 75, 75]),
    ((*WSD, "optimizer=adamw", "optimizer.groups={head:{params:[head.*],lr_scale:0.5}}"), [0, 66]),
]


@pytest.mark.parametrize(
    ("typed", "updates"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE_CASES)],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_shared_changes_nothing(command, typed, updates):
    assert require_the_same_alone(command, *typed) == updates


@pytest.mark.slow
def test_a_run_trains_for_those_that_follow_a_metric_until_they_part_from_it(command):
    typed = ("scheduler=plateau", "scheduler.patience=0,1,2", "trainer.epochs=6")
    shared_with_first = require_the_same_alone(command, *typed)
    assert shared_with_first[0] == 0
    assert all(updates >= 50 and updates % 25 == 0 for updates in shared_with_first[1:])


def made_for_leading(*typed: str) -> Prepared:
    return equip(prepare_typed(composed(*SMALL, *CNN, *typed), [*SMALL, *CNN, *typed]).checked)


def leading(folder: Path, *typed: str, of: Sequence[str]) -> Led:
    """What the run with the settings `typed` trains for another one, at its start."""
    prepared = made_for_leading("trainer.epochs=4", *typed)
    state = build_state(prepared)
    led = Led(prepared, state.model, state.optimizer, {folder: made_for_leading("trainer.epochs=4", *of).checked})
    led.begin()
    return led


@pytest.mark.parametrize(
    ("typed", "of"),
    [
        (("scheduler=constant", "optimizer.lr=0.01"), ("scheduler=plateau",)),
        (("scheduler=cosine", "scheduler.interval=step"), ("scheduler=plateau",)),
        (("scheduler=constant", "optimizer.momentum=0.8"), ("scheduler=plateau",)),
        (("scheduler=constant",), ("scheduler=plateau", "trainer.epochs=1")),
    ],
)
def test_who_uses_other_values_from_the_start_or_has_only_one_epoch_is_not_led(tmp_path, typed, of):
    led = leading(tmp_path, *typed, of=of)
    assert led.take_apart() == [tmp_path]
    led.see(25, {"train": {"loss": 1.0}, "val": {"loss": 1.0}})
    assert led.take() == []


def test_who_is_led_parts_where_its_lr_changes_or_before_the_last_epoch(tmp_path):
    plateau = ("scheduler=plateau", "scheduler.patience=0")
    for losses, parts in (([3.0, 3.0], [False, True]), ([3.0, 2.0, 1.0], [False, False, True])):
        led = leading(tmp_path, "scheduler=constant", of=plateau)
        for number, (loss, does) in enumerate(zip(losses, parts, strict=True), start=1):
            led.see(25 * number, {"train": {"loss": 1.0}, "val": {"loss": loss}})
            assert led.take() == [tmp_path] * does


def test_a_leader_that_was_not_seen_in_every_epoch_leads_nobody_any_more(tmp_path):
    """As one that was killed, began anew with its own fork, and was killed again."""
    led = leading(tmp_path, "scheduler=constant", of=("scheduler=plateau",))
    epochs = [{"train": {"loss": 1.0}, "val": {"loss": 3.0 - number}} for number in range(3)]
    for number, measured in enumerate(epochs[:2], start=1):
        led.see(25 * number, measured)
    used = list(led.used)
    prepared = made_for_leading("scheduler=plateau", "trainer.epochs=4")
    model = build_state(prepared).model
    assert would_use(prepared, model, used, epochs[:2])
    assert not would_use(prepared, model, used, epochs)
    assert not would_use(prepared, model, used[:2], epochs[:2])
    for known, seen, apart in ((used, epochs[:2], []), (used, epochs[:1], []), (used, epochs, [tmp_path])):
        again = leading(tmp_path, "scheduler=constant", of=("scheduler=plateau",))
        again.used = []
        again.replay(known, seen)
        assert again.take_apart() == apart
        assert bool(again.followers) is not bool(apart)


@pytest.mark.slow
def test_runs_that_stop_early_where_their_leader_does_begin_at_its_end(command):
    typed = ("scheduler=plateau", "scheduler.patience=7,8", "trainer.epochs=10", "trainer.stop_early=2ep")
    shared_with_first = require_the_same_alone(command, *typed)
    assert shared_with_first[0] == 0
    assert shared_with_first[1] >= 50


@pytest.mark.slow
def test_what_was_measured_otherwise_is_no_beginning_of_a_run_that_is_led(command, monkeypatch):
    """The leader says what it used, and the other one whether it would have used the same."""
    see = Led.see
    train = {"loss": 1.0}
    monkeypatch.setattr(Led, "see", lambda led, step, _, **__: see(led, step, {"train": train, "val": {"loss": -step}}))
    typed = ("scheduler=plateau", "scheduler.patience=1,0", "trainer.epochs=6")
    assert require_the_same_alone(command, *typed) == [0, 0]


@pytest.mark.slow
def test_runs_that_differ_in_more_than_their_schedules_share_nothing(command):
    runs = sweep(command, *WSD[:2], "seed=0,1", "optimizer.weight_decay=0,0.01", name="apart", share=True)
    assert shared_updates(runs) == [0] * 4


@pytest.mark.slow
def test_runs_at_two_base_lrs_share_what_their_schedules_make_equal(command):
    typed = ("scheduler=constant", "optimizer.lr=0.02,0.04", "trainer.epochs=3", "scheduler.factor=0.5,1")
    typed += ("scheduler.total_iters=100%",)
    assert require_the_same_alone(command, *typed) == [0, 0, 0, 74]


@pytest.mark.slow
def test_points_are_thinned_as_every_run_thins_them(command, monkeypatch):
    """As of 8,000 updates every one is recorded, of 12,000 every second, of 25,000 every third."""
    monkeypatch.setattr(tracking, "MOST_POINTS", tracking.MOST_POINTS // 10)
    tiny = ("data.train_images=200", "data.batch_size=1", "model=linear", "data.image_size=4")
    typed = (*tiny, "scheduler=constant", "trainer.steps=800,1200,2500", "trainer.eval_every=1")
    assert require_the_same_alone(command, *typed) == [0, 799, 1_199]


@pytest.mark.slow
def test_what_is_to_be_trained_is_said_before_it_is(command):
    runs = sweep(command, *WSD, name="it", share=True)
    outcome = command("-m", *SMALL, *CNN, *HERE, *WSD, "sweep=it", "hydra.launcher.share=true")
    assert len(runs) == 2
    assert "to do      2 runs, 134 of 200 updates (the rest is shared) at most" in outcome.out


@pytest.mark.slow
def test_added_runs_begin_with_what_an_earlier_start_has_left(command):
    sweep(command, *WSD, name="it", share=True)
    more = (*WSD[:2], "scheduler.lr_lambda.decay=15%,20%,35%")
    assert shared_updates(sweep(command, *more, name="it", share=True))[1] == 66
    require_equal(sweep(command, *more, name="it", share=True), sweep(command, *more, name="alone", share=False))


@pytest.mark.slow
def test_a_beginning_that_other_threads_computed_or_that_is_damaged_is_trained_again(command):
    runs = sweep(command, *WSD, name="it", share=True)
    place = next(iter(runs.values())).parent / shared.FOLDER
    (file,) = place.glob("66-*.pt")
    for number, hurt in enumerate([_of_other_threads, _cut_short], start=1):
        hurt(file)
        added = sweep(command, *WSD[:2], f"scheduler.lr_lambda.decay=15%,{20 + number}%,35%", name="it", share=True)
        name = next(one for one in added if f"{20 + number}pct" in one)
        assert shared_updates({name: added[name]}) == [0]
        for folder in added.values():
            if folder not in runs.values():
                shutil.rmtree(folder)


# What is not alike.

OWN_NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, num_classes, input_shape, class_token=False, scale=5.0):
        super().__init__(nn.Flatten(), nn.Linear(64, num_classes))
"""
OF_GROUPS = {"head": {"params": ["head.*"]}, "first": {"params": ["backbone.0.*"], "weight_decay": 0.1}}


def text_of(*typed: str, **changed: Any) -> str | None:
    """By which runs are told apart that share nothing, after parts of the checked config are `changed`."""
    overrides = [*SMALL, *CNN, *typed]
    checked = prepare_typed(composed(*overrides), overrides).checked
    config = {
        name: {**node, **changed.get(name, {})} if name in changed else node for name, node in checked.config.items()
    }
    return beginning.alike(replace(checked, config=config))


def test_runs_are_alike_that_differ_in_schedule_and_length_alone():
    assert text_of("scheduler=cosine", "trainer.epochs=3", "optimizer.lr=0.3") == text_of("scheduler=step")
    assert text_of("trainer.steps=90") == text_of("trainer.epochs=3") != text_of("trainer.epochs=3", "seed=1")
    assert text_of("trainer.average=ema", "trainer.epochs=3") != text_of("trainer.average=ema", "trainer.epochs=4")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"model": {"class_token": True}}, {"model": {"class_token": False}}),  # looks like a secret
        ({"model": {"scale": None}}, {}),
        ({"model": {"dropout": 1}}, {"model": {"dropout": 1.0}}),
        ({"optimizer": {"groups": OF_GROUPS}}, {"optimizer": {"groups": dict(reversed(OF_GROUPS.items()))}}),
    ],
    ids=["secret", "null", "kind of number", "order of groups"],
)
def test_runs_are_told_apart_where_resume_would_not(one, other):
    assert text_of(**one) != text_of(**other)


@pytest.mark.parametrize(
    "changed",
    [
        {"model": {"_target_": "mine.Net"}},
        {"model": {"_target_": "torch.hub.load"}},
        {"model": {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "mine.Net"}]}},
        {"data": {"_target_": "mine.data"}},
        {"task": {"loss": {"_target_": "mine.Loss"}}},
        {"scheduler": {"lr_lambda": {"_target_": "mine.curve"}}},
        {"scheduler": {"max_momentum": [0.95, 0.5]}},
        {"optimizer": {"_target_": "mine.SGD"}},
        {"optimizer": {"_target_": "torch.optim.LBFGS"}},
    ],
    ids=str,
)
def test_code_of_the_users_and_what_the_plan_does_not_know_share_nothing(changed):
    assert text_of(**changed) is None


def test_a_model_of_ones_own_is_trained_whole_in_every_run(command):
    Path("mine.py").write_text(OWN_NET)
    runs = sweep(command, *WSD, "model._target_=mine.Net", name=".", share=True)
    assert shared_updates(runs) == [0, 0]


def test_runs_of_the_same_name_in_two_folders_record_apart(tmp_path):
    prepared = equip(prepare_typed(composed(*SMALL, *CNN), [*SMALL, *CNN]).checked)
    sharing = beginning.Sharing(tmp_path / shared.FOLDER, "salt")
    files = {
        beginning.Recorder(sharing, prepared, build_state(prepared), tmp_path / name / "run").own_file
        for name in ("one", "other")
    }
    assert len(files) == 2


@pytest.mark.slow
@pytest.mark.parametrize("what", ["a file", "no room"])
def test_what_cannot_be_left_is_trained_by_every_run(command, monkeypatch, what):
    place = Path("it/outputs/sweeps/it")
    place.mkdir(parents=True)
    if what == "a file":
        (place / shared.FOLDER).touch()
    else:
        monkeypatch.setattr(beginning, "_CHECKPOINTS_OF_A_RUN", 10**12)
    runs = sweep(command, *WSD, name="it", share=True)
    assert shared_updates(runs) == [0, 0]
    require_equal(runs, sweep(command, *WSD, name="alone", share=False))


def _of_other_threads(file: Path) -> None:
    contents = checkpoint.load(file)
    checkpoint.save(file, {**contents, "computed_by": {**contents["computed_by"], "device": "cpu (2 threads)"}})


def _cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


# The harness would notice.


def without_random_state(monkeypatch: pytest.MonkeyPatch) -> None:
    _taking(monkeypatch, lambda trained, own: {**trained, "random": own["random"]})


def without_momentum(monkeypatch: pytest.MonkeyPatch) -> None:
    _taking(monkeypatch, lambda trained, _: {**trained, "optimizer": {**trained["optimizer"], "state": {}}})


def with_the_trunks_initial_lr(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(trained: dict[str, Any], _: Any) -> dict[str, Any]:
        groups = [{**group, "initial_lr": 2 * group["initial_lr"]} for group in trained["optimizer"]["param_groups"]]
        return {**trained, "optimizer": {**trained["optimizer"], "param_groups": groups}}

    _taking(monkeypatch, change)


def with_the_trunks_count_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(trained: dict[str, Any], _: Any) -> dict[str, Any]:
        return {**trained, "scheduler": {**trained["scheduler"], "last_epoch": trained["scheduler"]["last_epoch"] - 1}}

    _taking(monkeypatch, change)


def without_the_audits_count(monkeypatch: pytest.MonkeyPatch) -> None:
    original = records.Records.play_back

    def play_back(this: Any, given: Any) -> None:
        original(this, given)
        this.audit.updates = 0

    monkeypatch.setattr(records.Records, "play_back", play_back)


def without_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    load = beginning._load
    monkeypatch.setattr(beginning, "_load", lambda *given: replace(load(*given), best=None))


def one_update_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared is known to be the same for one update more than it is."""
    honest = Controls.shared_with
    monkeypatch.setattr(Controls, "shared_with", lambda one, other: honest(one, other) + 1)
    monkeypatch.setattr(
        Controls, "digests", lambda _, counts, salt: {count: f"{count:032x}" for count in counts if salt}
    )


def _taking(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any, Any], Any]) -> None:
    """What a run takes over is changed before it is loaded."""
    load = TrainState.load_state_dict

    def changed(this: TrainState, state: dict[str, Any]) -> None:
        load(this, change(state, this.state_dict()))

    monkeypatch.setattr(TrainState, "load_state_dict", changed)


@pytest.mark.parametrize(
    "broken",
    slow_but(
        [
            without_random_state,
            without_momentum,
            with_the_trunks_initial_lr,
            with_the_trunks_count_of_steps,
            without_the_audits_count,
            without_the_best,
            one_update_too_many,
        ],
        without_momentum,
        one_update_too_many,
    ),
    ids=lambda broken: broken.__name__,
)
def test_a_fault_in_what_is_shared_would_be_noticed(command, monkeypatch, broken):
    late = "scheduler.lr_lambda.decay=5%,10%"  # the best epoch comes before
    typed = (*WSD[:2], late, "optimizer=sgd", "optimizer.momentum=0.9", "optimizer.lr=0.05")
    alone = sweep(command, *typed, name="alone", share=False)
    broken(monkeypatch)
    with pytest.raises((AssertionError, UserError)):
        require_equal(sweep(command, *typed, name="together", share=True), alone)


# The tree, and its order.


def made_up(*lrs: Sequence[float]) -> list[Job]:
    """Runs whose updates have these LRs, and which may share them."""
    jobs = []
    for number, values in enumerate(lrs):
        plan = Plan(Horizon(1, len(values)), "step", {"lr": tuple(values)})
        one = job(f"run{number}", Path("sweep") / f"run{number}", {"optimizer": {"_target_": "torch.optim.SGD"}})
        jobs.append(replace(one, checked=replace(one.checked, plan=plan)))
    return jobs


def share(jobs: list[Job], folder: Path) -> list[Job]:
    return shared.share(Planned(folder, jobs, finished=[], begun=[])).jobs


@given(st.lists(st.lists(st.sampled_from([0.1, 0.2]), min_size=1, max_size=8), min_size=1, max_size=12))
def test_no_update_that_runs_have_in_common_is_trained_twice_but_the_last_of_each(lrs):
    jobs = made_up(*lrs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared, "FEWEST", 1)
        found = share(jobs, Path("sweep"))
    different = {tuple(one[:count]) for one in lrs for count in range(1, len(one))}
    assert sum(map(len, lrs)) - shared.saved_updates(found) == len(different) + len(lrs)

    # A run begins where its trunk trains by itself, and has the same controls until then.
    by_name = {one.name: (one, values) for one, values in zip(found, lrs, strict=True)}
    for one, values in by_name.values():
        if one.sharing is not None and one.sharing.trunk:
            trunk, theirs = by_name[one.sharing.trunk]
            begins_at = one.sharing.begins_at
            assert theirs[:begins_at] == values[:begins_at]
            assert begins_at in trunk.sharing.forks
            assert trunk.sharing.begins_at < begins_at < len(theirs)


def test_a_run_that_begins_with_what_is_kept_is_no_trunk_for_updates_before_that(tmp_path):
    jobs = made_up([0.1] * 100 + [0.2] * 20, [0.1] * 60 + [0.3] * 20, [0.1] * 60 + [0.4] * 20)
    sharing = beginning.Sharing(tmp_path / shared.FOLDER, shared.salt(jobs[0].checked))
    (file,) = sharing.files(Controls.of(jobs[0].checked.plan), [100]).values()
    file.parent.mkdir()
    file.touch()
    found = share(jobs, tmp_path)
    assert [one.sharing.begins_at for one in found] == [100, 0, 60]
    assert found[2].sharing.trunk == "run1"


@given(st.lists(st.lists(st.sampled_from([0.1, 0.2, 0.0, -0.0]), min_size=1, max_size=9), min_size=2, max_size=2))
def test_two_runs_share_as_many_updates_as_are_equal_and_have_the_same_digest_until_then(lrs):
    one, other = (Controls.of(Plan(Horizon(1, len(values)), "step", {"lr": tuple(values)})) for values in lrs)
    equal = [repr(a) == repr(b) for a, b in zip(*lrs, strict=False)]
    common = equal.index(False) if False in equal else len(equal)
    assert one.shared_with(other) == other.shared_with(one) == common
    counts = range(min(map(len, lrs)) + 1)
    alike = [one.digests(counts, "")[count] == other.digests([count], "")[count] for count in counts]
    assert alike == [count <= common for count in counts]
    assert one.digests([0], "") != one.digests([0], "other")


def test_runs_of_two_intervals_are_compared_update_by_update():
    by_epoch = Controls.of(Plan(Horizon(3, 4), "epoch", {"lr": (0.1, 0.1, 0.05)}))
    assert len(by_epoch.starts) == 2  # however many updates an epoch has
    by_step = Controls.of(Plan(Horizon(3, 4), "step", {"lr": (0.1,) * 10 + (0.05,) * 2}))
    assert by_epoch.shared_with(by_step) == by_step.shared_with(by_epoch) == 8
    assert by_epoch.digests([8], "")[8] == by_step.digests([3, 8, 20], "")[8]
    assert by_epoch.digests([9], "")[9] != by_step.digests([9], "")[9]
    assert set(by_step.digests([3, 20], "")) == {3}


@given(
    st.lists(st.lists(st.sampled_from([0.1, 0.2]), min_size=2, max_size=8), min_size=1, max_size=15), st.integers(1, 4)
)
def test_every_run_is_handed_out_once_and_none_before_its_trunk_has_left_its_beginning(lrs, places):
    """Simulated: in every round each run under way makes one update."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as place:
        patch.setattr(shared, "FEWEST", 1)
        patch.setattr(shared, "_SECONDS_BETWEEN_LOOKS", 0)
        jobs = share(made_up(*lrs), Path(place))
        (Path(place) / shared.FOLDER).mkdir()
        order, rounds = shared.Order(jobs), [0]
        under_way: dict[str, int] = {}
        by_name = {one.name: one for one in jobs}
        done: list[str] = []

        def none_now() -> bool:
            """`next` waits for what this thread has to simulate."""
            rounds[0] += 1
            return rounds[0] > 2

        while len(done) < len(jobs):
            rounds[0] = 0
            while len(under_way) < places and (one := order.next(none_now)) is not None:
                begins_at = one.sharing.begins_at if one.sharing is not None else 0
                if one.sharing is not None and one.sharing.trunk:
                    assert one.sharing.beginning.exists()
                assert one.name not in {*under_way, *done}
                under_way[one.name], rounds[0] = begins_at, 0
            assert under_way
            for name in [*under_way]:
                under_way[name] += 1
                one = by_name[name]
                for other in (other.sharing for other in jobs if other.sharing is not None):
                    if (other.trunk, other.begins_at) == (name, under_way[name]):
                        assert under_way[name] in one.sharing.forks
                        other.beginning.touch()
                if under_way[name] >= one.updates:
                    del under_way[name]
                    done.append(name)
                    order.ended(one)


def test_a_run_whose_trunk_fails_or_has_passed_it_does_not_wait(tmp_path):
    jobs = share(made_up([0.1] * 100, [0.1] * 60 + [0.2] * 40, [0.1] * 80 + [0.3] * 20), tmp_path)
    trunk = next(one for one in jobs if one.sharing.forks and not one.sharing.begins_at)
    order = shared.Order(jobs)
    assert order.next() == trunk
    assert order.next(iter([False, True]).__next__) is None
    order.seen(trunk, Seen(61, 0.1))  # it was begun by an earlier start, and recorded nothing
    second = order.next()
    assert second.sharing.begins_at == 60
    order.ended(trunk)
    assert order.next() is not None
    assert order.next() is None


def test_the_longest_comes_first_but_for_those_that_others_wait_for(tmp_path):
    lengths = (20, 60, 40, 60)
    alone = made_up(*([0.1 + index / 100] * length for index, length in enumerate(lengths)))
    order, handed_out = shared.Order(alone), []
    while (one := order.next()) is not None:
        handed_out.append(alone.index(one))
    assert handed_out == [1, 3, 2, 0]

    # A trunk is shorter than a run that nobody waits for, and comes before it.
    found = share(made_up([0.1] * 300, [0.2] * 200, [0.2] * 150 + [0.3] * 40), tmp_path)
    order = shared.Order(found)
    assert order.next().sharing.forks
    assert order.next() == found[0]


@pytest.mark.slow
def test_ten_thousand_runs_are_planned():
    starts = [(lr / 1_000, start) for lr in range(1, 101) for start in range(60, 160)]
    jobs = made_up(*([lr] * start + [lr / 2] * (200 - start) for lr, start in starts))
    found = share(jobs, Path("sweep"))
    assert shared.saved_updates(found) == 100 * sum(range(60, 159))  # the longest of each LR trains all of its trunk
    order, handed_out = shared.Order(found), 0
    while (one := order.next()) is not None:
        handed_out += 1
        order.ended(one)
    assert handed_out == 10_000
