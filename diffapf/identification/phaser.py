"""The start of a phaser's fit, from a dry and a wet recording alone: rate, phase, LFO curve, feedback and structure.

A fixed phaser is known up to a break frequency f_b, its feedback g and its gains. For a grid of f_b and g each is run over
the dry signal, and a short frame of the wet one is explained by it, or is not (`static_phasers.py`):

    y ≈ Σᵢ bᵢ x[n−i] + Σᵢ cᵢ w[n−i],  w = Aᴷ/(1 − g z⁻ᵈ Aᴷ) x

This makes a table of costs, frames by break frequencies, in which the LFO is a path that repeats; `sweep.py` finds it.
What is left unexplained chooses the feedback, and between structures: the number of stages K, the loop's delay d.

Nothing here is a gradient descent from a lucky place: the rate is the best of all rates. What comes out is near enough for
Newton's method on the audio itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from numpy.typing import NDArray
from torch import Tensor

from diffapf.filters.design import polynomial_response
from diffapf.identification.folding import folding_weights
from diffapf.identification.offset import offset_candidates
from diffapf.identification.phaser_search import Candidate, PhaserSearch, Progress
from diffapf.identification.regression import TAPS
from diffapf.identification.static_phasers import StaticPhasers, Structure, preemphasised
from diffapf.identification.sweep import frame_table, rate_costs

STAGES = (4, 6, 8)
LOOP_DELAYS = (0, 1)
LONGEST_OFFSET_S = 0.05
SMALL_OFFSET = 2  # samples, which the three taps can hold
AS_GOOD = 1.1  # times what another offset leaves
SHORTEST_S = 1.0
CURVE_POINTS = 64
SILENT = 1e-4  # −80 dBFS

# What the verdict goes by. Measured: phasers leave 0.005–0.25 of what a fixed filter leaves, other effects 0.74 and more.
UNEXPLAINED = 0.5
UNMOVED = 0.5
NO_RIVAL = 1.03
MUCH = 0.05
FEWEST_EVEN_PERIODS = 0.9
LARGEST_DRIFT = 0.1  # cycles over the recording, a standard deviation

# What filters that stand still within a block, on a grid, do to feedback and curve: a share of the residual's amplitude.
# Measured on random phasers (tests/identification/battery.py).
FEEDBACK_BIAS = 0.2
CURVE_BIAS = 0.4


@dataclass(frozen=True)
class Compared:
    """One row of the comparison: a structure at its best feedback, and what it leaves unexplained (0 … 1)."""

    structure: Structure
    feedback: float
    residual: float


@dataclass(eq=False)
class PhaserStart:
    """Where a phaser's fit starts. Where nothing was found `identified` is False, and `verdict` says why, in words.

    Phases are in cycles and count from the crest of the LFO's first harmonic: phase 0 is where the break frequency is
    highest, roughly. Uncertainties are standard deviations.

    identified, verdict: whether to go on from here, and what to tell the user.
    rate_hz, rate_uncertainty_hz: of the LFO.
    phase_cycles, phase_uncertainty_cycles: the LFO's phase at the dry file's first sample, 0 … 1.
    curve_hz: the break frequency at 64 equally spaced phases of a period; curve_uncertainty: of its natural logarithm.
    log_coefficients: of the natural logarithm of the break frequency in Hz over a period: c₀, c₁ … c_H (cosines), s₁ … s_H.
    even: whether the curve was assumed to fall as it rises: fewer than 2½ periods were there.
    feedback, feedback_uncertainty: the loop's gain g, with its sign.
    through: the gain of the unfiltered signal beside the all-passes', where the sweep is centred.
    dry_taps, wet_taps: the gains of x[n], x[n−1], x[n−2] and of w[n], w[n−1], w[n−2]; wet_taps are the input filter.
    stages, loop_delay: the structure; compared: all that were tried, best first.
    offset: by how many samples the wet file is late; the numbers above hold for wet[offset:].
    residual, fixed_residual: what is left unexplained, 0 … 1, of the pre-emphasised and weighted wet signal, and what the
        best phaser that stands still leaves.
    scan_rates_hz, scan_cost: the cost of every rate, over the wet signal's energy.
    folded_hz, folded_cost: the cost of each break frequency at each phase, `(phases, frequencies)`; the curve is its valley.
    """

    identified: bool
    verdict: str
    rate_hz: float = math.nan
    rate_uncertainty_hz: float = math.nan
    phase_cycles: float = math.nan
    phase_uncertainty_cycles: float = math.nan
    curve_hz: Tensor = field(default_factory=lambda: torch.zeros(0))
    curve_uncertainty: Tensor = field(default_factory=lambda: torch.zeros(0))
    log_coefficients: Tensor = field(default_factory=lambda: torch.zeros(0))
    even: bool = False
    feedback: float = math.nan
    feedback_uncertainty: float = math.nan
    through: float = math.nan
    dry_taps: Tensor = field(default_factory=lambda: torch.zeros(0))
    wet_taps: Tensor = field(default_factory=lambda: torch.zeros(0))
    stages: int = 0
    loop_delay: int = 0
    compared: tuple[Compared, ...] = ()
    offset: int = 0
    residual: float = 1.0
    fixed_residual: float = 1.0
    scan_rates_hz: Tensor = field(default_factory=lambda: torch.zeros(0))
    scan_cost: Tensor = field(default_factory=lambda: torch.zeros(0))
    folded_hz: Tensor = field(default_factory=lambda: torch.zeros(0))
    folded_cost: Tensor = field(default_factory=lambda: torch.zeros(0, 0))


@torch.no_grad()
def identify_phaser(
    dry: Tensor | NDArray,
    wet: Tensor | NDArray,
    sample_rate: float,
    stages: int | Sequence[int] = STAGES,
    loop_delay: int | Sequence[int] = LOOP_DELAYS,
    longest_s: float = 32.0,
    progress: Progress | None = None,
) -> PhaserStart:
    """Finds a phaser's LFO (rate, phase, curve), feedback and structure from what went in and what came out.

    Args:
        dry, wet: one channel each, `(time,)`, floating point, full scale 1, recorded together: at least a second.
        sample_rate: in Hz.
        stages: K, or those to choose from.
        loop_delay: 0 or 1, or both to choose from.
        longest_s: of a longer recording only the loudest stretch of so many seconds is looked at.
        progress: called with the name of a stage and the fraction done, 0 … 1, of the whole.

    Returns:
        A `PhaserStart`. For files that no phaser connects, or that do not show its rate: one that says so.

    Raises:
        TypeError: a signal that is not a tensor or array of floating-point numbers.
        ValueError: shapes, lengths, rates or choices that cannot be; samples that are not finite.

    Source: phaser identification by folded costs is this project's; epoch folding: see `folding.py`.

    >>> identify_phaser(torch.zeros(44100), torch.zeros(44100), 44100).verdict
    'the dry file is silent (peak below −80 dBFS): nothing can be told from it'
    """
    sample_rate = _checked_rate(sample_rate)
    x, y = _checked_pair(dry, wet, sample_rate)
    counts, delays = _checked_structures(stages, loop_delay)
    if not longest_s >= SHORTEST_S:
        raise ValueError(f"longest_s must be at least {SHORTEST_S:g} seconds, got {longest_s}")
    for name, signal in (("dry", x), ("wet", y)):
        if signal.abs().max() < SILENT:
            return PhaserStart(False, f"the {name} file is silent (peak below −80 dBFS): nothing can be told from it")
    report = progress or (lambda stage, fraction: None)
    report("offset between the files", 0.0)
    lags = offset_candidates(
        preemphasised(x, sample_rate), preemphasised(y, sample_rate), round(LONGEST_OFFSET_S * sample_rate)
    )
    first = _loudest(y, round(longest_s * sample_rate))
    x, y = (signal[first : first + round(longest_s * sample_rate)] for signal in (x, y))
    lag = lags[0] if len(lags) == 1 else _explaining(lags, x, y, sample_rate, Structure(counts[0], 0))
    offset = 0 if 0 <= lag <= SMALL_OFFSET else lag
    places = [(offset, lag)]
    if SMALL_OFFSET < lag <= max(counts):  # without a dry path all-passes answer so late, about a sample a stage
        places.append((0, 0))
    tried = (
        _searched(x, y, sample_rate, *place, counts, delays, _share(report, number, len(places)))
        for number, place in enumerate(places)
    )
    search = min(tried, key=lambda each: each.best.residual)
    report("verdict", 0.97)
    start = _start(search, first / sample_rate)
    report("done", 1.0)
    return start


def _searched(
    dry: Tensor,
    wet: Tensor,
    sample_rate: float,
    offset: int,
    lag: int,
    stages: list[int],
    loop_delays: list[int],
    report: Progress,
) -> PhaserSearch:
    """The best structure, feedback and sweep near an offset; lag: where the response from dry to wet is largest."""
    search = PhaserSearch(StaticPhasers(dry, wet, sample_rate, offset), report)
    search.find_stages([Structure(count, loop_delays[0]) for count in stages])
    search.find_feedback()
    search.find_loop_delay(loop_delays[1:])
    others = {lag, 0} if abs(lag) <= SMALL_OFFSET else {lag - 1, lag + 1}
    search.find_offset([StaticPhasers(dry, wet, sample_rate, other) for other in sorted(others - {offset})])
    return search


def _share(report: Progress, number: int, count: int) -> Progress:
    """The progress of one of several searches."""
    return lambda stage, done: report(stage, (number + done) / count)


def _explaining(lags: list[int], dry: Tensor, wet: Tensor, sample_rate: float, structure: Structure) -> int:
    """The lag with which fixed phasers without feedback, a frame each, explain most; the smallest of those as good."""
    left = {}
    for lag in lags:
        volume = StaticPhasers(dry, wet, sample_rate, lag).volume(structure, 0.0)
        cost, _ = frame_table(volume)
        left[lag] = float(cost.amin(1).sum()) / volume.energy
    return min((lag for lag in lags if left[lag] < AS_GOOD * min(left.values())), key=abs)


def _loudest(signal: Tensor, longest: int) -> int:
    """First sample of the stretch of `longest` samples that has the most amplitude, in hops of a hundredth of it."""
    if len(signal) <= longest:
        return 0
    hop = max(1, longest // 100)
    amplitude = signal[: len(signal) // hop * hop].unflatten(0, (-1, hop)).square().mean(1).sqrt()
    return int(amplitude.unfold(0, longest // hop, 1).sum(1).argmax()) * hop


# -------------------------------------------------------------------------------------------------------------- checks


def _checked_rate(sample_rate: float) -> float:
    if not isinstance(sample_rate, (int, float)) or isinstance(sample_rate, bool):
        raise TypeError(f"sample_rate must be a number, in Hz, got {type(sample_rate).__name__}")
    if not 4000 <= sample_rate < math.inf:
        raise ValueError(f"sample_rate must be at least 4000 Hz, got {sample_rate}")
    return float(sample_rate)


def _checked_pair(dry: Tensor | NDArray, wet: Tensor | NDArray, sample_rate: float) -> tuple[Tensor, Tensor]:
    signals = []
    for name, given in (("dry", dry), ("wet", wet)):
        try:
            signal = torch.as_tensor(given)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"{name} must be a tensor or an array, got {type(given).__name__}") from None
        if not signal.dtype.is_floating_point:
            raise TypeError(f"{name} must be floating point, full scale 1, got {signal.dtype}")
        if signal.ndim != 1:
            raise ValueError(f"{name} must be one channel, shape (time,), got {tuple(signal.shape)}")
        if not torch.isfinite(signal).all():
            raise ValueError(f"{name} has samples that are NaN or infinite")
        signals.append(signal.detach().cpu().float())
    x, y = signals
    if len(x) != len(y):
        raise ValueError(f"dry and wet must be equally long, got {len(x)} and {len(y)} samples")
    if len(x) < SHORTEST_S * sample_rate:
        raise ValueError(f"dry and wet must be at least {SHORTEST_S:g} s long, got {len(x) / sample_rate:.3g} s")
    return x, y


def _checked_structures(stages: int | Sequence[int], loop_delay: int | Sequence[int]) -> tuple[list[int], list[int]]:
    """The numbers of stages and the loop delays to choose from, smallest first."""
    counts = [stages] if isinstance(stages, int) else list(stages)
    delays = [loop_delay] if isinstance(loop_delay, int) else list(loop_delay)
    if not counts or not all(isinstance(k, int) and not isinstance(k, bool) and k >= 1 for k in counts):
        raise ValueError(f"stages must be a positive integer or several, got {stages!r}")
    if not delays or not all(type(d) is int and d in (0, 1) for d in delays):
        raise ValueError(f"loop_delay must be 0 or 1 samples or both, got {loop_delay!r}")
    return sorted(set(counts)), sorted(set(delays))


# -------------------------------------------------------------------------------------------------------------- result


def _start(search: PhaserSearch, first_s: float) -> PhaserStart:
    best, phasers, trials = search.best, search.phasers, search.coarse + search.tried
    curve = phasers.in_log_hz(best.sweep.curve)
    crest, _ = curve.crest()
    phases = torch.arange(CURVE_POINTS, dtype=torch.float64) / CURVE_POINTS + crest
    coefficients = curve.turned(crest)
    phase, phase_uncertainty = curve.phase_from_crest(-first_s)
    rates, scan = rate_costs(best.sweep, phasers.times, best.even)
    fixed, levelled = (min(each) for each in zip(*(candidate.fixed_residuals for candidate in trials), strict=True))
    identified, verdict = _verdict(best, fixed, levelled, phasers.duration, rates, scan)
    amplitude_left = math.sqrt(best.residual)
    return PhaserStart(
        identified,
        verdict,
        rate_hz=curve.rate_hz,
        rate_uncertainty_hz=curve.rate_deviation,
        phase_cycles=phase,
        phase_uncertainty_cycles=phase_uncertainty,
        curve_hz=torch.exp(curve.at(phases)),
        curve_uncertainty=torch.hypot(curve.deviation(phases), phases.new_tensor(CURVE_BIAS * amplitude_left)),
        log_coefficients=coefficients,
        even=best.even,
        feedback=best.feedback,
        feedback_uncertainty=math.hypot(search.feedback_uncertainty(), FEEDBACK_BIAS * amplitude_left),
        through=_through(best.sweep.gains, math.exp(coefficients[0]) / phasers.sample_rate),
        dry_taps=best.sweep.gains[:TAPS],
        wet_taps=best.sweep.gains[TAPS:],
        stages=best.structure.stages,
        loop_delay=best.structure.loop_delay,
        compared=tuple(_comparison(trials)),
        offset=phasers.offset,
        residual=best.residual,
        fixed_residual=fixed,
        scan_rates_hz=rates,
        scan_cost=scan,
        folded_hz=phasers.frequencies,
        folded_cost=folding_weights(curve.phase(phasers.times) - crest) @ best.sweep.cost,
    )


def _through(gains: Tensor, cycles_a_sample: float) -> float:
    """The ratio of both taps' responses at one frequency, its real part."""
    omega = gains.new_tensor([2 * math.pi * cycles_a_sample])
    dry, wet = (polynomial_response(taps, omega) for taps in (gains[:TAPS], gains[TAPS:]))
    return float((dry / wet).real)


def _comparison(tried: list[Candidate]) -> Iterator[Compared]:
    seen = set()
    for candidate in sorted(tried, key=lambda candidate: candidate.residual):
        if candidate.structure not in seen:
            seen.add(candidate.structure)
            yield Compared(candidate.structure, candidate.feedback, candidate.residual)


def _verdict(
    best: Candidate, fixed: float, levelled: float, duration: float, rates: Tensor, scan: Tensor
) -> tuple[bool, str]:
    """Whether it is a phaser whose rate can be told, and why, in words."""
    left, curve = best.residual, best.sweep.curve
    if left > UNEXPLAINED:
        return False, (
            f"no phaser explains the wet file: the best leaves {left:.0%} of it. Are the files of one take, "
            "sample-aligned within 50 ms, and is the effect a phaser?"
        )
    if left > levelled and levelled < UNMOVED * fixed:
        return False, (
            f"its level moves, not its colour: a level that follows leaves {levelled:.2%} of the wet file unexplained, "
            f"the best phaser {left:.2%}. The effect is a tremolo, a compressor or the like"
        )
    if left > UNMOVED * fixed:
        return False, (
            f"nothing sweeps as a phaser does: a filter that stands still leaves {fixed:.2%} of the wet file unexplained, "
            f"the best phaser {left:.2%}. The effect is another one, or its LFO stands still"
        )
    periods, drift = curve.rate_hz * duration, curve.rate_deviation * duration
    elsewhere = (rates - curve.rate_hz).abs() > 1 / duration
    rival = int(torch.where(elsewhere, scan, math.inf).argmin())
    found = float(torch.where(elsewhere, math.inf, scan).min())
    if scan[rival] < NO_RIVAL * found:
        return False, (
            f"a phaser, but its rate is not identified: {float(rates[rival]):.3g} Hz explains the files as well as "
            f"{curve.rate_hz:.3g} Hz. Give a longer recording, or one with more highs"
        )
    if periods < FEWEST_EVEN_PERIODS or drift > LARGEST_DRIFT:
        return False, (
            f"a phaser, but its rate is not identified: {duration:.3g} s hold {periods:.2g} periods of its LFO, if any. "
            "Give a longer recording"
        )
    words = (
        f"a phaser of {best.structure.stages} stages at {curve.rate_hz:.5g} ± {curve.rate_deviation:.1g} Hz, "
        f"feedback {best.feedback:+.2f}; {left:.2%} of the wet file is left for the fit"
    )
    if left > MUCH:
        words += " (much: a filter in its feedback, or another swept effect, as a wah)"
    assumed = "; fewer than 2½ periods: its LFO is assumed to fall as it rises" if best.even else ""
    return True, words + assumed
