"""A machine of a Ray cluster dies, and its runs go on elsewhere."""

import importlib.util
import json
import os
import threading
import time
from pathlib import Path

import pytest
from support import points, same_weights, summary, weights

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
TYPED = ("-m", "seed=0,1", "trainer.epochs=40", "model=linear", "hydra.launcher.threads=1", "checkpoint.every=20st")


@pytest.mark.parametrize(
    ("stacked", "expected"),
    [((), [0, 1]), (("seed=0,1,2,3", "trainer.stacked=eager", "hydra.launcher.stack=2"), [0, 0, 1, 1])],
    ids=["alone", "in one step"],
)
def test_the_runs_of_a_machine_that_dies_go_on_from_their_checkpoints_on_another(command, tmp_path, stacked, expected):
    """Two machines with room for one process each; one is killed while both train."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1)
    folder = tmp_path / "outputs" / "sweeps" / "ray"

    def kill_it() -> None:
        deadline = time.monotonic() + 60
        while len([*folder.glob("*/checkpoints/last.pt")]) < len(expected) and time.monotonic() < deadline:
            time.sleep(0.02)
        cluster.remove_node(node, allow_graceful=False)

    try:
        ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
        cluster.wait_for_nodes()
        killing = threading.Thread(target=kill_it)
        killing.start()
        outcome = command(*TYPED, *stacked, "sweep=ray", "hydra.launcher.executor=ray")
        killing.join()
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.count("it goes on from its last checkpoint") == sum(expected)
    restarts = [summary(path).get("restarts", 0) for path in folder.glob("seed=*")]
    assert sorted(restarts) == expected
    assert command(*TYPED, *stacked[:2], "sweep=here").code == 0
    for name in json.loads((folder / "sweep.json").read_text())["runs"]:
        here = Path("outputs/sweeps/here") / name
        assert same_weights(weights(folder / name), weights(here))
        assert points(folder / name) == points(here)
