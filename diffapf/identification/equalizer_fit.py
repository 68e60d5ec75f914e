"""A parametric equaliser fitted to a dry and a wet recording.

What it does to the power in bands of 1/48 octave is matched first, by Levenberg–Marquardt from many starts at once: no phase
and no delay matters there, and an iteration costs a millisecond. Then the dry signal is really filtered, and what its bands
have too much or too little moves the target, until they agree: that takes off what windows and wide bands do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diffapf.effects.equalizer import SIX_BANDS, Band, Equalizer, within_reach
from diffapf.identification.band_powers import Bands, decibels
from diffapf.identification.finished_stages import FinishedStages
from diffapf.identification.lateness import NOTICED, lateness, words_of
from diffapf.identification.many_starts import descend_together
from diffapf.identification.modules import Estimate
from diffapf.identification.offset import offset_candidates
from diffapf.identification.prefiltered_pair import MonoPair, Part
from diffapf.identification.spans import channels_of
from diffapf.identification.uncertainty import uncertainty
from diffapf.parameters import Named, Range, Within, named_parameters

LOWEST_HZ, HIGHEST_HZ, PER_OCTAVE = 20.0, 18_000.0, 48
BELOW_NYQUIST = 0.9  # of half the sample rate: how far bands go there
QUIET_DRY_DB, QUIET_WET_DB = -90.0, -80.0  # below the loudest band: nothing is measured there
STARTS, COARSE, FIRST_ITERATIONS = 48, 3, 14  # of a round: starts on every third band
KEPT, ITERATIONS = 8, 60  # the best of them on all bands
NEW_STARTS = 16  # of the later rounds'; the others are the best minima, changed
PRIOR_DB = 0.02  # what a start pays for each number's distance from the middle of its range: large gains seldom help
REMATCHED_ROUNDS, REMATCHED_PRIOR_DB = 3, 0.1  # in a chain
MUCH_NEARER, OUT_OF_REACH = 0.7, 0.9  # times what this one leaves, and what descent from it would leave
SIXTEEN_BITS, ABOVE_ROUNDING_DB = 32_768, 23.0  # steps to full scale; noise so far below adds 0.02 dB
ROUNDS, LONGEST_IN_VAIN = 25, 10
SOLVED_DB = 0.004  # rms of the bands that no wrong minimum comes down to, but for rounding
DISTINCT = 0.99  # times a cost: below, it is another minimum's
POLISHED, POLISHING_ITERATIONS, CLOSER = 8, 20, 0.9
GAIN_UNIT_DB = 6.0
FAINTEST = 1e-30  # a power, of a response that has a zero there
DECIBELS_OF_E = 10 / math.log(10)  # of a power
FARTHEST = 25.0  # a logit: as near to the end of its range as numbers tell
SHORTEST_S = 0.5
LONGEST_OFFSET_S = 0.1
UNEXPLAINED_DB = 1.0
NEEDLESS = (("lowpass",), ("lowpass", "highpass"), ("highpass",))
NEEDLESS_ROUNDS = 3
AS_NEAR = 1.2  # as near: times an error in dB
FAITHFUL = 1e-5  # an ESR with which no band is needless
WORTH_A_GAIN = 0.7  # of the error without

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Measured:
    """What the bands say: `gain_db` from dry to wet in each, and in which of them there is something to measure.

    solved_db: the rms of the filtered signal's bands that no wrong minimum comes down to.
    """

    bands: Bands
    gain_db: Tensor
    used: Tensor  # bool
    solved_db: float = SOLVED_DB


@dataclass(frozen=True)
class EqualizerFit:
    """What `fit_equalizer` found. rms_db, worst_db: what the filtered dry signal's bands differ from the wet one's."""

    equalizer: Equalizer
    pair: MonoPair
    train: Part
    measured: Measured
    rms_db: float
    worst_db: float
    estimates: list[Estimate]
    findings: list[str]
    interrupted: bool = False  # never: there is no fit before its end

    @property
    def verdict(self) -> str:
        return self.findings[0]


def fit_equalizer(
    dry: Tensor,
    wet: Tensor,
    sample_rate: float,
    train: tuple[float, float] = (0.0, math.inf),
    bands: Mapping[str, Band | Mapping[str, Any]] | None = None,
    progress: Progress | None = None,
    finished: FinishedStages | None = None,
) -> EqualizerFit:
    """Fits an equaliser to what went in and what came out.

    Args:
        dry, wet: `(time,)`, or a stereo pair through the same bands, `(2, time)`, full scale 1, recorded together.
        sample_rate: in Hz.
        train: the part to fit to, from a time to another in seconds; all by default.
        bands: as `Equalizer` takes them; what they start from doesn't matter. An overall gain is added where it pays.
        progress: called with the name of a stage that begins, and the fraction of the whole that is done, 0 … 1.
        finished: where the search is kept once it is finished, and taken from if it was.

    Raises:
        ValueError, TypeError: signals of other shapes, silent ones, less than half a second; bands that are none.
    """
    report = progress or (lambda stage, fraction: None)
    report("what the bands say", 0.0)
    dry, wet = channels_of("dry", dry), channels_of("wet", wet)
    if dry.shape[:-1] != wet.shape[:-1]:
        raise ValueError(f"dry and wet must be mono both or stereo both, got {tuple(dry.shape)} and {tuple(wet.shape)}")
    whole = MonoPair(dry, wet, sample_rate).part(
        max(0.0, train[0]), min(train[1], dry.shape[-1] / sample_rate), lead_in_s=0.0
    )
    if whole.stop_s - whole.start_s < SHORTEST_S:
        raise ValueError(
            f"the training part has {max(whole.stop_s - whole.start_s, 0.0):.2f} s that both files cover: give it at least "
            f"{SHORTEST_S:g} s"
        )
    measured = above_rounding(measure(whole, sample_rate), whole)
    kept = finished or FinishedStages()

    def found(stage: str, bands: Mapping[str, Band | Mapping[str, Any]] | None, rounds: int) -> EqualizerFit:
        make = partial(Equalizer, sample_rate, bands)
        equalizer = kept.effect(stage, lambda: search(make, whole, measured, report, rounds))
        report("compared with the recording", 0.95)
        return _result(equalizer, whole, measured)

    fit = found("search", bands, ROUNDS)
    return fit if bands is not None else _without_needless_bands(fit, found)


def _without_needless_bands(fit: EqualizerFit, found: Callable[..., EqualizerFit]) -> EqualizerFit:
    """Where all six bands have the magnitude but not the signal: the best without a low-pass, a high-pass, or both.

    What has no low-pass is matched, as far as it is measured, by one that a shelf of 100 dB undoes; beyond, it is not. A
    band is needless where the others have the magnitude as well, which few starts tell.
    """
    lowest = fit.train.esr(fit.equalizer, plain=True)
    for needless in NEEDLESS:
        if fit.rms_db > UNEXPLAINED_DB or lowest < FAITHFUL:
            break
        bands = {
            name: band
            for name, band in within_reach(SIX_BANDS, fit.equalizer.sample_rate).items()
            if name not in needless
        }
        other = found(f"search without {' and '.join(needless)}", bands, NEEDLESS_ROUNDS)
        esr = other.train.esr(other.equalizer, plain=True)
        if other.rms_db < max(AS_NEAR * fit.rms_db, fit.measured.solved_db) and esr < WORTH_A_GAIN * lowest:
            fit, lowest = other, esr
    return fit


@torch.no_grad()
def rematched(equalizer: Equalizer, dry: Tensor, played: Tensor, wet: Tensor) -> Equalizer | None:
    """The equaliser of a chain again, with an overall gain, by what its chain plays: from many starts, not from where it is.

    What the bands of `played` have too much or too little of, the equaliser has of it, whatever else the chain does. Gains
    are held back a little: bands that undo each other would explain the rest.

    Args:
        equalizer: as it is in the chain; stays so.
        dry: `(time,)`, what goes into it.
        played, wet: `(channels, time)`, what the chain makes of it, and what it should.

    Returns:
        None where no other equaliser is much nearer than this one, or where descent from it leads as near: then the chain's
        own does, and moves all else with it.

    Raises:
        ValueError: a silent signal.
    """
    whole = MonoPair(dry.double(), wet.double(), equalizer.sample_rate).part(
        0.0, dry.shape[-1] / equalizer.sample_rate, lead_in_s=0.0
    )
    measured = measure(whole, equalizer.sample_rate)
    bands = measured.bands
    lacking = decibels(bands.powers(wet)) - decibels(bands.powers(played))
    measured = replace(measured, gain_db=equalizer.magnitude_db(bands.centres) + lacking)
    named = {name: section.band for name, section in equalizer.bands.items()}
    other = Equalizer(equalizer.sample_rate, named, gain_db=0.0).double()  # type: ignore[arg-type]
    other.set_parameters({spec.name: spec.value for spec in equalizer.parameters_spec()})
    problem, coarse = (_Problem(other, measured, every, REMATCHED_PRIOR_DB) for every in (1, COARSE))
    present = problem.linearise(problem.present()[None])[0].square().sum()
    pool, costs = descend_together(problem.linearise_with_prior, problem.present()[None], ITERATIONS)
    descended = costs[0]
    for number in range(REMATCHED_ROUNDS):
        reached = descend_together(problem.linearise_with_prior, _from_many(coarse, pool, number), ITERATIONS)
        pool, costs = _best_distinct(*(torch.cat(both) for both in zip((pool, costs), reached, strict=True)))
    problem.set(pool[0])
    left = problem.linearise(pool[:1])[0].square().sum()
    return other if bool((left < MUCH_NEARER * present) & (costs[0] < OUT_OF_REACH * descended)) else None


def measure(part: Part, sample_rate: float) -> Measured:
    """The bands of a part; raises ValueError where none has anything in it."""
    highest = min(HIGHEST_HZ, BELOW_NYQUIST * sample_rate / 2)
    bands = Bands.of_octaves(LOWEST_HZ, highest, PER_OCTAVE, sample_rate)
    before, after = (decibels(bands.powers(signal)) for signal in (part.dry, part.wet))
    if not (part.dry.any() and part.wet.any()):
        raise ValueError(f"the {'wet' if part.dry.any() else 'dry'} signal is silent in the training part")
    used = (before > before.max() + QUIET_DRY_DB) & (after > after.max() + QUIET_WET_DB)
    return Measured(bands, after - before, used)


def above_rounding(measured: Measured, part: Part) -> Measured:
    """Without the bands that are mostly what rounding the wet signal to 16 bits leaves, if there are others.

    A band of M bins, to whose power P noise adds N, has an rms error of 10/ln 10 · √(3 N/(M P) + (N/P)²) dB under a Hann
    window: no fit comes nearer. What rounding the dry one left was played: the equaliser has shaped it like the rest.
    """
    bands, steps = measured.bands, part.wet * SIXTEEN_BITS
    if not torch.equal(steps, steps.round()):
        return measured
    noise_db = rounding_db(part.wet, bands) - decibels(bands.powers(part.wet))
    used = measured.used & (noise_db < -ABOVE_ROUNDING_DB)
    if not used.any():
        return measured
    noise = 10 ** (noise_db[used] / 10)
    bins = (bands.edges.diff() * (part.wet.shape[-1] / bands.sample_rate))[used]
    expected = DECIBELS_OF_E * (3 * noise / bins + noise.square()).mean().sqrt().item()
    return replace(measured, used=used, solved_db=max(SOLVED_DB, AS_NEAR * expected))


def rounding_db(signal: Tensor, bands: Bands) -> Tensor:
    """The level in each band of what dither and rounding to 16 bits leave: white noise of a quarter of a squared step."""
    time = signal.shape[-1]
    of_a_bin = signal[..., 0].numel() * torch.hann_window(time, periodic=False, dtype=torch.float64).square().sum() / 4
    return decibels(of_a_bin / SIXTEEN_BITS**2 * bands.edges.diff() * (time / bands.sample_rate))


# -------------------------------------------------------------------------------------------------------------- search


def search(make: Callable[..., Equalizer], part: Part, measured: Measured, report: Progress, rounds: int) -> Equalizer:
    """Without an overall gain; with one, where that leaves much less."""
    plain, plain_rms = best_of_rounds(
        make().double(), part, measured, lambda done: report("many starts", 0.5 * done), rounds
    )
    if plain_rms <= measured.solved_db:
        return plain
    gained, rms = best_of_rounds(
        make(gain_db=0.0).double(), part, measured, lambda done: report("with a gain", 0.5 + 0.4 * done), rounds
    )
    return gained if rms < WORTH_A_GAIN * plain_rms else plain


def best_of_rounds(
    equalizer: Equalizer, part: Part, measured: Measured, report: Callable[[float], None], rounds: int
) -> tuple[Equalizer, float]:
    """The best of rounds of starts, and its rms error in dB over the measured bands; the equaliser is moved there.

    From the second round on, most starts are the best minima so far with one or two sections at random: a wrong minimum is
    mostly one in which two sections do each other's work.
    """
    problem, coarse = _Problem(equalizer, measured), _Problem(equalizer, measured, every=COARSE)
    pool, costs = _no_minima(problem)
    best, lowest, in_vain = problem.present(), math.inf, 0
    for number in range(rounds):
        report(number / rounds)
        reached, reached_costs = descend_together(problem.linearise, _from_many(coarse, pool, number), ITERATIONS)
        improved = number == 0 or bool(reached_costs[0] < DISTINCT * costs[0])
        pool, costs = _best_distinct(torch.cat([pool, reached]), torch.cat([costs, reached_costs]))
        in_vain = 0 if improved else in_vain + 1
        if improved:
            problem.set(pool[0])
            rms = polish(equalizer, part, measured)
            if rms < lowest:
                best, lowest = problem.present(), rms
        if lowest <= measured.solved_db or in_vain == LONGEST_IN_VAIN:
            break
    problem.set(best)
    return equalizer, lowest


def _from_many(coarse: _Problem, pool: Tensor, number: int) -> Tensor:
    """Where a round's best starts lead to on some of the bands."""
    starts = coarse.starts(pool, torch.Generator().manual_seed(number))
    return descend_together(coarse.linearise_with_prior, starts, FIRST_ITERATIONS)[0][:KEPT]


def _no_minima(problem: _Problem) -> tuple[Tensor, Tensor]:
    """Their points and costs, before the first round."""
    return problem.present()[None][:0], torch.zeros(0, dtype=torch.float64)


def _best_distinct(points: Tensor, costs: Tensor) -> tuple[Tensor, Tensor]:
    """The best minima, each once: those of almost one cost are one."""
    order = costs.argsort()
    kept: list[int] = []
    for i in order.tolist():
        if len(kept) < KEPT and (not kept or costs[kept[-1]] < DISTINCT * costs[i]):
            kept.append(i)
    return points[kept], costs[kept]


def polish(equalizer: Equalizer, part: Part, measured: Measured) -> float:
    """Moves the equaliser until the bands of what it plays are those of the wet signal; returns their rms in dB."""
    problem, used = _Problem(equalizer, measured), measured.used
    point, best, lowest = problem.present(), problem.present(), math.inf
    for _ in range(POLISHED):
        wrong = (measured.gain_db - _played_db(equalizer, part, measured))[used]
        rms = float(wrong.square().mean().sqrt())
        if rms > CLOSER * lowest:
            break
        best, lowest = point, rms
        problem.target = problem.decibels(point[None])[0] + wrong
        point = descend_together(problem.linearise, point[None], POLISHING_ITERATIONS)[0][0]
        problem.set(point)
    problem.set(best)
    return lowest


def _played_db(equalizer: Equalizer, part: Part, measured: Measured) -> Tensor:
    """The gain of each band from the dry signal to the filtered one."""
    with torch.no_grad():
        played = equalizer(part.dry)
    return decibels(measured.bands.powers(played)) - decibels(measured.bands.powers(part.dry))


class _Problem:
    """What the parameters of an equaliser leave of measured gains; parameters as numbers of any size, `points`.

    A number within a range is its position's logit, a gain is in units of 6 dB.
    """

    def __init__(self, equalizer: Equalizer, measured: Measured, every: int = 1, prior_db: float = PRIOR_DB):
        self.equalizer, self.prior_db = equalizer, prior_db
        self.named: dict[str, Named] = named_parameters(equalizer)  # type: ignore[assignment]
        self.chosen = measured.used.nonzero()[:, 0][::every]
        phi = torch.sin(measured.bands.omega[self.chosen] / 2).square()
        self.powers_of_phi = torch.stack([torch.ones_like(phi), phi, phi.square()])
        self.target = measured.gain_db[self.chosen]
        sections = {name: place for place, name in enumerate(equalizer.bands)}  # an overall gain is the last one's
        self.section = [sections.get(name.split(".")[1], -1) if "." in name else -1 for name in self.named]

    @property
    def count(self) -> int:
        return len(self.chosen)

    def present(self) -> Tensor:
        points = [
            _logit(part) if isinstance(part.mapping, Within) else part() / GAIN_UNIT_DB for part in self.named.values()
        ]
        return torch.stack([point.detach() for point in points])

    def values(self, points: Tensor) -> dict[str, Tensor]:
        """Each `(…)` of points `(…, size)`, in real units."""
        columns = zip(self.named.items(), points.unbind(-1), strict=True)
        return {name: _value(part, column) for (name, part), column in columns}

    def set(self, point: Tensor) -> None:
        self.equalizer.set_parameters({name: value.item() for name, value in self.values(point).items()})

    def starts(self, pool: Tensor, generator: torch.Generator) -> Tensor:
        """Places anywhere in the ranges, and if there is a pool of points, those with one or two sections elsewhere."""
        size = len(self.named)
        anywhere = torch.logit(torch.rand(STARTS, size, dtype=torch.float64, generator=generator), 1e-6)
        gains = torch.randn(STARTS, size, dtype=torch.float64, generator=generator)
        within = torch.tensor([isinstance(part.mapping, Within) for part in self.named.values()])
        starts = torch.where(within, anywhere, gains)
        if len(pool):
            changed = STARTS - NEW_STARTS
            two = torch.randint(0, len(self.equalizer.bands), (2, changed, 1), generator=generator)
            section = torch.tensor(self.section) % len(self.equalizer.bands)
            moved = (section == two).any(0)
            starts[:changed] = torch.where(moved, starts[:changed], pool[torch.arange(changed) % len(pool)])
        return starts

    def decibels(self, points: Tensor) -> Tensor:
        """The gain at the chosen bands, `(starts, bands)`."""
        above, below = (self._quadratics(points) @ self.powers_of_phi).clamp_min(FAINTEST).unbind(-2)
        return DECIBELS_OF_E * (above.log() - below.log()).sum(1)

    def linearise(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals `(starts, bands)` in dB, and their Jacobians `(starts, bands, size)`.

        A number moves six coefficients, those of its own section: a copy of the points for each, and one backward pass.
        """
        copies = points.expand(6, *points.shape).clone().requires_grad_()
        with torch.enable_grad():
            quadratics = self._quadratics(copies)
            (slopes,) = torch.autograd.grad(quadratics.flatten(-2).diagonal(dim1=0, dim2=-1).sum(), copies)
        above, below = (quadratics[0].detach() @ self.powers_of_phi).clamp_min(FAINTEST).unbind(-2)
        d_above, d_below = slopes.unflatten(0, (2, 3)).movedim(1, -1) @ self.powers_of_phi
        jacobian = DECIBELS_OF_E * (d_above / above[:, self.section] - d_below / below[:, self.section])
        return DECIBELS_OF_E * (above.log() - below.log()).sum(1) - self.target, jacobian.mT

    def linearise_with_prior(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and as many residuals more as there are numbers, which hold them back."""
        residuals, jacobian = self.linearise(points)
        weight = self.prior_db * math.sqrt(self.count)
        held_back = weight * torch.eye(points.shape[1], dtype=points.dtype).expand(len(points), -1, -1)
        return torch.cat([residuals, weight * points], 1), torch.cat([jacobian, held_back], 1)

    def _quadratics(self, points: Tensor) -> Tensor:
        """|B|² and |A|² of each section as polynomials in φ = sin²(ω/2): `(…, sections, 2, 3)`, lowest power first.

        |c₀ + c₁ z⁻¹ + c₂ z⁻²|² = (c₀ + c₁ + c₂)² − 4φ (c₀ c₁ + 4 c₀ c₂ + c₁ c₂) + 16 φ² c₀ c₂
        """
        first, middle, last = self.equalizer.sections(self.values(points)).unflatten(-1, (2, 3)).unbind(-1)
        outer = first * last
        return torch.stack(
            [(first + middle + last).square(), -4 * (middle * (first + last) + 4 * outer), 16 * outer], -1
        )


def _logit(part: Named) -> Tensor:
    position = _range(part).position(part())
    return torch.logit(position).clamp(-FARTHEST, FARTHEST)


def _value(part: Named, number: Tensor) -> Tensor:
    if isinstance(part.mapping, Within):
        return _range(part).at(torch.sigmoid(number.clamp(-FARTHEST, FARTHEST)))
    return GAIN_UNIT_DB * number


def _range(part: Named) -> Range:
    assert isinstance(part.mapping, Within)
    return Range(part.mapping.minimum, part.mapping.maximum, part.unit, "log")


# -------------------------------------------------------------------------------------------------------------- result


def _result(equalizer: Equalizer, part: Part, measured: Measured) -> EqualizerFit:
    wrong = (measured.gain_db - _played_db(equalizer, part, measured))[measured.used]
    rms, worst = float(wrong.square().mean().sqrt()), float(wrong.abs().max())
    offset, upside_down = _offset(equalizer, part)
    pair = MonoPair(part.pair.dry, -part.pair.wet if upside_down else part.pair.wet, part.pair.sample_rate, offset)
    train = pair.part(part.start_s, part.stop_s, lead_in_s=part.start_s)
    late = lateness(train.counted(train.wet), train.prediction(equalizer))
    pair = pair.read_later(late)
    heard = measured.bands.centres[measured.used]
    findings = [
        f"an equaliser, within {rms:.2g} dB rms (at most {worst:.2g} dB) of what the recording has between "
        f"{float(heard[0]):.0f} and {float(heard[-1]):.0f} Hz"
    ]
    if rms > UNEXPLAINED_DB:
        findings.append("These bands leave much unexplained: there is another effect, or there are more of them.")
    if abs(offset + late) > NOTICED:
        findings.append(words_of(offset + late))
    if upside_down:
        findings.append("The wet file is upside down; the model is not, and is compared with it turned over.")
    return EqualizerFit(
        equalizer,
        pair,
        pair.part(part.start_s, part.stop_s, lead_in_s=part.start_s),
        measured,
        rms,
        worst,
        _estimates(equalizer, measured, wrong),
        findings,
    )


def _offset(equalizer: Equalizer, part: Part) -> tuple[int, bool]:
    """How late the wet signal is, and whether its polarity is the other one."""
    with torch.no_grad():
        played = equalizer(part.dry)
    played, wet = (torch.atleast_2d(signal) for signal in (played, part.wet))
    loudest = int(wet.square().sum(-1).argmax())
    played, wet = played[loudest], wet[loudest]
    longest = min(round(LONGEST_OFFSET_S * part.pair.sample_rate), len(wet) // 4)
    offset = offset_candidates(played, wet, longest, most=1)[0]
    early, late = max(0, -offset), max(0, offset)
    length = len(wet) - early - late
    product = played[early : early + length] @ wet[late : late + length]
    return offset, bool(product < 0)


def _estimates(equalizer: Equalizer, measured: Measured, wrong: Tensor) -> list[Estimate]:
    """Each parameter and its standard error, as if bands erred independently."""
    problem = _Problem(equalizer, measured)
    point = problem.present()
    _, jacobian = problem.linearise(point[None])
    held = torch.zeros(len(point), dtype=torch.bool)
    errors = uncertainty(jacobian[0].mT @ jacobian[0], float(wrong.square().sum()), problem.count, held).standard_errors
    values, slopes = problem.values(point), _slopes(problem, point)
    return [
        Estimate(name, values[name].item(), slope * error, problem.named[name].unit)
        if math.isfinite(error)
        else Estimate(name, values[name].item(), math.inf, problem.named[name].unit)
        for name, slope, error in zip(problem.named, slopes, errors.tolist(), strict=True)
    ]


def _slopes(problem: _Problem, point: Tensor) -> list[float]:
    """How much each value moves with its number."""
    moving = point.clone().requires_grad_()
    with torch.enable_grad():
        (slopes,) = torch.autograd.grad(torch.stack(list(problem.values(moving).values())).sum(), moving)
    return slopes.abs().tolist()
