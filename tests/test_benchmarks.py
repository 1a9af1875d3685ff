"""What the benchmarks share is right, and every one of them starts."""

import importlib
import json
import platform
import sys
from types import SimpleNamespace

import pytest
from support import DATASETS, ROOT, needs_datasets

from benchmarks import __main__ as command
from benchmarks import docs, gpu, recipes, timing, training
from benchmarks.timing import Missing, Table, compare, rows


def quiet(_: str) -> None:
    pass


def test_a_row_holds_the_median_and_its_spread():
    (row,) = rows({"a": [{"s": 3.0}, {"s": 1.0}, {"s": 2.0}]}, base="a")
    assert (row["s"], row["lowest"], row["highest"]) == (2.0, 1.0, 3.0)


def test_ratios_are_taken_within_a_repeat():
    found = rows({"base": [{"s": 1.0}, {"s": 10.0}, {"s": 4.0}], "own": [{"s": 2.0}, {"s": 20.0}, {"s": 4.0}]}, "base")
    assert (found[1]["ratio"], found[1]["ratio_lowest"], found[1]["ratio_highest"]) == (2.0, 1.0, 2.0)
    assert found[0]["ratio"] == 1.0


def test_further_columns_are_medians_and_are_not_compared():
    row = rows({"a": [{"s": 1.0, "MB": 5.0}, {"s": 1.0, "MB": 9.0}, {"s": 1.0, "MB": 6.0}]}, "a")[0]
    assert row["MB"] == 6.0
    assert row["ratio"] == 1.0


def test_repeats_are_interleaved():
    order = []
    cases = {name: lambda name=name: order.append(name) or {"s": 1.0} for name in "abc"}
    compare("", cases, base="a", repeats=2, say=quiet)
    assert order == list("abcabc")


def test_a_missing_peer_leaves_its_row_out_and_says_why():
    asked = []

    def peer() -> timing.Measured:
        asked.append(1)
        raise Missing("peer is not installed")

    table = compare("", {"own": lambda: {"s": 1.0}, "peer": peer}, base="own", repeats=3, say=quiet)
    assert [row["name"] for row in table.rows] == ["own"]
    assert table.left_out == {"peer": "peer is not installed"}
    assert len(asked) == 1


def test_a_missing_base_leaves_ratios_out():
    def base() -> timing.Measured:
        raise Missing("not here")

    table = compare("", {"base": base, "own": lambda: {"s": 1.0}}, base="base", repeats=2, say=quiet)
    assert "ratio" not in table.rows[0]
    assert timing.cells(table)[1] == ["own", "1", "1 to 1", ""]


def test_the_report_names_the_processor_and_no_place_person_or_host(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "FOLDER", tmp_path)
    monkeypatch.setattr(timing, "ROOT", tmp_path)
    options = timing.parser("x", "", repeats=3).parse_args([])
    timing.report("x", [Table("t", "a", rows({"a": [{"s": 1.0}]}, "a"))], options, timing.machine())
    written = (tmp_path / "x.json").read_text()
    contents = json.loads(written)
    assert contents["machine"]["processor"]
    assert contents["machine"]["versions"]["torch"]
    assert contents["repeats"] == 3
    assert not [text for text in _texts(contents) if text.startswith(("/", "~")) or text == platform.node()]
    assert str(ROOT) not in written
    assert str(tmp_path) not in written
    assert "written: x.json" in capsys.readouterr().out


def _texts(node):
    if isinstance(node, dict):
        return [text for value in node.values() for text in _texts(value)]
    if isinstance(node, list):
        return [text for value in node for text in _texts(value)]
    return [node] if isinstance(node, str) else []


def test_a_quick_trial_is_kept_apart(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "FOLDER", tmp_path)
    monkeypatch.setattr(timing, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "FOLDER", tmp_path)
    options = timing.parser("x", "", repeats=3).parse_args(["--quick"])
    timing.report("x", [], options, {})
    assert [path.name for path in tmp_path.iterdir()] == ["x.quick.json"]
    assert docs.results() == {}
    capsys.readouterr()


def test_the_page_has_a_place_for_every_benchmark_and_its_tables_are_those_of_the_files():
    pages = [page.read_text() for page in docs.PAGES]
    places = [match["name"] for page in pages for match in docs._PLACE.finditer(page)]
    assert list(dict.fromkeys(places)) == list(command.NAMES)
    assert [docs.filled(page, docs.results()) for page in pages] == pages


def test_a_table_of_the_page_is_written_between_its_markers_and_written_again_the_same():
    table = {"title": "T", "base": "a", "rows": rows({"a": [{"s": 1.5}]}, "a"), "left_out": {"b": "absent"}}
    machine = {"processor": "P", "cores": 2, "gpus": [], "versions": {"torch": "2"}}
    measured = {"x": {"repeats": 3, "machine": machine, "tables": [table]}}
    page = docs.filled("before\n<!-- table x -->\nold\n<!-- end -->\nafter\n", measured)
    assert "| a | 1.5 | 1.5 to 1.5 | 1 (1 to 1) |" in page
    assert "Left out: b: absent." in page
    assert "old" not in page
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert docs.filled(page, measured) == page


@needs_datasets
def test_lrlab_and_the_bare_loop_do_the_same_work():
    from benchmarks import loops

    task = {"model": "mlp", "root": str(DATASETS), "images": 1_000, "epochs": 4}
    bare, ours = (loops.training(way=way, **task) for way in (training.BASE, training.OURS))
    assert ours["loss at the end"] == pytest.approx(bare["loss at the end"], rel=1e-4)


def test_the_ways_that_are_asked_for_are_those_there_are():
    from benchmarks import loops

    assert list(loops.WAYS) == list(training.WAYS)


def test_training_stops_where_lrlab_did_other_work():
    def table(loss: float) -> Table:
        losses = {training.BASE: 0.3, training.OURS: loss}
        return Table("t", training.BASE, [{"name": name, "loss at the end": loss} for name, loss in losses.items()])

    training.require_same_work(table(0.3001))
    with pytest.raises(SystemExit, match=r"lrlab's loss is 0\.4"):
        training.require_same_work(table(0.4))


def test_time_in_which_two_kernels_run_counts_once():
    from torch.autograd import DeviceType

    def event(start: float, end: float, device: DeviceType = DeviceType.CUDA) -> SimpleNamespace:
        return SimpleNamespace(time_range=SimpleNamespace(start=start, end=end), device_type=device)

    events = [event(0, 2e6), event(1e6, 3e6), event(5e6, 6e6), event(0, 9e6, DeviceType.CPU)]
    assert gpu.busy_seconds(SimpleNamespace(events=lambda: events)) == pytest.approx(4.0)


@pytest.mark.parametrize("name", [*command.NAMES, "docs"])
def test_every_benchmark_says_what_it_measures(name, capsys):
    with pytest.raises(SystemExit) as leaving:
        importlib.import_module(f"benchmarks.{name}").main(["--help"])
    assert leaving.value.code == 0
    assert f"python -m benchmarks {name}" in capsys.readouterr().out


def test_a_published_difference_is_set_beside_ours_at_the_best_lr_of_each():
    one, other = recipes.SIDE_BY_SIDE[0]
    runs = []
    measured = ((one, "0.1", (0.99, 0.991, 0.992)), (one, "0.5", (0.5,) * 3), (other, "1.0", (0.979, 0.98, 0.981)))
    for name, lr, accuracies in measured:
        runs += [{"recipe": name, "lr": lr, "accuracy": value, "seconds": 60} for value in accuracies]
    [row] = recipes.side_by_side(runs).rows
    assert (row["found, points"], row["seeds"]) == ("+1.10", "3 and 3")
    low, high = map(float, row["95% interval"].split(" to "))
    assert 0 < low < 1.1 < high
    few = recipes.side_by_side([run for run in runs if run["accuracy"] != 0.99])
    assert few.rows == []
    assert few.left_out[f"{one} less {other}"] == "too few seeds"


def test_an_unknown_benchmark_is_one_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "trainig"])
    with pytest.raises(SystemExit, match="got 'trainig'; allowed: training, "):
        command.main()
