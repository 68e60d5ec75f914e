"""Reproduces a paper's table: `python scripts/reproduce.py table=phaser budget=quick`.

Each cell is a job that trains one model and writes its results folder. What is there is not done again, so a table that
was stopped goes on where it stopped.

    table=phaser          a file of configs/table; compressor; acid, acid_simulated; golf; phaser_real: fits to recordings
    budget=quick|paper    how long to train; on how many windows of a recording
    recordings=FOLDER     where the recordings are (phaser_real, acid)
    cluster=local|slurm   where the jobs run: processes here, or Slurm
    jobs=1                how many at once (local)
    folder=runs/tables    where the results go
    settings=[SS-A,SS-D]  only these rows
    trainings=[TD]        only these ways to train
    write=false           whether all that is done becomes a page of benchmarks/ (acid, acid_simulated)
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from omegaconf import DictConfig, OmegaConf  # noqa: E402
from omegaconf.errors import OmegaConfBaseException  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from recipes.callbacks import progress_bar  # noqa: E402
from recipes.errors import exit_on_user_error, leave  # noqa: E402

DEFAULTS = {
    "table": None,
    "budget": "quick",
    "cluster": "local",
    "jobs": 1,
    "folder": "runs/tables",
    "settings": None,
    "trainings": None,
    "recordings": None,
    "write": False,
}

WRITTEN = ("acid", "acid_simulated")


@dataclass(frozen=True)
class Cell:
    """One training: a setting, a method or another way to train, a seed, and the folder of its results."""

    setting: str
    method: str
    seed: int
    folder: Path

    @property
    def done(self) -> bool:
        return (self.folder / "metrics.json").is_file()

    def metrics(self) -> dict[str, float]:
        return json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))


def train_cell(experiment: str, cell: Cell, overrides: list[str]) -> None:
    """Trains one cell: what `train.py` does, in a job."""
    from hydra import compose, initialize_config_dir

    from diffapf.memory import keep_freed_memory
    from recipes.experiments import carry_out

    keep_freed_memory()
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        cfg = compose(
            "train",
            [
                f"experiment={experiment}",
                "baselines=[]",
                f"run={cell.folder}",
                *overrides,
            ],
        )
    cell.folder.mkdir(parents=True, exist_ok=True)
    outcome = carry_out(cfg, cell.folder)
    if not outcome.interrupted:
        outcome.write()


def read_options(arguments: list[str]) -> DictConfig:
    options = OmegaConf.create(DEFAULTS)
    OmegaConf.set_struct(options, True)
    try:
        options.merge_with_dotlist(arguments)
    except (OmegaConfBaseException, ValueError) as error:
        leave(f"{str(error).splitlines()[0]}; the options are {', '.join(DEFAULTS)}")
    tables = sorted(path.stem for path in (ROOT / "configs" / "table").glob("*.yaml"))
    if options.table not in tables:
        leave(f"table={options.table}: there are the tables {', '.join(tables)}")
    if options.write and options.table not in WRITTEN:
        leave(f"write={options.write}: pages are written of the tables {', '.join(WRITTEN)}")
    if options.cluster not in ("local", "slurm"):
        leave(f"cluster={options.cluster}: it is local or slurm")
    return options


def settings_of(table: DictConfig, options: DictConfig, budgets: DictConfig) -> list[str]:
    settings = list(options.settings or table.settings)
    unknown = [name for name in settings if name not in table.settings]
    if unknown:
        leave(f"settings={unknown}: the table has {', '.join(table.settings)}")
    if options.budget not in budgets:
        leave(f"budget={options.budget}: there are {', '.join(budgets)}")
    return settings


def results_folder(options: DictConfig) -> Path:
    return (Path(options.folder) / options.table / options.budget).resolve()


def reproduce_fits(table: DictConfig, options: DictConfig) -> list[str]:
    """A table of fits to recordings; returns what failed, in words."""
    from scripts.recordings_table import fits_of, run_fits, show_fits

    settings = settings_of(table, options, table.windows)
    recordings = Path(options.recordings or ROOT / table.recordings)
    if not recordings.is_dir():
        leave(f"recordings={recordings}: there is no such folder; it holds the files that configs/table names")
    fits = list(fits_of(table, settings, options.budget, results_folder(options)))
    failed = run_fits(table, fits, recordings)
    show_fits(table, fits, options.table)
    return failed


def leave_with(failed: list[str], options: DictConfig) -> None:
    """Says what failed, and where the rest is."""
    for line in failed:
        print(line, file=sys.stderr)
    print(f"Results: {os.path.relpath(results_folder(options))}")
    raise SystemExit(1 if failed else 0)


def cells_of(table: DictConfig, options: DictConfig) -> list[Cell]:
    settings, root = settings_of(table, options, table.budget), results_folder(options)
    return [
        Cell(setting, method, seed, root / f"{setting}_{method.replace(' ', '_')}_seed{seed}")
        for setting in settings
        for method in chosen_trainings(table, options)
        for seed in table.budget[options.budget].seeds
    ]


def trainings_of(table: DictConfig) -> dict[str, list[str]]:
    """The ways in which each setting is trained, and their overrides: the methods, where a table says nothing else."""
    given = table.get("trainings")
    return (
        {name: list(given[name]) for name in given} if given else {name: [f"method={name}"] for name in table.methods}
    )


def chosen_trainings(table: DictConfig, options: DictConfig) -> list[str]:
    every = list(trainings_of(table))
    unknown = [name for name in options.trainings or () if name not in every]
    if unknown:
        leave(f"trainings={unknown}: the table has {', '.join(every)}")
    return list(options.trainings or every)


def overrides_of(cell: Cell, table: DictConfig, options: DictConfig) -> list[str]:
    """Of a cell: the setting's, a recording's data or what the table says; the seed, or whatever the table repeats over; the
    budget's, those of the budget for trainings of a name; the training's own."""
    content, given = table.budget[options.budget], table.get("of_setting")
    setting = list(given[cell.setting]) if given else [f"data={cell.setting}"]
    data = [f"data.path={options.recordings or ROOT / table.notes}"] if "notes" in table else []
    of_name = [entry for name in content.get("of", {}) if name in cell.method for entry in content.of[name]]
    repeated = f"{table.get('repeat', 'seed')}={cell.seed}"
    return [*data, *setting, repeated, *content.overrides, *of_name, *trainings_of(table)[cell.method]]


def run_cells(cells: list[Cell], table: DictConfig, options: DictConfig) -> list[str]:
    """Runs what is not done, a few at a time, and returns what failed, in words."""
    import submitit

    missing = [cell for cell in cells if not cell.done]
    executor = submitit.AutoExecutor(folder=Path(options.folder) / options.table / "jobs", cluster=options.cluster)
    executor.update_parameters(timeout_min=24 * 60, cpus_per_task=2)
    at_once = options.jobs if options.cluster == "local" else len(missing)
    waiting, running, failed = list(missing), {}, []
    with progress_bar() as bar:
        task = bar.add_task("Cells", total=len(cells), completed=len(cells) - len(missing), words="")
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    cell = waiting.pop(0)
                    running[executor.submit(train_cell, table.experiment, cell, overrides_of(cell, table, options))] = (
                        cell
                    )
                names = ", ".join(f"{cell.setting} {cell.method.upper()}" for cell in running.values())
                bar.update(task, words=names if len(running) < 4 else f"{len(running)} at once")
                for job in [job for job in running if job.done()]:
                    cell = running.pop(job)
                    bar.advance(task)
                    if job.exception() is not None or not cell.done:
                        failed.append(f"{cell.setting} {cell.method} seed {cell.seed} failed: see {job.paths.stderr}")
                time.sleep(0.5)
        except KeyboardInterrupt:
            for job in running:
                job.cancel()
            failed.append("stopped; the same command goes on where it stopped")
    return failed


def best_by_setting(cells: list[Cell]) -> dict[tuple[str, str], dict[str, float]]:
    """Of the seeds of a cell, the one that is best on its validation part."""
    best: dict[tuple[str, str], dict[str, float]] = {}
    for cell in cells:
        if not cell.done:
            continue
        key, metrics = (cell.setting, cell.method), cell.metrics()
        chosen = f"validation/esr_{cell.method}"
        if key not in best or metrics[chosen] < best[key][chosen]:
            best[key] = metrics
    return best


def show(table: DictConfig, cells: list[Cell], options: DictConfig) -> None:
    """The published table beside ours. Ours is on the embedded simulation, theirs on the pedal."""
    best = best_by_setting(cells)
    printed = Table(title=f"Table {options.table}, budget {options.budget}: ESR in %", title_justify="left")
    printed.add_column("setting")
    printed.add_column("")
    for method in table.methods:
        for how in ("FS", "TD"):
            printed.add_column(f"trained {method.upper()}\nrun by {how}", justify="right")
    for setting in dict.fromkeys(cell.setting for cell in cells):
        rows: dict[str, list[str]] = {"published": [], "ours": [], "ours, guitar only": []}
        for method in table.methods:
            metrics = best.get((setting, method), {})
            for i, how in enumerate(("fs", "td")):
                rows["published"].append(f"{table.published[setting][method][i]:.2f}")
                for name, part in (("ours", "paper"), ("ours, guitar only", "test")):
                    value = metrics.get(f"{part}/esr_{how}")
                    rows[name].append("" if value is None else f"{100 * value:.3g}")
        for name, values in rows.items():
            printed.add_row(setting if name == "published" else "", name, *values)
        printed.add_section()
    Console().print(printed)
    print(
        "published: the real pedal. ours: the simulated one, on the training part and the guitar after it, as published."
    )


def write_acid(table: DictConfig, options: DictConfig) -> None:
    """Records every cell that is done, whichever were chosen."""
    from scripts.acid_table import record

    of_all = OmegaConf.merge(options, {"settings": None, "trainings": None})
    done = {(c.setting, c.method, c.seed): c.metrics() for c in cells_of(table, of_all) if c.done}  # type: ignore[arg-type]
    command = f"python scripts/reproduce.py table={options.table} budget={options.budget} write=true"
    page = ROOT / "benchmarks" / f"{options.table}.md"
    page.write_text(record(table.title, command, table, done), encoding="utf-8")
    print(f"Written: {os.path.relpath(page)}")


def main() -> None:
    if any(argument in ("-h", "--help") for argument in sys.argv[1:]):
        print(__doc__)
        return
    options = read_options(sys.argv[1:])
    with exit_on_user_error():
        table = OmegaConf.load(ROOT / "configs" / "table" / f"{options.table}.yaml")
        if "recordings" in table:
            leave_with(reproduce_fits(table, options), options)  # type: ignore[arg-type]
        cells = cells_of(table, options)  # type: ignore[arg-type]
        failed = run_cells(cells, table, options)  # type: ignore[arg-type]
        every = {(cell.setting, cell.method, cell.seed): cell.metrics() for cell in cells if cell.done}
        if table.experiment == "acid":
            from scripts.acid_table import show_acid

            show_acid(table, every)  # type: ignore[arg-type]
            if options.write:
                write_acid(table, options)  # type: ignore[arg-type]
            step_seconds = table.budget[options.budget].get("step_seconds")
            if step_seconds and not failed:
                from scripts import benchmark_acid

                short = ["--quick"] if options.budget == "quick" else []
                benchmark_acid.main([*short, "--budget", str(step_seconds)])
        elif table.experiment == "golf":
            from scripts.golf_table import show_golf

            show_golf(table, every)  # type: ignore[arg-type]
        elif "trainings" in table:
            from scripts.compressor_table import show_compressors

            done = {(cell.setting, cell.method): cell.metrics() for cell in cells if cell.done}
            show_compressors(table, done, table.budget[options.budget].step_seconds)  # type: ignore[arg-type]
        else:
            show(table, cells, options)  # type: ignore[arg-type]
    leave_with(failed, options)


if __name__ == "__main__":
    main()
