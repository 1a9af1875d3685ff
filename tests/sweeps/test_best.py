"""The best runs of many have a folder of links, which TensorBoard follows and lrlab does not."""

import os
from pathlib import Path

from fabricated import write_sweep

from lrlab.comparison import contests, results
from lrlab.sweeps import best
from lrlab.sweeps.request import read_request, show_result

TABLE = {
    f"S{number:02}": {0.1: [0.5 + number / 100] * 4, 0.2: [0.4 + number / 100] * 4} for number in range(best.FEW + 5)
}


def linked(folder: Path) -> list[str]:
    place = best.link(folder, contests.compare(results.find([folder])).contests)
    assert place == folder / best.FOLDER
    return sorted(path.name for path in place.iterdir())


def test_the_first_seeds_of_the_best_schedules_at_their_best_lrs_are_linked_best_first(tmp_path):
    folder = write_sweep(tmp_path / "sweep", TABLE)
    names = linked(folder)
    assert len(names) == 3 * best.FEW
    assert names[:4] == [
        "01,scheduler=S24,lr=0.1,seed=0",
        "02,scheduler=S24,lr=0.1,seed=1",
        "03,scheduler=S24,lr=0.1,seed=2",
        "04,scheduler=S23,lr=0.1,seed=0",
    ]
    for name in names:
        assert (folder / best.FOLDER / name).resolve() == (folder / name.partition(",")[2]).resolve()


def test_the_links_are_made_anew_and_whoever_reads_the_sweep_finds_each_run_once(tmp_path):
    folder = write_sweep(tmp_path / "sweep", TABLE)
    before = [(result.name, result.folder) for result in results.find([folder])]
    assert linked(folder) == linked(folder)
    assert [(result.name, result.folder) for result in results.find([folder])] == before


def test_they_lead_to_the_runs_where_the_sweep_is_moved(tmp_path):
    folder = write_sweep(tmp_path / "sweep", TABLE)
    linked(folder)
    moved = folder.rename(tmp_path / "elsewhere")
    assert all((path / "config.yaml").is_file() for path in (moved / best.FOLDER).iterdir())


def test_where_no_links_can_be_made_there_is_no_folder(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no links here")

    folder = write_sweep(tmp_path / "sweep", {"S": {0.1: [0.5]}})
    monkeypatch.setattr(os, "symlink", refuse)
    assert best.link(folder, contests.compare(results.find([folder])).contests) is None
    assert not (folder / best.FOLDER).exists()


def test_a_sweep_of_many_ends_with_the_command_for_its_best_and_the_place_of_all(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    request = read_request(["scheduler=step,cosine", "seed=0,1", "sweep=many"])
    write_sweep(request.folder, {"step": {0.1: [0.5, 0.6]}, "cosine": {0.1: [0.7, 0.8]}})
    show_result(request)
    assert "tensorboard --logdir outputs/sweeps/many --samples_per_plugin" in capsys.readouterr().out
    monkeypatch.setattr(best, "MANY", 3)
    show_result(request)
    out = capsys.readouterr().out
    assert "every run: outputs/sweeps/many/results.csv\n" in out
    assert "LR and loss of the best side by side:\n  tensorboard --logdir outputs/sweeps/many/.best --samples" in out
    assert len(list((request.folder / best.FOLDER).iterdir())) == 4
