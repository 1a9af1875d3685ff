"""Advice: which runs are trained to choose a schedule and its LR, in worlds whose best choice is known."""

import math
import zlib
from itertools import chain

import numpy as np
import pytest
from support import slow_but

from lrlab.forecast import laws
from lrlab.forecast.advice import STEP, Adviser, Stage
from lrlab.forecast.evidence import Evidence, Probe, Probed
from lrlab.forecast.fit import LossCurve
from lrlab.forecast.predictions import TrainedCurves

T = 300
AT = np.arange(T) / T
SHAPES = {
    "constant": np.ones(T),
    "cosine": 0.5 * (1 + np.cos(np.pi * AT)),
    "linear": 1 - AT,
    "wsd": np.minimum(1, (1 - AT) / 0.2),
    "onecycle": np.minimum(AT / 0.3, (1 - AT) / 0.7),
    "step": 0.3 ** np.floor(AT * 4),
}
UPDATES = np.arange(10, T + 1, 10)


class World:
    """Losses by a law of the LR, as real runs have: noise of seeds, and divergence beyond an LR."""

    def __init__(self, *, noise=0.01, diverges_at=1.5, B=0.3, helps=None):
        self.noise, self.diverges_at, self.B, self.helps = noise, diverges_at, B, helps or {}

    def losses(self, probe: Probe, *, noise: float | None = None) -> np.ndarray:
        lrs = SHAPES[probe.schedule] * probe.lr
        sums, noisy = laws.BOUND.features(lrs, UPDATES)
        values = laws.BOUND.losses(np.log([0.15, 0.3, 0.8, self.B]), (sums / 20, noisy))[0]
        spread = self.noise if noise is None else noise
        off = np.random.default_rng(zlib.crc32(repr(probe).encode())).normal()
        return values * self.helps.get(probe.schedule, 1.0) * math.exp(spread * off)

    def train(self, probe: Probe) -> Probed:
        if probe.lr >= self.diverges_at:
            return Probed(probe, None)
        lrs = SHAPES[probe.schedule] * probe.lr
        curve = LossCurve.of(lrs, UPDATES, self.losses(probe))
        return Probed(probe, TrainedCurves("run", probe.schedule, probe.lr, lrs, {"val": curve}, settings="it"))

    def best(self) -> float:
        lrs = np.geomspace(1e-3, self.diverges_at * 0.999, 120)
        each = ([self.losses(Probe(name, lr), noise=0.0)[-1] for lr in lrs] for name in SHAPES)
        return min(chain.from_iterable(each))


def asked(world: World, adviser: Adviser) -> tuple[list[Probed], list[Stage]]:
    """What is trained until nothing more is to be learned."""
    done, stages = [], []
    while (stage := adviser.next(done)) is not None:
        stages.append(stage)
        done += [world.train(probe) for probe in stage.probes]
    return done, stages


def chosen(world: World, adviser: Adviser) -> float:
    """The loss, without noise, of what is advised."""
    expected = Evidence(asked(world, adviser)[0]).expected()
    return float(world.losses(Probe(expected.cell.schedule, expected.cell.lr), noise=0.0)[-1])


@pytest.mark.parametrize("B", [0.05, 0.3, 1.0], ids=["noise matters little", "some", "much"])
@pytest.mark.parametrize("first", slow_but([0.05, 0.2, 0.6], 0.2))
def test_what_is_advised_is_nearly_the_best_of_all_schedules_and_lrs(first, B):
    world = World(B=B)
    assert chosen(world, Adviser(SHAPES, first, 16)) < 1.04 * world.best()


@pytest.mark.parametrize("first", [0.002, 1.2], ids=["far below", "where most diverge"])
def test_pilots_go_on_to_where_the_lr_is_best(first):
    world = World()
    _, stages = asked(world, Adviser(SHAPES, first, 16))
    pilots = [probe.lr for stage in stages for probe in stage.probes if probe.schedule == "cosine" and not probe.seed]
    assert len(pilots) > 3
    assert chosen(world, Adviser(SHAPES, first, 16)) < 1.1 * world.best()


@pytest.mark.parametrize("runs", [3, 4, 5, 7, 11, 16, 40])
def test_no_more_runs_are_trained_than_may_be_and_none_twice(runs):
    done, stages = asked(World(noise=0.2), Adviser(SHAPES, 0.1, runs))
    probes = [one.probe for one in done]
    assert len(probes) <= runs
    assert len(set(probes)) == len(probes)
    assert all(stage.why for stage in stages)


def test_what_comes_next_is_a_function_of_what_has_ended_in_any_order():
    adviser, world = Adviser(SHAPES, 0.1, 16), World(noise=0.1)
    done, stages = asked(world, adviser)
    count = 0
    for stage in stages:
        assert adviser.next(done[:count]) == stage
        assert adviser.next(done[:count][::-1]) == stage
        count += len(stage.probes)
    assert adviser.next(done) is None


def test_a_schedule_that_is_better_than_the_law_knows_is_taken_once_it_was_tried():
    world = World(helps={"linear": 0.7})
    done, _ = asked(world, Adviser(SHAPES, 0.1, 16))
    assert Evidence(done).expected().cell.schedule == "linear"


def test_seeds_go_to_what_cannot_be_told_apart_from_the_best():
    """Where a schedule is better by far, it alone is trained again; where all are alike, several are."""
    clear, _ = asked(World(noise=0.001, helps={"linear": 0.5}), Adviser(SHAPES, 0.1, 16))
    again = {one.probe.schedule for one in clear if one.probe.seed}
    assert again <= {"linear"}
    noisy, _ = asked(World(noise=0.3), Adviser(SHAPES, 0.1, 30))
    assert len({(one.probe.schedule, one.probe.lr) for one in noisy if one.probe.seed}) > 2


@pytest.mark.slow
def test_the_interval_holds_the_mean_over_seeds_about_as_often_as_it_says():
    held = []
    for first in np.geomspace(0.05, 0.4, 30):
        world = World(noise=0.08)
        expected = Evidence(asked(world, Adviser(SHAPES, float(first), 16))[0]).expected()
        truth = world.losses(Probe(expected.cell.schedule, expected.cell.lr), noise=0.0)[-1]
        held.append(expected.interval[0] <= truth <= expected.interval[1])
    assert 0.8 < np.mean(held) < 0.99


def test_where_all_diverge_nothing_is_advised():
    adviser = Adviser(SHAPES, 10.0, 16)
    done, _ = asked(World(diverges_at=1e-9), adviser)
    assert Evidence(done).expected() is None
    pilots = [one.probe.lr for one in done]
    assert min(pilots) <= 10.0 / STEP**3 * 1.01
    assert len(pilots) < 16


def test_a_law_that_says_nothing_leaves_the_usual_schedules_to_try():
    class Strange(World):
        def losses(self, probe, *, noise=None):
            return super().losses(probe, noise=noise) * np.exp(0.8 * np.sin(np.arange(len(UPDATES))))

    _, stages = asked(Strange(), Adviser(SHAPES, 0.1, 16))
    tried = next(stage for stage in stages if "usual" in stage.why)
    assert [probe.schedule for probe in tried.probes] == ["linear", "wsd", "onecycle"]
