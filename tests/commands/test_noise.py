"""`lrlab noise`: what it trains, and what it refuses before it does."""

import pytest
from fabricated import write_sweep

from lrlab.commands import noise

QUICK = ("model=linear", "trainer.epochs=1", "data.batch_size=256", "noise.seeds=2")
TABLE = {"cosine": {0.1: [0.90, 0.92, 0.91]}}


@pytest.mark.parametrize(
    ("metric", "do"),
    [("loss", "val_loss"), ("val_perplexity", "val_accuracy"), ("average_val_loss", "val_loss")],
)
def test_a_metric_that_runs_would_not_measure_is_refused_before_they_are_trained(enter, tmp_path, metric, do):
    outcome = enter(noise.main, *QUICK, f"noise.metric={metric}")
    assert outcome.code == 1
    assert f"noise.metric: got '{metric}'; allowed: " in outcome.err
    assert "perplexity" not in outcome.err.partition("allowed:")[2]
    assert not (tmp_path / "outputs").exists()
    done = enter(noise.main, *QUICK, f"noise.metric={do}")
    assert done.code == 0, done.err


def test_what_averaged_weights_measure_can_be_judged_by_where_they_are_averaged(enter):
    averaged = ("trainer.average=ema", "trainer.average_window=50%")
    outcome = enter(noise.main, *QUICK, *averaged, "noise.metric=average_val_loss")
    assert outcome.code == 0, outcome.err
    assert "average val loss" in outcome.out


def test_runs_that_are_there_are_judged_by_what_they_measured(enter, tmp_path):
    folder = write_sweep(tmp_path / "sweep", TABLE)
    for metric in ("val_perplexity", "average_val_accuracy"):
        outcome = enter(noise.main, str(folder), f"noise.metric={metric}")
        assert outcome.code == 1
        assert "do: noise.metric=" in outcome.err
        assert "average" not in outcome.err.partition("allowed:")[2]
