"""Random malformed calls of every public operator, in a process that may crash: `python -m tests.filters.malformed_calls`.

Each call is one that works, of which one to three arguments are spoiled. It must raise ValueError or TypeError, or return
tensors. Prints each kind of other outcome once, with its seed, and ends with the number of calls made.
"""

from __future__ import annotations

import faulthandler
import itertools
import random
import sys
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

import diffapf
from diffapf.filters.design import normalised_lattice
from diffapf.filters.optical_cell import LAMPS, SLOW_STAGES
from diffapf.filters.optical_cell import NAMES as CELL_NAMES

Call = tuple[Callable[..., object], dict[str, object]]
BATCHES = ((), (1,), (2,), (2, 3), (0,))


class Calls:
    """Calls that work, and what spoils them."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.batch = self.random.choice(BATCHES)
        self.time = self.random.choice((0, 1, 5, 17))
        self.order = self.random.choice((0, 1, 2))  # each is compiled, for each dtype and layout
        self.dtype = self.random.choice((torch.float32, torch.float64))

    def normal(self, *shape: int) -> Tensor:
        return 0.1 * torch.randn(shape, generator=self.generator, dtype=self.dtype)

    def x(self) -> Tensor:
        return self.normal(*self.batch, self.time)

    def hop(self) -> object:
        return self.random.choice((None, None, 4, 2.5, diffapf.ControlRate(0.0, 0.25)))

    def coefficients(self, hop: object, *taps: int) -> Tensor:
        if hop is not None:
            return self.normal(*self.batch, self.random.choice((1, 3)), *taps)
        return self.normal(*self.random.choice(((), self.batch, (*self.batch, self.time))), *taps)

    def flag(self) -> bool:
        return self.random.random() < 0.5

    def or_none(self, value: object) -> object:
        return value if self.flag() else None

    # ---------------------------------------------------------------------------------------------- one for an operator

    def allpole(self) -> Call:
        hop, zi = self.hop(), self.normal(*self.batch, self.order)
        arguments = {"x": self.x(), "a": self.coefficients(hop, self.order), "zi": self.or_none(zi)}
        return diffapf.allpole, {**arguments, "return_zf": self.flag(), "hop": hop}

    def fir(self) -> Call:
        hop, zi = self.hop(), self.normal(*self.batch, self.order)
        arguments = {"x": self.x(), "b": self.coefficients(hop, self.order + 1), "zi": self.or_none(zi)}
        return diffapf.fir, {**arguments, "return_zf": self.flag(), "hop": hop}

    def lfilter(self) -> Call:
        hop, form = self.hop(), self.random.choice(("df1", "df2", "tdf1", "tdf2"))
        zi = self.normal(*self.batch, self.order * (1 + form.endswith("df1")))
        b, a = (self.coefficients(hop, self.order + 1) for _ in range(2))
        arguments = {"b": b, "a": a + 1, "x": self.x(), "zi": self.or_none(zi)}
        return diffapf.lfilter, {**arguments, "form": form, "return_zf": self.flag(), "hop": hop}

    def sosfilt(self) -> Call:
        hop, sections = self.hop(), self.random.choice((0, 1, 2))
        zi = self.normal(*self.batch, sections, 2)
        sos = self.coefficients(hop, sections, 6) + 1
        return diffapf.sosfilt, {
            "sos": sos,
            "x": self.x(),
            "zi": self.or_none(zi),
            "return_zf": self.flag(),
            "hop": hop,
        }

    def linear_recurrence(self) -> Call:
        hop = self.hop()
        arguments = {"a": self.coefficients(hop), "x": self.x(), "zi": self.or_none(self.normal(*self.batch))}
        return diffapf.linear_recurrence, {**arguments, "hop": hop}

    def state_space(self) -> Call:
        n = self.order
        arguments = {
            "A": self.coefficients(None, n, n),
            "B": self.coefficients(None, n),
            "C": self.coefficients(None, n),
        }
        arguments |= {"D": self.coefficients(None), "x": self.x(), "zi": self.or_none(self.normal(*self.batch, n))}
        return diffapf.state_space, {**arguments, "return_zf": self.flag()}

    def diagonal_state_space(self) -> Call:
        _, arguments = self.state_space()
        return diffapf.diagonal_state_space, {**arguments, "A": self.coefficients(None, self.order)}

    def parallel_filter(self) -> Call:
        taps = self.random.choice((0, 1, 3))
        arguments = {"residues": self.coefficients(None, self.order), "poles": self.coefficients(None, self.order)}
        direct = self.or_none(self.coefficients(None, taps))
        zi = self.normal(*self.batch, self.order + (max(taps - 1, 0) if direct is not None else 0))
        arguments |= {"x": self.x(), "direct": direct, "zi": self.or_none(zi), "return_zf": self.flag()}
        return diffapf.parallel_filter, arguments

    def modal_filter(self) -> Call:
        shape = self.random.choice(((self.order,), (*self.batch, self.order)))
        modes = {name: self.normal(*shape) for name in ("frequency", "decay", "gain")}
        zi = self.or_none(self.normal(*self.batch, self.order))
        return diffapf.modal_filter, {**modes, "x": self.x(), "zi": zi, "return_zf": self.flag()}

    def modal_impulse_response(self) -> Call:
        modes = {name: self.normal(self.order) for name in ("frequency", "decay", "gain")}
        return diffapf.modal_impulse_response, {**modes, "time": self.time}

    def ballistics(self) -> Call:
        rates = {name: self.random.choice((0.2, self.normal(*self.batch))) for name in ("attack", "release")}
        return diffapf.ballistics, {"g": self.x(), **rates, "zi": self.or_none(0.5), "return_zf": self.flag()}

    def optical_cell(self) -> Call:
        numbers = {name: self.random.choice((0.2, self.normal(*self.batch).abs())) for name in CELL_NAMES}
        kinds = {"lamp": self.random.choice(LAMPS), "slow": self.random.choice(SLOW_STAGES)}
        zi = self.or_none(self.normal(*self.batch, 2))
        return diffapf.optical_cell, {"x": self.x(), **numbers, **kinds, "zi": zi, "return_zf": self.flag()}

    def gain_curve(self) -> Call:
        numbers = {name: self.random.choice((2.0, self.normal(*self.batch))) for name in ("threshold", "ratio", "knee")}
        if self.flag():
            numbers |= {f"expander_{name}": self.random.choice((0.5, self.normal())) for name in ("threshold", "ratio")}
        unit = self.random.choice(("amplitude", "power", "dB"))
        return diffapf.gain_curve, {"level": self.x(), **numbers, "unit": unit, "decibels": self.flag()}

    def apply_gain(self) -> Call:
        numbers = {name: self.random.choice((0.5, self.normal(*self.batch))) for name in ("dry", "wet")}
        return diffapf.apply_gain, {"x": self.x(), "gain": self.x(), **numbers, "decibels": self.flag()}

    def comb(self) -> Call:
        delay = self.random.choice((1, 3, 40))
        alpha = self.random.choice((0.5, self.normal(*self.batch), self.x()))
        zi = self.or_none(self.normal(*self.batch, delay))
        return diffapf.comb, {"x": self.x(), "alpha": alpha, "delay": delay, "zi": zi, "return_zf": self.flag()}

    def delay_network(self) -> Call:
        lines, inputs = self.random.choice((1, 2)), self.random.choice((1, 2))
        delays = [self.random.choice((1, 3, 40)) for _ in range(lines)]
        filters = [self.normal(self.random.choice((1, 2 * delay - 1))) for delay in delays]
        longest = max(delay + len(taps) // 2 for delay, taps in zip(delays, filters, strict=True))
        batch = self.random.choice(((), self.batch))
        matrices = {"U": (lines, lines), "B": (lines, inputs), "C": (1, lines)}
        arguments = {name: self.normal(*batch, *shape) for name, shape in matrices.items()}
        arguments |= {"x": self.normal(*self.batch, inputs, self.time), "delays": delays, "absorption": filters}
        zi = self.or_none(self.normal(*self.batch, lines, longest))
        return diffapf.delay_network, {**arguments, "zi": zi, "return_zf": self.flag()}

    def frequency_sampled_filter(self) -> Call:
        shape = self.random.choice(((), self.batch))
        arguments = {"b": self.normal(*shape, self.order + 1), "a": self.normal(*shape, self.order + 1) + 1}
        arguments |= {"x": self.x(), "n": self.random.choice((None, 17, 40)), "truncated": self.flag()}
        return diffapf.frequency_sampled_filter, arguments

    def filtfilt(self) -> Call:
        b, a = self.normal(self.order + 1), self.normal(self.order + 1) + 1
        arguments = {"b": b, "a": a, "x": self.x(), "padtype": self.random.choice(("odd", "even", "constant", None))}
        return diffapf.filtfilt, {**arguments, "padlen": self.random.choice((None, 0, 2))}

    def lfilter_zi(self) -> Call:
        return diffapf.lfilter_zi, {"b": self.normal(self.order + 1), "a": self.normal(*self.batch, self.order + 1) + 1}

    def lfiltic(self) -> Call:
        past = {name: self.normal(*self.batch, self.random.choice((0, 1, 9))) for name in ("y", "x")}
        return diffapf.lfiltic, {"b": self.normal(self.order + 1), "a": self.normal(self.order + 1) + 1, **past}

    def cubic_spline_upsample(self) -> Call:
        return diffapf.cubic_spline_upsample, {"x": self.x(), "factor": self.random.choice((1, 3))}

    def nonlinear_recurrence(self) -> Call:
        n = max(self.order, 1)
        arguments = {"f": lambda v, k: torch.tanh(k * v), "u": self.normal(*self.batch, self.time, n)}
        v0 = self.or_none(self.normal(*self.batch, n))
        return diffapf.nonlinear_recurrence, {**arguments, "v0": v0, "parameters": (self.normal(),)}

    def allpass_cascade(self) -> Call:
        stages = max(self.order, 1)
        arguments = {"x": self.x(), "stages": stages}
        if self.flag():
            frames = self.coefficients(4.0)
            arguments |= {"artanh_p": frames, "hop": self.random.choice((4, 2.5, diffapf.ControlRate(0.0, 0.25)))}
        else:
            arguments["p"] = self.x()
        arguments |= {name: self.random.choice((0.1, self.normal(*self.batch))) for name in ("c0", "c1", "a")}
        zi = self.or_none(self.normal(*self.batch, stages + 3))
        arguments |= {"loop_delay": self.random.choice((0, 1)), "zi": zi, "return_zf": self.flag()}
        return diffapf.allpass_cascade, arguments

    def companion(self) -> Call:
        return diffapf.companion, {"b": self.normal(self.order + 1), "a": self.normal(*self.batch, self.order + 1) + 1}

    def parallel_form(self) -> Call:
        a = torch.cat([torch.ones(1, dtype=self.dtype), self.normal(self.order)])
        return diffapf.parallel_form, {"b": self.normal(self.order + 1), "a": a, "separation": 1e-9}

    def is_stable(self) -> Call:
        return diffapf.is_stable, {"a": self.normal(*self.batch, self.order + 1)}

    def normalised_lattice(self) -> Call:
        return normalised_lattice, {"k": self.normal(*self.batch, self.order)}

    # -------------------------------------------------------------------------------------------------- what spoils them

    def spoiled(self, value: object) -> object:
        if isinstance(value, Tensor) and self.random.random() < 0.75:
            return self.spoiled_tensor(value)
        if callable(value) and self.flag():
            return self.random.choice((torch.sum, lambda *v: 1.0, lambda v: v, lambda *v: None, lambda *v: v[0][:0]))
        return self.random.choice(
            (
                None, True, 0, -1, 3, 10**5, 0.5, -2.5, float("nan"), float("inf"), 1j, "df2", "", b"x", [0.5, 0.5], [],
                (1, 2), {}, object(), Tensor, torch.float32, range(3), self.normal(2), self.normal(), self.normal(0),
                diffapf.ControlRate(-5.0, 1e9), diffapf.ControlRate(3.0, 0.0), float("-inf"), 1e-300, (self.normal(3), None),
            )
        )  # fmt: skip

    def spoiled_tensor(self, value: Tensor) -> object:
        dim = self.random.randrange(value.dim()) if value.dim() else 0
        size = self.random.choice((0, 1, 2, 7))
        changes: list[Callable[[], object]] = [
            lambda: value[None],
            lambda: value[..., None],
            lambda: value.expand(2, *value.shape),
            lambda: value.flatten(),
            lambda: value.transpose(0, -1) if value.dim() else value,
            lambda: value.flip(dim) if value.dim() else value,
            lambda: value.select(dim, 0) if value.dim() and value.shape[dim] else value,
            lambda: value.narrow(dim, 0, value.shape[dim] // 2) if value.dim() else value,
            lambda: torch.cat([value, value], dim) if value.dim() else value,
            lambda: self.normal(*(size if i == dim else n for i, n in enumerate(value.shape))),
            lambda: self.normal(*(self.random.choice((0, 1, 2, 5)) for _ in range(self.random.randrange(5)))),
            lambda: value[..., :1].expand(value.shape) if value.dim() and value.shape[-1] else value,
            lambda: torch.cat([value, value], -1)[..., ::2] if value.dim() else value,
            lambda: value * 0,
            lambda: value * torch.nan,
            lambda: value / 0,
            lambda: value * 1e300,
            lambda: value.to(self.random.choice(DTYPES)),
            lambda: value.to("meta"),
            lambda: value.to_sparse() if value.dim() else value,
            lambda: torch.zeros_like(value).conj_physical().to(torch.complex64).conj(),
            lambda: value.clone().requires_grad_(),
            lambda: torch.nn.Parameter(value),
            lambda: value.numpy(),
            lambda: value.tolist(),
            lambda: value.numel(),
        ]
        return self.random.choice(changes)()


DTYPES = (
    torch.float32, torch.float64, torch.complex64, torch.complex128, torch.float16, torch.bfloat16, torch.int64,
    torch.int8, torch.uint8, torch.bool,
)  # fmt: skip
OPERATORS = [name for name in vars(Calls) if name in {*diffapf.__all__, "normalised_lattice"}]


def malformed(seed: int) -> tuple[str, Callable[..., object], dict[str, object]]:
    calls = Calls(seed)
    name = OPERATORS[seed % len(OPERATORS)]
    function, arguments = getattr(calls, name)()
    for key in calls.random.sample(sorted(arguments), calls.random.choice((1, 1, 1, 2, 3)) % (len(arguments) + 1)):
        arguments[key] = calls.spoiled(arguments[key])
    return name, function, arguments


def tensors(result: object) -> Iterator[object]:
    return itertools.chain.from_iterable(map(tensors, result)) if isinstance(result, tuple) else iter([result])


def outcome(function: Callable[..., object], arguments: dict[str, object]) -> str | None:
    """What is wrong with it, if anything."""
    try:
        results = list(tensors(function(**arguments)))
    except (ValueError, TypeError) as error:
        return None if str(error) else f"{type(error).__name__} without a message"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:150]}"
    return None if all(isinstance(result, Tensor) for result in results) else f"returned {results!r:.150}"


def described(arguments: dict[str, object]) -> str:
    def text(value: object) -> str:
        if isinstance(value, Tensor):
            return f"{str(value.dtype)[6:]}{tuple(value.shape)} {value.device} {str(value.layout)[6:]}"
        return f"{type(value).__name__} {value!r:.40}"

    return ", ".join(f"{key}={text(value)}" for key, value in arguments.items())


def main(first: int, count: int) -> None:
    faulthandler.enable()
    warnings.simplefilter("ignore")
    found: dict[str, int] = {}
    for seed in range(first, first + count):
        name, function, arguments = malformed(seed)
        wrong = outcome(function, arguments)
        if wrong is not None:
            kind = f"{name}: {wrong}"
            found[kind] = found.get(kind, 0) + 1
            if found[kind] == 1:
                print(f"seed {seed}, {kind}\n    {described(arguments)}", flush=True)
    print(f"{count} calls, {sum(found.values())} wrong")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
