"""Fitting notes: of the synth's own, and (where they are) of a real instrument."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from diffapf.identification.acid_fit import fit_acid, smooth_knots
from diffapf.notes import Notes, folds, read_labelled
from diffapf.synths.acid import AcidSynth
from diffapf.synths.patch import AcidPatch

pytest.importorskip("auraloss")

RATE, LENGTH = 48_000, 4000
RECORDINGS = Path(__file__).parents[2] / "../shared/data/acid"


def made_notes(filter="lowpass") -> Notes:
    """Two notes that the synth plays."""
    sounds, pitches = [], (82.0, 123.0)
    for hz, cutoff, q in zip(pitches, ((1.5, -1.0), (2.0, 0.0)), (2.0, 1.0), strict=True):
        patch = AcidPatch(RATE, filter=filter, knots={"cutoff_hz": 2}, spacing_s={"cutoff_hz": 0.07})
        patch.set_parameters({"cutoff.1": cutoff[0], "cutoff.2": cutoff[1], "q": q, "phase": 2.0, "level": 0.7})
        with torch.no_grad():
            sounds.append(patch(torch.full((LENGTH,), hz)))
    f0 = torch.tensor(pitches)[:, None].expand(-1, LENGTH).clone()
    return Notes(torch.stack(sounds), f0, torch.tensor([LENGTH, LENGTH]), RATE, ["low", "high"])


@pytest.fixture(scope="module")
def notes():
    return made_notes()


def synth(filter="lowpass", **settings):
    return AcidSynth(RATE, filter, **settings)


def test_a_descent_finds_a_smooth_patch(notes):
    seen = []
    fit = fit_acid(notes, synth(), steps=40, knots=3, progress=lambda step, loss: seen.append(step))
    assert seen == list(range(1, 41)) and not fit.interrupted
    assert fit.after < 0.5 * fit.before
    turns = (fit.phase - 2.0) / (2 * math.pi)
    assert (turns - turns.round()).abs().max() < 0.05, "the phase is found"
    assert fit.of_notes.shape == (2,) and fit.values["cutoff_hz"].shape == (2, 3)
    assert fit.spacing_s["cutoff_hz"] == pytest.approx(LENGTH / RATE / 2)
    falls = fit.values["cutoff_hz"]
    assert (falls[:, 0] > falls[:, -1]).all()


@pytest.mark.parametrize("filter", ["lowpass", "ladder", "coefficients", "lstm"])
def test_a_patch_plays_what_was_fitted(notes, filter):
    played = synth(filter, shaped=True, noise=True, output_fir=True)
    fit = fit_acid(notes, played, steps=2, knots=None if filter == "coefficients" else {"gain_db": 9, "cutoff_hz": 4})
    with torch.no_grad():
        patch = fit.patch(1)(notes.f0_hz[1], int(notes.note_on[1]))
    assert (patch - fit.render()[1]).abs().max() < 1e-4 * patch.abs().max()
    assert all(p.grad is None for p in played.parameters()), "its networks are not fitted"


def test_a_start_is_taken_at_frames_or_at_knots(notes):
    frames = torch.linspace(2.0, -2.0, 126).expand(2, -1)
    fit = fit_acid(notes, synth(), 1, knots=5, start={"cutoff_hz": frames, "q": torch.tensor([0.5, -0.5])})
    control = next(control for control in synth().controls if control.name == "cutoff_hz")
    raw = control.raw(fit.values["cutoff_hz"])
    assert (raw - torch.linspace(2.0, -2.0, 5)).abs().max() < 0.05
    assert fit.values["q"][0] > fit.values["q"][1]


def test_fit_this_sample_from_the_truth_stays_there(notes):
    first = fit_acid(notes, synth(), 60, knots=3, moved=0.0)
    raw = {control.name: control.raw(first.values[control.name]) for control in synth().controls}
    again = fit_acid(notes, synth(), 1, knots=3, start={**raw, "phase": first.phase})
    assert again.before == pytest.approx(first.after, abs=0.01)


def test_ctrl_c_keeps_the_best_so_far(notes):
    def stop(step, loss):
        if step == 5:
            raise KeyboardInterrupt

    fit = fit_acid(notes, synth(), 40, knots=3, progress=stop)
    assert fit.interrupted and len(fit.history) == 5
    assert fit.after < fit.before


def test_smooth_knots_are_a_time_apart(notes):
    assert smooth_knots(synth(), notes) == {"cutoff_hz": 5, "gain_db": 32}
    assert smooth_knots(synth(), notes, 7) == {"cutoff_hz": 7, "gain_db": 48}


def silent(notes):
    return Notes(torch.zeros_like(notes.audio), notes.f0_hz, notes.note_on, RATE, notes.names)


WRONG = {
    "another rate": (lambda notes: fit_acid(notes, AcidSynth(44_100)), "48000 Hz, the synth 44100 Hz"),
    "silence": (lambda notes: fit_acid(silent(notes), synth()), "low, high: silent"),
    "one knot": (lambda notes: fit_acid(notes, synth(), knots=1), "knots must be whole numbers, at least 2, got 1"),
    "no such knots": (lambda notes: fit_acid(notes, synth(), knots={"q": 3}), "no control 'q' moves"),
    "no steps": (lambda notes: fit_acid(notes, synth(), 0), "steps must be a whole number, at least 1, got 0"),
    "more than all": (lambda notes: fit_acid(notes, synth(), moved=2.0), "moved must be a share from 0 to 1"),
    "an unknown start": (lambda notes: fit_acid(notes, synth(), start={"cutof": torch.zeros(2)}), "start.*'cutof'"),
    "a start of other notes": (
        lambda notes: fit_acid(notes, synth(), start={"q": torch.zeros(3)}),
        r"start: q must be \(notes,\).*got \(3,\)",
    ),
    "a phase of other notes": (
        lambda notes: fit_acid(notes, synth(), start={"phase": torch.zeros(3)}),
        r"start: phase must be \(notes,\).*got \(3,\)",
    ),
}


@pytest.mark.parametrize(("call", "words"), WRONG.values(), ids=WRONG)
def test_mistakes_are_named(notes, call, words):
    with pytest.raises(ValueError, match=words):
        call(notes)


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recorded notes are not here")
def test_real_notes():
    """Some steps from nothing; a long fit's figures are in the class's source, acid-synth-notes."""
    pytest.importorskip("librosa")
    every = read_labelled(RECORDINGS / "notes.wav", RECORDINGS / "notes.csv")
    some = every.subset(folds(len(every), 2)[1][:2])
    played = synth(shaped=True, noise=True, output_fir=True)
    fit = fit_acid(some, played, 12, knots=smooth_knots(played, some))
    assert fit.after < 0.9 * fit.before
