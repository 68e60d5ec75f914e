"""`diffapf check`: everything that can be said of a dry and a wet recording before a model is made of them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from diffapf import audio
from diffapf.audio import AudioError, Pair
from diffapf.capture import noise_floor_db
from diffapf.findings import ERROR, NOTE, OK, WARNING, Finding, sentences
from diffapf.identification.alignment import Alignment, align
from diffapf.identification.cross_spectra import FRAME
from diffapf.identification.lateness import advanced

DC_DBFS, DC_SHARE = -60.0, 0.02  # an offset above both, the second of the signal's RMS
MAINS_HZ = (50.0, 60.0)
HUM_HARMONICS = 6
HUM_DB, HUM_DBFS = 15.0, -85.0  # above its surroundings and above dry's, and of full scale
HUM_FRAME_S = 2.0
LEVEL_DB = 20.0
UNSURE = 0.3  # samples
EARLY = 2.0
RELATED = 0.1  # of wet's power that a fixed filter makes of dry
EXPANDS = 1.15  # dB of wet for a dB of dry
LEVEL_BLOCK_S = 0.05
FLAT_DB, FLAT_COHERENCE = 0.05, 0.99999
WORDS = {"dry": r"dry|input|di|clean", "wet": r"wet|output|processed"}


@dataclass(frozen=True)
class CheckedPair:
    """What was found of two files; no pair where there is an error, no alignment where there is no telling."""

    pair: Pair | None
    findings: list[Finding]
    alignment: Alignment | None = None

    def usable(self) -> Pair:
        """The pair; raises AudioError, with all that is wrong, where there is none."""
        if self.pair is None:
            raise AudioError("\n".join(sentences(self.findings, ERROR)))
        return self.pair

    def aligned(self) -> Pair:
        """The same with the latency taken out, to a fraction of a sample, where it is known for sure.

        What the effect's own phase leaves uncertain is for a fit to find.
        """
        pair, late = self.usable(), self.latency
        if late == 0.0:
            return pair
        wet = advanced(torch.from_numpy(pair.wet), late).numpy()
        early, beyond = math.ceil(max(0.0, -late)), math.ceil(max(0.0, late))
        covered = early / pair.sample_rate, (wet.shape[-1] - beyond) / pair.sample_rate
        return replace(pair, wet=wet, covered=covered)

    @property
    def latency(self) -> float:
        """Samples by which wet is late, as far as that is known; whole ones where their parts are not."""
        found = self.alignment
        if found is None or found.coherence < RELATED or found.error > UNSURE:
            return 0.0
        whole = round(found.delay)
        return found.delay if found.differs_from(whole) else float(whole)


def check_pair(dry_path: str | os.PathLike, wet_path: str | os.PathLike) -> CheckedPair:
    """Makes every check on what went into an effect and what came out of it, and only then says what it found.

    Of the files: rate, channels, length, silence, clipping, offset (DC), hum; of one against the other: level, sameness,
    whether they belong together and are in their order, polarity, latency to a fraction of a sample, drift; and what noise
    there is, where dry is our test signal. Each has a finding at least.
    """
    pair, findings = audio.examine_pair(dry_path, wet_path)
    if pair is None:
        return CheckedPair(None, findings)
    names = str(dry_path), str(wet_path)
    for name, samples in zip(names, (pair.dry, pair.wet), strict=True):
        findings += audio.or_ok(_of_offset(name, samples), "dc", f"{name} has no offset (DC)")
    findings += audio.or_ok(_of_hum(pair, *names), "hum", f"{names[1]} has no hum that {names[0]} has not")
    findings += audio.or_ok(_of_level(pair, *names), "level", "the levels are alike")
    findings += audio.or_ok(
        _of_noise(pair, names[1]), "noise", "the noise was not measured: dry is not our test signal"
    )
    dry, wet = (torch.from_numpy(samples[_loudest(pair)]) for samples in (pair.dry, pair.wet))
    alignment = align(dry, wet, pair.sample_rate) if min(len(dry), len(wet)) >= 2 * FRAME else None
    if alignment is not None:
        findings += _of_alignment(alignment, pair, *names)
    findings += audio.or_ok(_of_order(pair, alignment, *names), "order", "the files are in their order")
    if not any(finding.check == "same" for finding in findings):
        findings += audio.or_ok(_of_bypass(alignment, *names), "same", "wet is not dry")
    return CheckedPair(replace(pair, findings=tuple(findings)), findings, alignment)


# ---------------------------------------------------------------------------------------------------------- each by itself


def _of_offset(name: str, samples: np.ndarray) -> Iterator[Finding]:
    mean = float(np.abs(samples.mean(axis=-1)).max())
    rms = float(np.sqrt(np.square(samples).mean()))
    if mean > 10 ** (DC_DBFS / 20) and mean > DC_SHARE * rms:
        yield Finding(
            "dc",
            WARNING,
            f"{name} has an offset (DC) of {100 * mean:.2g} % of full scale",
            "take it out with a high-pass at 5 Hz, and look for its cause in the interface",
        )


def _of_hum(pair: Pair, dry_name: str, wet_name: str) -> Iterator[Finding]:
    """Lines at multiples of the mains' frequency that wet has all the time, and dry has not."""
    dry, wet = (_steady_spectrum(samples[_loudest(pair)], pair.sample_rate) for samples in (pair.dry, pair.wet))
    for mains in MAINS_HZ:
        lines = [mains * k for k in range(1, HUM_HARMONICS + 1) if mains * k < 0.4 * pair.sample_rate]
        heights = [_line_db(*wet, hz) for hz in lines]
        above = [height - max(0.0, _line_db(*dry, hz)) for height, hz in zip(heights, lines, strict=True)]
        levels = [_level_db(*wet, hz) for hz in lines]
        heard = [
            hz
            for hz, height, more, level in zip(lines, heights, above, levels, strict=True)
            if min(height, more) > HUM_DB and level > HUM_DBFS
        ]
        if len(heard) >= 2 or (heard and heard[0] == mains):
            loudest = max(level for hz, level in zip(lines, levels, strict=True) if hz in heard)
            yield Finding(
                "hum",
                WARNING,
                f"{wet_name} hums at {', '.join(f'{hz:g}' for hz in heard)} Hz ({loudest:.0f} dBFS), "
                f"which {dry_name} does not",
                "find the ground loop, move the pedal away from its supply, and record it again",
            )
            return


def _steady_spectrum(x: np.ndarray, sample_rate: float) -> tuple[np.ndarray, float]:
    """(power of what is there all the time, 1 for a sine of amplitude 1; Hz of a bin): the lower quartile over frames."""
    frame = min(len(x), round(HUM_FRAME_S * sample_rate))
    starts = np.arange(0, len(x) - frame + 1, max(1, frame // 4))
    window = np.blackman(frame)
    frames = np.stack([x[start : start + frame] for start in starts[:: max(1, len(starts) // 60)]])
    spectra = np.abs(np.fft.rfft(frames * window, axis=-1)) * 2 / window.sum()
    return np.quantile(np.square(spectra), 0.25, axis=0), sample_rate / frame


def _line_db(power: np.ndarray, bin_hz: float, hz: float) -> float:
    """By how much a line stands above what is 3 to 8 Hz beside it."""
    at, near, far = round(hz / bin_hz), round(3 / bin_hz), round(8 / bin_hz)
    beside = np.concatenate([power[max(0, at - far) : max(1, at - near)], power[at + near : at + far]])
    return 10 * math.log10((power[at - 1 : at + 2].max() + 1e-20) / (np.quantile(beside, 0.75) + 1e-20))


def _level_db(power: np.ndarray, bin_hz: float, hz: float) -> float:
    at = round(hz / bin_hz)
    return 10 * math.log10(power[at - 1 : at + 2].max() + 1e-30)


# ------------------------------------------------------------------------------------------------- one against the other


def _of_level(pair: Pair, dry_name: str, wet_name: str) -> Iterator[Finding]:
    louder = 10 * math.log10(np.square(pair.wet).mean() / np.square(pair.dry).mean())
    if abs(louder) > LEVEL_DB:
        yield Finding(
            "level",
            WARNING,
            f"{wet_name} is {abs(louder):.0f} dB {'louder' if louder > 0 else 'quieter'} than {dry_name}",
            "check the send and return levels; a pair within 20 dB has less noise",
        )
    for name, samples in ((dry_name, pair.dry), (wet_name, pair.wet)):
        peak = float(np.abs(samples).max())
        if peak > 1.0:
            yield Finding(
                "level",
                WARNING,
                f"{name} goes {20 * math.log10(peak):.1f} dB beyond full scale",
                "turn it down before it is converted to a format with fixed point; a model of it may clip",
            )


def _of_noise(pair: Pair, wet_name: str) -> Iterator[Finding]:
    floor = noise_floor_db(pair.dry[0], pair.wet[0], pair.sample_rate)
    if floor is None:
        return
    words = f"the two passes of the test signal in {wet_name} differ by {floor:.1f} dB"
    if floor > -40:
        advice = "no model can come nearer than this; an LFO makes them differ too, otherwise look for noise"
        yield Finding("noise", WARNING, words, advice)
    else:
        yield Finding("noise", NOTE, words, "no model can come nearer than this")


def _of_alignment(found: Alignment, pair: Pair, dry_name: str, wet_name: str) -> Iterator[Finding]:
    if found.coherence < RELATED:
        yield Finding(
            "related",
            WARNING,
            f"{wet_name} has hardly anything in common with {dry_name} ({100 * found.coherence:.0f} % of its power), "
            "so latency, polarity and drift cannot be told",
            "check that both are of the same take; reverbs and long echoes alone look so as well",
        )
        return
    yield Finding("related", OK, f"{100 * found.coherence:.0f} % of wet's power is a filter's of dry")
    if found.polarity < 0:
        yield Finding(
            "polarity",
            NOTE,
            f"{wet_name} is upside down (its polarity is inverted)",
            "a fit takes this as a negative level",
        )
    else:
        yield Finding("polarity", OK, "the polarity is right")
    yield from _of_latency(found, pair, wet_name)
    yield from _of_drift(found, pair, wet_name)


def _of_latency(found: Alignment, pair: Pair, wet_name: str) -> Iterator[Finding]:
    words = (
        f"{wet_name} is {abs(found.delay):.2f} ± {found.error:.2f} samples "
        f"({abs(found.delay) / pair.sample_rate * 1000:.3g} ms) {'late' if found.delay >= 0 else 'early'}"
    )
    if found.error > UNSURE:
        yield Finding(
            "latency",
            WARNING,
            f"{words}: filtering and delay cannot be told apart",
            "measure the latency with the effect bypassed, and cut it off",
        )
    elif found.differs_from(0.0):
        yield Finding("latency", NOTE, words, "a fit compensates it")
    else:
        yield Finding("latency", OK, words)


def _of_drift(found: Alignment, pair: Pair, wet_name: str) -> Iterator[Finding]:
    if not math.isfinite(found.drift_error_ppm):
        yield Finding("drift", OK, "the recording is too short to tell whether the clocks drift")
    elif found.drifts:
        moved = 1e-6 * found.drift_ppm * pair.wet.shape[-1]
        yield Finding(
            "drift",
            WARNING,
            f"the clocks drift: {wet_name} gets {abs(moved):.2f} samples {'later' if moved > 0 else 'earlier'} in all "
            f"({found.drift_ppm:+.2f} ± {found.drift_error_ppm:.2f} ppm)",
            "play and record on one interface, or on two with one word clock",
        )
    else:
        yield Finding(
            "drift", OK, f"the clocks do not drift ({found.drift_ppm:+.2f} ± {found.drift_error_ppm:.2f} ppm)"
        )


def _of_order(pair: Pair, alignment: Alignment | None, dry_name: str, wet_name: str) -> Iterator[Finding]:
    """Signs that what is called wet went in: it comes first, it is more dynamic, or its name says so."""
    reasons = []
    if _says(dry_name, "wet") and _says(wet_name, "dry"):
        reasons.append("their names say so")
    if alignment is not None and alignment.coherence >= RELATED:
        if alignment.delay < -max(EARLY, 3 * alignment.error):
            reasons.append(f"wet comes {-alignment.delay:.1f} samples before dry")
        slope = _dynamics(pair)
        if slope > EXPANDS:
            reasons.append(f"wet rises by {slope:.2f} dB for a dB of dry, as before a compressor")
    if reasons:
        yield Finding(
            "order",
            WARNING,
            f"{dry_name} and {wet_name} may be swapped: {', and '.join(reasons)}",
            "dry is what went in, wet what came out; if they are right, wet was cut too early or expands",
        )


def _says(name: str, which: str) -> bool:
    """Whether a file's name has a word for dry or wet, and none for the other.

    >>> _says("takes/my_wet.wav", "wet"), _says("sweater.wav", "wet")
    (True, False)
    """
    stem = Path(name).stem.lower()
    said = {side for side, words in WORDS.items() if re.search(rf"(?<![a-z])({words})(?![a-z])", stem)}
    return said == {which}


def _dynamics(pair: Pair) -> float:
    """The slope of wet's level over dry's, in dB of 50 ms, as the standard deviations' ratio where they go together."""
    block = round(LEVEL_BLOCK_S * pair.sample_rate)
    channel, blocks = _loudest(pair), pair.wet.shape[-1] // block
    dry, wet = (
        10 * np.log10(np.square(samples[channel, : blocks * block].reshape(blocks, block)).mean(-1) + 1e-12)
        for samples in (pair.dry, pair.wet)
    )
    loud = dry > dry.max() - 40
    if loud.sum() < 10 or dry[loud].std() < 1:
        return 1.0
    return float(np.polyfit(dry[loud], wet[loud], 1)[0])


def _of_bypass(alignment: Alignment | None, dry_name: str, wet_name: str) -> Iterator[Finding]:
    if alignment is None:
        return
    whole = alignment.spectra.whole
    sure = whole.coherence[0] > FLAT_COHERENCE
    if sure.sum() < 0.2 * sure.numel():
        return
    gains = 10 * (whole.cross[0].abs() / whole.dry[0])[sure].log10() * 2
    if gains.max() - gains.min() < 2 * FLAT_DB:
        yield Finding(
            "same",
            WARNING,
            f"{wet_name} is {dry_name} at {float(gains.mean()):+.1f} dB, and nothing else",
            "was the effect bypassed, or one track exported twice?",
        )


def _loudest(pair: Pair) -> int:
    """The channel of wet with the most power."""
    return int(np.square(pair.wet).mean(axis=-1).argmax())
