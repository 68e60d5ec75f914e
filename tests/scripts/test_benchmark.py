"""The benchmark measures, writes what it measured, goes on from there, and says what is wrong."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmark.py"
CELL = r"LPV all-pole, forward: M = 2, B = 1,"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not module.Peers().modules:
        pytest.skip("no peer is installed")
    return module


@pytest.fixture
def run(benchmark, tmp_path):
    def run(*options: str, file: str = "cpu.md") -> int:
        return benchmark.main(["--quick", "--budget", "0.001", "--write", str(tmp_path / file), *options])

    return run


def test_it_writes_a_cell_as_markdown_csv_and_picture_and_resumes(run, benchmark, tmp_path, capsys):
    pytest.importorskip("torchlpc", reason="torchlpc is not installed")
    assert run("--only", CELL) == 0
    text = (tmp_path / "cpu.md").read_text()
    assert "| M = 2, B = 1, T = 48000, float32 |" in text
    assert "the whole grid:" in text
    assert "(cpu.png)" in text
    assert 1000 < (tmp_path / "cpu.png").stat().st_size < 150_000
    first = benchmark.read_csv(tmp_path / "cpu.csv")
    assert {"torchlpc"} <= {row.peer for row in first}
    assert all(row.ours > 0 and row.theirs > 0 and row.ratio > 0 and row.floor > 0 for row in first)

    wider = CELL.replace("M = 2", "M = [12]")
    assert run("--only", wider, "--resume", str(tmp_path / "cpu.csv"), file="more.md") == 0
    both = benchmark.read_csv(tmp_path / "more.csv")
    assert both[: len(first)] == first
    assert {row.order for row in both[len(first) :]} == {1}


def test_what_was_measured_before_ctrl_c_is_kept(run, benchmark, tmp_path, monkeypatch, capsys):
    measured, *others = benchmark.filter_cases(quick=True)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark, "all_cases", lambda quick: [measured, *others])
    monkeypatch.setattr(type(measured), "run", lambda case, *_: interrupted() if case is others[0] else ([ROW], []))
    ROW = benchmark.Row("g", "l", 1, 1, 1, "float32", "forward", "ns/sample", 1.0, "", math.nan, math.nan, math.nan)
    assert run() == 130
    assert "interrupted" in capsys.readouterr().out
    assert [row.case for row in benchmark.read_csv(tmp_path / "cpu.csv")] == [ROW.case]


def test_the_grid_is_whole_and_names_what_it_skips(benchmark):
    grid = [case for case in benchmark.filter_cases(quick=False) if "all-pole, " in case.group]
    assert len(grid) == 2 * 4 * 3 * 3 * 2 * 2
    assert len({case.name for case in grid}) == len(grid)
    skipped = {(case.cell.order, case.cell.batch, case.cell.length) for case in grid if case.skipped}
    assert skipped == {(22, 64, 480_000)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fast",), "unrecognized arguments: --fast"),
        (("--only", "no such filter"), "no case's name contains"),
        (("--only", "("), "no regular expression"),
        (("--budget", "-1"), "positive number of seconds"),
        (("--write", "cpu.txt"), "ends in .md"),
        (("--resume", "no such file.csv"), "cannot go on"),
        (("--resume", str(SCRIPT)), "its columns must be"),
    ],
)
def test_wrong_options_are_named_with_exit_2(benchmark, options, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(options)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_without_peers_it_ends_with_exit_2(benchmark, monkeypatch, capsys):
    class Nobody:
        modules, missing = {}, {}

    monkeypatch.setattr(benchmark, "Peers", Nobody)
    with pytest.raises(SystemExit) as stopped:
        benchmark.main([])
    assert stopped.value.code == 2
    assert "none of the peers is installed" in capsys.readouterr().err


def test_a_peer_that_differs_is_not_timed(benchmark):
    from scripts.benchmarking.peers import Peers

    class Wrong(Peers):
        def __init__(self):
            self.modules, self.missing = {}, {}

        def moving_allpole(self, order):
            return {"wrong": lambda x, a: 1.1 * x}

    case = next(case for case in benchmark.filter_cases(quick=True) if "B = 1," in case.name)
    rows, notes = case.run(Wrong(), benchmark.Machine(), 0.001)
    assert [row.peer for row in rows] == [""]
    assert "differ from ours" in notes[0]


def test_the_mean_is_that_of_the_best_peers_ratios(benchmark):
    from scripts.benchmarking.results import below_the_bar, best, geometric_means

    def row(order: int, peer: str, theirs: float):
        group = "LTI all-pole, forward"
        return benchmark.Row(group, f"M = {order}", order, 1, 1, "", "", "", 1.0, peer, theirs, theirs, 0.5)

    rows = [row(1, "slow", 9.0), row(1, "fast", 2.0), row(2, "fast", 8.0)]
    assert [(it.peer, it.theirs) for it in best(rows)] == [("fast", 2.0), ("fast", 8.0)]
    (_, count, mean), whole = geometric_means(rows)
    assert (count, mean) == (2, pytest.approx(4.0))
    assert whole[1:] == (2, pytest.approx(4.0))
    assert [it.order for it in below_the_bar(rows)] == [1]
