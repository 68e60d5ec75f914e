"""How accurate float32 is, form by form, forward and in its gradients: `python scripts/numerics.py`.

Peak equalisers (a zero beside each pole, four times as far from the unit circle) of one and three pole pairs, at radii 0.9
to 0.9999, low and mid angles, standing still and moving, are filtered in float32 and in float64: noise in, noise as the
gradient of the output. An error is the root of the difference's energy over the float64 result's; of several draws, the
geometric mean. Two references:

    arithmetic   the same form in float64, on the coefficients that float32 rounded: what the recursion itself loses
    design       biquads in series in float64, on the exact coefficients: also what rounding the coefficients costs

Writes every number to benchmarks/numerics.csv, the tables into docs/numerics.md and the plot to docs/numerics.png.
"""

from __future__ import annotations

import argparse
import csv
import functools
import importlib.util
import math
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import jvp

sys.path.insert(0, str(Path(__file__).parent.parent))

from diffapf import allpass_cascade, allpole, fir, lfilter, parallel_filter, sosfilt, state_space
from diffapf.filters.design import (
    normalised_lattice,
    poles_from_denominator,
    polynomial_product,
    reflection_from_denominator,
)
from diffapf.filters.iir import FORMS as DIRECT_FORMS
from diffapf.kernels import reference

ROOT = Path(__file__).parent.parent
RADII = (0.9, 0.99, 0.999, 0.9999)
ANGLES = {"low": 0.01, "mid": 1.0}  # radians a sample, of the lowest pair: 70 Hz and 7 kHz at 44.1 kHz
SPREAD = {"low": (1.0, 2.0, 4.0), "mid": (1.0, 1.3, 2.0)}  # of three pairs' angles
DRAWS = 2
DRAWS_OF_MODES = 8  # which differ by little
PERIOD = 2000  # samples, of the moving angles
DEPTH = 0.5  # octaves up and down
ZEROS = 4.0  # as far from the unit circle as the poles
SINGLE, DOUBLE = torch.float32, torch.float64
Coefficients = tuple[Tensor, ...]
Row = dict[str, str | float]


# ----------------------------------------------------------------------------------------------------------- the filters


@dataclass(frozen=True)
class Systems:
    """All radii, angles and draws of one order as the rows of one batch; theta holds radius and angle of each pair."""

    order: int
    moving: bool
    time: int
    draws: int = DRAWS

    @property
    def names(self) -> list[tuple[str, float]]:
        return [(angle, radius) for angle in ANGLES for radius in RADII for _ in range(self.draws)]

    @property
    def theta(self) -> Tensor:
        pairs = self.order // 2
        rows = [[(radius, ANGLES[angle] * SPREAD[angle][k]) for k in range(pairs)] for angle, radius in self.names]
        return torch.tensor(rows, dtype=DOUBLE)

    @property
    def signals(self) -> tuple[Tensor, Tensor]:
        """What goes in, and the gradient of what comes out: numbers that float32 has."""
        generator = torch.Generator().manual_seed(0)
        x, g = (torch.randn(len(self.names), self.time, generator=generator) for _ in range(2))
        return x.double(), g.double()

    def pairs(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Radii and angles `(rows, [time,] pairs)`."""
        radius, angle = theta.unbind(-1)
        if not self.moving:
            return radius, angle
        n = torch.arange(self.time, dtype=DOUBLE)[:, None]
        sweep = torch.exp2(DEPTH * torch.sin(2 * math.pi * n / PERIOD))
        return radius[:, None].expand(-1, self.time, -1), angle[:, None] * sweep


def pair(radius: Tensor, angle: Tensor) -> Tensor:
    return torch.stack([torch.ones_like(radius), -2 * radius * torch.cos(angle), radius**2], -1)


def biquads(radius: Tensor, angle: Tensor) -> Coefficients:
    return (torch.cat([pair(1 - ZEROS * (1 - radius), angle), pair(radius, angle)], -1),)


def biquads_all_pole(radius: Tensor, angle: Tensor) -> Coefficients:
    a = pair(radius, angle)
    return (torch.cat([torch.ones_like(a[..., :1]), torch.zeros_like(a[..., :2]), a], -1),)


def product(sections: Tensor) -> Tensor:
    return functools.reduce(polynomial_product, sections.unbind(-2))


def transfer_function(radius: Tensor, angle: Tensor) -> Coefficients:
    return product(pair(1 - ZEROS * (1 - radius), angle)), product(pair(radius, angle))


def denominator(radius: Tensor, angle: Tensor) -> Coefficients:
    return (product(pair(radius, angle))[..., 1:],)


def lattice(radius: Tensor, angle: Tensor) -> Coefficients:
    return normalised_lattice(reflection_from_denominator(product(pair(radius, angle))))


def sections_in_parallel(radius: Tensor, angle: Tensor) -> Coefficients:
    """Residues, poles and direct term, from the poles and zeros as they are: no polynomial is solved."""
    upper, zeros = torch.polar(radius, angle), torch.polar(1 - ZEROS * (1 - radius), angle)
    poles, zeros = (torch.cat([half, half.conj()], -1) for half in (upper, zeros))
    direct = (zeros.prod(-1, keepdim=True) / poles.prod(-1, keepdim=True)).real
    own = torch.eye(poles.shape[-1], dtype=torch.bool)
    others = torch.where(own, 1.0, 1 - poles[..., None, :] / poles[..., :, None])
    residues = (1 - zeros[..., None, :] / poles[..., :, None]).prod(-1) / others.prod(-1)
    return residues, poles, direct


@dataclass(frozen=True)
class Form:
    coefficients: Callable[[Tensor, Tensor], Coefficients]
    run: Callable[..., Tensor]
    exact: Callable[[Tensor, Tensor], Coefficients] = biquads
    orders: int = 64  # up to which it runs here


def direct(form: str) -> Form:
    return Form(transfer_function, lambda x, b, a: lfilter(b, a, x, form=form))


class Scan(torch.autograd.Function):
    """The all-pole filter by the GPU's kernel: for orders 1 and 2 a parallel scan."""

    @staticmethod
    def forward(ctx, x: Tensor, a: Tensor) -> Tensor:
        from diffapf.kernels import gpu

        ctx.timing = (0.0, 0.0) if a.dim() == 2 else None
        frames, zi, y = (
            a.reshape(len(x), -1, a.shape[-1]).contiguous(),
            x.new_zeros(len(x), a.shape[-1]),
            x.new_empty(x.shape),
        )
        gpu.allpole(x, frames, ctx.timing, zi, y)
        ctx.save_for_backward(frames, zi, y)
        ctx.shape = a.shape
        return y

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor]:
        from diffapf.kernels import gpu

        frames, zi, y = ctx.saved_tensors
        dx, da, dzi = (torch.empty_like(like) for like in (y, frames, zi))
        gpu.allpole_adjoint(g.contiguous(), frames, ctx.timing, y, zi, dx, da, dzi)
        return dx, da.reshape(ctx.shape)


CASCADE, PARALLEL = "biquads in series", "first-order in parallel"
ALL_POLE, SCANNED, LATTICE = "all-pole", "all-pole, scan", "all-pole lattice"
FORMS = {
    **{form: direct(form) for form in DIRECT_FORMS},
    CASCADE: Form(biquads, lambda x, sos: sosfilt(sos, x)),
    PARALLEL: Form(sections_in_parallel, lambda x, r, p, d: parallel_filter(r, p, x, d)),
    ALL_POLE: Form(denominator, lambda x, a: allpole(x, a), biquads_all_pole),
    SCANNED: Form(denominator, Scan.apply, biquads_all_pole, orders=2 if importlib.util.find_spec("triton") else 0),
    LATTICE: Form(lattice, lambda x, *matrices: state_space(*matrices, x), biquads_all_pole),
}


# ------------------------------------------------------------------------------------------------------------ the errors


def cast(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype.to_complex() if value.is_complex() else dtype)


@dataclass
class Results:
    """The output, and the gradients of the input, of the form's own coefficients and of the poles."""

    y: Tensor
    dx: Tensor
    coefficients: Coefficients
    poles: Tensor


def run(form: Form, systems: Systems, dtype: torch.dtype, rounded: bool = True) -> Results:
    """With the coefficients that float32 rounded, unless not `rounded`."""
    theta, (x, g) = systems.theta.requires_grad_(), systems.signals
    exact = form.coefficients(*systems.pairs(theta))
    used = tuple(cast(cast(value.detach(), SINGLE if rounded else DOUBLE), dtype).requires_grad_() for value in exact)
    x = x.to(dtype).requires_grad_()
    y = form.run(x, *used)
    dx, *own = torch.autograd.grad(y, (x, *used), g.to(dtype))
    along = [gradient.to(value.dtype) for gradient, value in zip(own, exact, strict=True)]
    (poles,) = torch.autograd.grad(exact, theta, along)
    return Results(y.detach(), dx, tuple(own), poles)


def error(found: Tensor, wanted: Tensor) -> Tensor:
    """Of each row, relative; infinite where float32 is no number."""
    found, wanted = (value.reshape(len(value), -1).to(torch.complex128) for value in (found, wanted))
    relative = (found - wanted).abs().square().sum(1).sqrt() / wanted.abs().square().sum(1).sqrt()
    return relative.nan_to_num(math.inf, math.inf)


def of_draws(errors: Tensor, draws: int) -> list[float]:
    """The geometric mean; infinite if one is."""
    return errors.reshape(-1, draws).log().mean(1).exp().tolist()


def study(systems: Systems) -> list[Row]:
    rows = []
    for name, form in FORMS.items():
        if systems.order > form.orders:
            continue
        single, double = run(form, systems, SINGLE), run(form, systems, DOUBLE)
        measures = {
            "y": error(single.y, double.y),
            "dx": error(single.dx, double.dx),
            "coefficients": torch.stack(list(map(error, single.coefficients, double.coefficients))).amax(0),
            "poles": error(single.poles, double.poles),
        }
        if not systems.moving:  # while they move, forms are different filters: there is no common one to compare with
            cascade = Form(form.exact, FORMS[CASCADE].run)
            exact = run(cascade, systems, DOUBLE, rounded=False)
            measures["y, design"] = error(single.y, exact.y)
            measures["poles, design"] = error(single.poles, exact.poles)
        rows += [
            {
                "form": name,
                "order": systems.order,
                "coefficients": "moving" if systems.moving else "fixed",
                "angle": angle,
                "radius": radius,
                "measure": measure,
                "error": value,
            }
            for measure, errors in measures.items()
            for (angle, radius), value in zip(
                systems.names[:: systems.draws], of_draws(errors, systems.draws), strict=True
            )
        ]
    return rows


# ---------------------------------------------------------------------------------------------------- modes of derivation


def reverse_gradients(form: str, x: Tensor, g: Tensor, b: Tensor, a: Tensor) -> Tensor:
    """Of b and a, `(rows, 2M+1)`: one for each sample, summed in float64, so that the sum is not what is compared."""
    b, a = (value[:, None].expand(-1, x.shape[1], -1).clone().requires_grad_() for value in (b, a))
    db, da = torch.autograd.grad(lfilter(b, a, x, form=form), (b, a), g)
    return torch.cat([db, da[..., 1:]], -1).double().sum(1)


def directions(b: Tensor, a: Tensor) -> tuple[Tensor, Tensor, int]:
    """The tangents of b and a in which one coefficient moves, as rows: all directions of the first row come first."""
    rows, taps = b.shape
    every = torch.eye(2 * taps - 1, dtype=b.dtype).repeat(rows, 1)
    moving = torch.cat([every[:, :taps], torch.zeros_like(every[:, :1]), every[:, taps:]], 1)
    return moving[:, :taps], moving[:, taps:], 2 * taps - 1


def forward_gradients(form: str, x: Tensor, g: Tensor, b: Tensor, a: Tensor) -> Tensor:
    """Tangents run through the form's own recursion, dual numbers in the place of numbers."""
    db, da, count = directions(b, a)
    x, b, a = (value.repeat_interleave(count, 0) for value in (x, b, a))
    registers = DIRECT_FORMS[form].registers * (a.shape[1] - 1)
    zi, y = x.new_zeros(len(x), registers), torch.empty_like(x)
    inner = (torch.empty_like(x),) if DIRECT_FORMS[form].keeps_w else ()
    with forward_ad.dual_level():
        b, a = forward_ad.make_dual(b, db), forward_ad.make_dual(a, da)
        kernel = getattr(reference, DIRECT_FORMS[form].kernel)
        kernel(x, b[:, None], a[:, None, 1:], (0.0, 0.0), zi, y, torch.empty_like(zi), *inner)
        tangent = forward_ad.unpack_dual(y).tangent
    return (tangent.double().unflatten(0, (-1, count)) * g.double()[:, None]).sum(-1)


def library_forward_gradients(form: str, x: Tensor, g: Tensor, b: Tensor, a: Tensor) -> Tensor:
    """By `torch.func.jvp` of `lfilter`."""
    db, da, count = directions(b, a)
    x, b, a = (value.repeat_interleave(count, 0) for value in (x, b, a))
    _, tangent = jvp(lambda b, a: lfilter(b, a, x, form=form), (b, a), (db, da))
    return (tangent.double().unflatten(0, (-1, count)) * g.double()[:, None]).sum(-1)


MODES = {
    "reverse": reverse_gradients,
    "forward, own recursion": forward_gradients,
    "forward, torch.func.jvp": library_forward_gradients,
}


def modes(order: int, time: int) -> list[Row]:
    """Errors of the gradients of b and a, the same numbers in every form and mode, while they stand still."""
    systems = Systems(order, False, time, DRAWS_OF_MODES)
    names = systems.names[:: systems.draws]
    coefficients = [value.float() for value in transfer_function(*systems.pairs(systems.theta))]
    rows = []
    for form in DIRECT_FORMS:
        for mode, gradients in MODES.items():
            single, double = (
                gradients(form, *(value.to(dtype) for value in (*systems.signals, *coefficients)))
                for dtype in (SINGLE, DOUBLE)
            )
            rows += [
                {
                    "form": form,
                    "order": order,
                    "coefficients": "fixed",
                    "angle": angle,
                    "radius": radius,
                    "measure": f"b and a, {mode}",
                    "error": value,
                }
                for (angle, radius), value in zip(names, of_draws(error(single, double), systems.draws), strict=True)
            ]
    return rows


# ------------------------------------------------------------------------------------------------------ the all-pass loop

STAGES, FEEDBACK = 4, 0.6


def allpass_expanded(x: Tensor, p: Tensor) -> Tensor:
    """Aᴷ/(1 − c₀ Aᴷ), A = (p − z⁻¹)/(1 − p z⁻¹), as one FIR and one all-pole filter, their coefficients from float64."""
    exact, one = p.double(), torch.ones_like(p).double()
    b = product(torch.stack([exact, -one], -1)[..., None, :].expand(*p.shape, STAGES, 2))
    a = product(torch.stack([one, -exact], -1)[..., None, :].expand(*p.shape, STAGES, 2)) - FEEDBACK * b
    b, a = ((value / a[..., :1]).to(x.dtype) for value in (b, a))
    return allpole(fir(x, b), a[..., 1:])


def allpass_in_stages(x: Tensor, p: Tensor) -> Tensor:
    return allpass_cascade(x, p[:, None] if p.dim() == 1 else p, STAGES, c0=FEEDBACK)


def allpasses(time: int) -> list[Row]:
    """Against the stages in float64, on the exact pole: errors of y, dx and the gradient of p."""
    generator = torch.Generator().manual_seed(1)
    x, g = (torch.randn(len(RADII), time, generator=generator).double() for _ in range(2))
    found = {}
    for name, function, dtype in (
        ("exact", allpass_in_stages, DOUBLE),
        ("all-pass stages", allpass_in_stages, SINGLE),
        ("all-passes expanded", allpass_expanded, SINGLE),
        ("all-passes expanded, float64", allpass_expanded, DOUBLE),
    ):
        signal, p = x.to(dtype).requires_grad_(), torch.tensor(RADII, dtype=DOUBLE).requires_grad_()
        y = function(signal, p if function is allpass_expanded else p.to(dtype))
        found[name] = (y.detach(), *torch.autograd.grad(y, (signal, p), g.to(dtype)))
    exact = found.pop("exact")
    return [
        {
            "form": name,
            "order": STAGES,
            "coefficients": "fixed",
            "angle": "0",
            "radius": radius,
            "measure": f"{measure}, design",
            "error": value,
        }
        for name, results in found.items()
        for measure, one, wanted in zip(("y", "dx", "p"), results, exact, strict=True)
        for radius, value in zip(
            RADII, error(one.reshape(len(RADII), -1), wanted.reshape(len(RADII), -1)).tolist(), strict=True
        )
    ]


# ------------------------------------------------------------------------------------------------------------ blowing up


def largest_outputs(time: int = 400) -> list[Row]:
    """Of a resonance that jumps at each sample between two settings, both stable: tests/filters/test_parallel.py's."""
    settings = torch.tensor([[1.0, -1.9, 0.95], [1.0, 1.9, 0.95]], dtype=DOUBLE)
    a, x = settings.repeat(time // 2, 1)[None], torch.randn(1, time, dtype=DOUBLE, generator=torch.manual_seed(0))
    poles = poles_from_denominator(a)
    outputs = {
        **{form: lfilter(torch.ones(1, dtype=DOUBLE), a, x, form=form) for form in DIRECT_FORMS},
        CASCADE: sosfilt(torch.cat([torch.tensor([1.0, 0.0, 0.0]).expand_as(a), a], -1)[:, :, None], x),
        PARALLEL: parallel_filter(torch.full_like(poles, 0.5), poles, x),
        LATTICE: state_space(*normalised_lattice(reflection_from_denominator(a)), x),
    }
    return [{"form": form, "measure": "largest output", "error": float(y.abs().max())} for form, y in outputs.items()]


# --------------------------------------------------------------------------------------------------------- what is shown


def number(value: float) -> str:
    if math.isinf(value):
        return "lost"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e") if value < 1 else "> 1" if value < 1e10 else "lost"


def pick(rows: list[Row], **wanted: str | float) -> dict[str, dict[float, float]]:
    """form → radius → error."""
    found: dict[str, dict[float, float]] = {}
    for row in rows:
        if all(row.get(key) == value for key, value in wanted.items()):
            found.setdefault(str(row["form"]), {})[float(row.get("radius", 0))] = float(row["error"])
    return found


def table(rows: list[Row], columns: list[str], selections: list[dict[str, str | float]]) -> str:
    """A line a form, a column a selection; its errors at all the radii."""
    found = [pick(rows, **selection) for selection in selections]
    lines = ["| form | " + " | ".join(columns) + " |", "| --- |" + " --: |" * len(columns)]
    for form in found[0]:
        cells = (
            " · ".join(number(column[form][radius]) for radius in RADII) if form in column else "" for column in found
        )
        lines.append(f"| {form} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


MEASURES = {"y": "y", "dx": "∂x", "coefficients": "∂coefficients", "poles": "∂poles"}


def tables(rows: list[Row]) -> dict[str, str]:
    """By the names of their places in docs/numerics.md."""
    found = {}
    for order in (2, 6):
        for kind in ("fixed", "moving"):
            for angle in ANGLES:
                at: dict[str, str | float] = {"order": order, "coefficients": kind, "angle": angle}
                choices = [{**at, "measure": measure} for measure in MEASURES]
                found[f"{order} {kind} {angle}"] = table(rows, list(MEASURES.values()), choices)
    design: list[dict[str, str | float]] = [
        {"order": order, "angle": angle, "measure": "y, design"} for order in (2, 6) for angle in ANGLES
    ]
    found["design"] = table(rows, [f"order {one['order']}, {one['angle']}" for one in design], design)
    names = {"y": "y", "dx": "∂x", "p": "∂p"}
    found["allpass"] = table(
        rows, list(names.values()), [{"measure": f"{name}, design", "angle": "0"} for name in names]
    )
    for order, angle in ((2, "low"), (6, "mid")):
        choices = [{"order": order, "angle": angle, "measure": f"b and a, {mode}"} for mode in MODES]
        found[f"modes {order}"] = table(rows, list(MODES), choices)
    lines = [f"| {form} | {values[0]:.1e} |" for form, values in pick(rows, measure="largest output").items()]
    found["blow-up"] = "\n".join(["| form | largest output |", "| --- | --: |", *lines])
    return found


def plot(rows: list[Row], path: Path) -> None:
    panels = {"y": "output", "dx": "gradient of the input", "poles": "gradient of the poles"}
    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    for line, order in enumerate((2, 6)):
        for axis, (measure, title) in zip(axes[line], panels.items(), strict=True):
            found = pick(rows, order=order, coefficients="fixed", angle="low", measure=measure)
            for form, values in found.items():
                i = list(FORMS).index(form)
                points = [min(values[radius], 10.0) for radius in RADII]
                axis.loglog(
                    [1 - radius for radius in RADII],
                    points,
                    "osv^DPX*h"[i] + "-",
                    color=f"C{i}",
                    ms=4,
                    lw=1,
                    label=form,
                )
            axis.set_title(f"{title}, order {order}", fontsize=9)
            axis.grid(alpha=0.3)
    axes[0, 0].invert_xaxis()
    for axis in axes[1]:
        axis.set_xlabel("distance of the poles from the unit circle", fontsize=8)
    figure.supylabel("relative error of float32 (10: lost)", fontsize=9)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    figure.savefig(path, dpi=80)


def write_csv(rows: list[Row], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        columns = ("form", "order", "coefficients", "angle", "radius", "measure", "error")
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "error": f"{row['error']:.3e}"} for row in rows)


def write_tables(found: dict[str, str], page: Path) -> None:
    """Between the marks `<!-- table NAME -->` and `<!-- end -->`."""
    text = page.read_text(encoding="utf-8")
    for name, lines in found.items():
        mark = rf"(<!-- table {re.escape(name)} -->\n).*?(<!-- end -->)"
        text = re.sub(mark, lambda match, lines=lines: f"{match[1]}{lines}\n{match[2]}", text, flags=re.DOTALL)
    page.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2048, help="of each signal")
    arguments = parser.parse_args()
    os.environ.setdefault("TRITON_INTERPRET", "1")  # runs the scan on the CPU, slowly, as a GPU would
    time = arguments.samples
    rows = [row for order in (2, 6) for moving in (False, True) for row in study(Systems(order, moving, time))]
    rows += [row for order in (2, 6) for row in modes(order, time)]
    rows += allpasses(time) + largest_outputs()
    found = tables(rows)
    for name, lines in found.items():
        print(f"\n{name}: relative error of float32 at radii {', '.join(map(str, RADII))}\n\n{lines}")
    write_csv(rows, ROOT / "benchmarks" / "numerics.csv")
    plot(rows, ROOT / "docs" / "numerics.png")
    page = ROOT / "docs" / "numerics.md"
    if page.exists():
        write_tables(found, page)


if __name__ == "__main__":
    main()
