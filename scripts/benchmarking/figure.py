"""The results as a picture: the cost of a sample against the length, the batch and the order."""

from __future__ import annotations

from pathlib import Path

from scripts.benchmarking.results import Row, best

TYPICAL = {"length": 48_000, "batch": 8, "order": 2}  # what stands still while another one moves
AXES = {"length": "T, samples", "batch": "B, signals", "order": "M, order"}
TITLE = "Time-varying all-pole filters, float32"
COLOURS = {"forward": "#0072b2", "forward + backward": "#d55e00"}


def draw(rows: list[Row], file: Path) -> bool:
    """Time-varying all-pole filters in float32, ours and the best peer; False where no panel has any."""
    rows = [row for row in best(rows) if row.group.startswith("LPV all-pole") and row.dtype == "float32"]
    if not any(shown_in(rows, moving) for moving in AXES):
        return False
    import matplotlib.figure

    # The paper is white in light and dark viewers alike: what is drawn on it stays readable.
    figure = matplotlib.figure.Figure((11, 3.8), layout="constrained", facecolor="white")
    panels = figure.subplots(1, 3, sharey=True)
    for panel, moving in zip(panels, AXES, strict=True):
        draw_panel(panel, rows, moving)
    panels[0].set_ylabel("ns a sample")
    figure.legend(*legend_of(panels), loc="outside upper center", ncols=4, frameon=False, title=TITLE)
    figure.savefig(file, dpi=110)
    return True


def draw_panel(panel, rows: list[Row], moving: str) -> None:
    chosen = shown_in(rows, moving)
    for direction, colour in COLOURS.items():
        line = sorted((row for row in chosen if row.direction == direction), key=lambda row: getattr(row, moving))
        at = [getattr(row, moving) for row in line]
        panel.plot(at, [row.ours for row in line], "o-", color=colour, label=f"ours, {direction}")
        panel.plot(at, [row.theirs for row in line], "s--", color=colour, alpha=0.7, label=f"best peer, {direction}")
    panel.set(xlabel=AXES[moving], xscale="log" if chosen else "linear", yscale="log")
    ticks = sorted({getattr(row, moving) for row in chosen})
    panel.set_xticks(ticks, [f"{tick:,}".replace(",", " ") for tick in ticks])
    panel.minorticks_off()
    panel.yaxis.set_major_formatter("{x:g}")
    panel.set_title(", ".join(f"{AXES[name][0]} = {value}" for name, value in still_in(moving).items()), fontsize=10)
    panel.grid(alpha=0.3)


def still_in(moving: str) -> dict[str, int]:
    return {name: value for name, value in TYPICAL.items() if name != moving}


def shown_in(rows: list[Row], moving: str) -> list[Row]:
    return [row for row in rows if all(getattr(row, name) == value for name, value in still_in(moving).items())]


def legend_of(panels) -> tuple[list, list]:
    """Each line once, whichever panel has it."""
    lines = {label: line for panel in panels for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    return list(lines.values()), list(lines)
