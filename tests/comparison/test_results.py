"""Runs read back from their folders, whatever is missing; and a table that no clock decides."""

import csv
import io
import shutil

import pytest
from support import history, summary, train

from lrlab.comparison import results
from lrlab.errors import UserError

SHORT = ("trainer.epochs=2", "data.batch_size=512", "model=linear")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two runs of a sweep."""
    folder = tmp_path_factory.mktemp("sweep")
    for seed in (0, 1):
        train(folder / f"seed={seed}", *SHORT, f"seed={seed}")
    return folder


def test_a_run_is_read_back_as_its_files_say(sweep):
    first, second = results.find([sweep])
    assert (first.name, second.name, first.status) == ("seed=0", "seed=1", "finished")
    assert first.settings["optimizer.lr"] == 0.02
    assert (first.choice("model"), first.choice("scheduler")) == ("linear", "cosine")
    assert [row.measured["val_loss"] for row in first.history] == [
        float(row["val_loss"]) for row in history(sweep / "seed=0")
    ]
    assert results.differing([first, second]) == {"seed": [0, 1]}


def test_where_it_reads_and_computes_is_no_setting(sweep):
    [first, _] = results.find([sweep])
    assert not {"resume", "extend", "sweep", "trainer.device"} & set(first.settings)


def test_several_folders_are_told_apart_by_name(sweep, tmp_path):
    shutil.copytree(sweep / "seed=0", tmp_path / "single")
    names = [result.name for result in results.find([sweep, tmp_path / "single"])]
    assert len(names) == len(set(names)) == 3
    assert [name.rpartition("/")[2] for name in names].count("seed=0") == 1
    for parent in ("p", "q"):
        shutil.copytree(sweep, tmp_path / parent / "same")
    names = [result.name for result in results.find([tmp_path / "p" / "same", tmp_path / "q" / "same"])]
    assert names == ["p/same/seed=0", "p/same/seed=1", "q/same/seed=0", "q/same/seed=1"]


def test_a_folder_that_is_named_twice_is_read_once(sweep):
    assert len(results.find([sweep, sweep, sweep / "seed=0"])) == 2


def test_files_that_are_missing_or_damaged_are_empty_and_no_error(sweep, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(sweep / "seed=0", broken)
    (broken / "summary.json").write_text("{")
    (broken / "history.csv").write_bytes(b"epoch,step\n\x00\xff")
    (broken / "config.yaml").write_text("a: [")
    [result] = results.find([broken])
    assert (result.status, result.settings, result.history) == ("not run", {}, [])


def test_folders_without_runs_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"compare: got .*empty, which holds no run; allowed: folders of runs; do: "):
        results.find([tmp_path / "empty"])
    with pytest.raises(UserError, match=r"got .*nowhere, which is no folder"):
        results.find([tmp_path / "nowhere"])


def test_the_table_has_a_row_a_run_with_exact_values_and_nothing_of_the_clock(sweep):
    found = results.find([sweep])
    rows = list(csv.DictReader(io.StringIO(results.as_csv(found))))
    assert [row["run"] for row in rows] == ["seed=0", "seed=1"]
    for row in rows:
        said = summary(sweep / row["run"])
        for name in results.measured_of_runs(found):
            assert float(row[name]) == said[name]
        assert (row["status"], row["seed"], row["scheduler"]) == ("finished", row["run"][-1], "cosine")
    assert "seconds" not in rows[0]


def test_settings_that_differ_are_columns(sweep, tmp_path):
    shutil.copytree(sweep, tmp_path / "all")
    train(tmp_path / "all" / "step", *SHORT, "scheduler=step", "optimizer.weight_decay=0.1")
    rows = list(csv.DictReader(io.StringIO(results.as_csv(results.find([tmp_path / "all"])))))
    assert [row["optimizer.weight_decay"] for row in rows] == ["0.0005", "0.0005", "0.1"]
    assert [row["scheduler.gamma"] for row in rows] == ["", "", "0.5"]


def test_a_run_that_left_its_plan_is_known_by_its_folder(tmp_path):
    (tmp_path / "summary.json").write_text('{"status": "finished", "audit": {"equal": false, "updates": 3}}')
    assert results.read_result(tmp_path, "a").summary["audit"] == {"equal": False}


def test_the_place_of_data_tells_nothing_where_what_it_holds_is_known(tmp_path):
    (tmp_path / "config.yaml").write_text("data: {_target_: lrlab.data.datasets.image_folder, root: here}\n")
    (tmp_path / "summary.json").write_text('{"contents": {"train": {"fingerprint": "a"}}}')
    assert results.read_result(tmp_path, "a").settings["data.root"] == "here"
    (tmp_path / "summary.json").write_text('{"contents": {"train": {"fingerprint": "a"}, "val": {"fingerprint": "b"}}}')
    assert "data.root" not in results.read_result(tmp_path, "a").settings
