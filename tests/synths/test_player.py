"""The player: blocks of any sizes, notes where they belong, slides, the oscillator's phase."""

from __future__ import annotations

import pytest
import torch

from diffapf.synths import player as players
from diffapf.synths.events import NoteEvent
from diffapf.synths.patch import AcidPatch
from diffapf.synths.player import Player

RATE = 48_000
TUNE = (
    NoteEvent(0.001, 0.02, 45),
    NoteEvent(0.03, 0.01, 57, 0.5, slide=True),
    NoteEvent(0.04, 0.03, 45.5),
    NoteEvent(0.06, 0.04, 50),  # cuts the one before it
)


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch):
    monkeypatch.setattr(players, "PIECE", 700)


def patch(**settings) -> AcidPatch:
    made = AcidPatch(RATE, noise=True, output_fir=True, **settings)
    made.set_parameters({"phase": 0.5, "level": 0.8, "gain_db.2": -3.0})
    if "cutoff_hz" in made.knots:
        made.set_parameters({"cutoff.1": 2.0, "cutoff.2": 0.0})
    return made


def streamed(player, sizes):
    state, blocks = player.initial_state(), []
    for size in sizes:
        block, state = player.process(size, state)
        blocks.append(block)
    return torch.cat(blocks)


@pytest.mark.parametrize("free_running", [False, True])
@pytest.mark.parametrize("filter", ["lowpass", "ladder", "coefficients", "lstm"])
def test_blocks_of_any_sizes_give_the_same_samples(filter, free_running):
    player = Player(patch(filter=filter), TUNE, free_running)
    whole = player.render()
    assert len(whole) == player.length == 4800 and whole.abs().max() > 0.01
    for size in (1, 64, 1000):
        assert torch.equal(streamed(player, [size] * (len(whole) // size + 1))[: len(whole)], whole)


def test_pieces_are_the_note_as_a_whole(monkeypatch):
    """The pieces, the sections' states and the phase between them leave no trace."""
    player = Player(patch(), TUNE)
    whole = player.render()
    monkeypatch.setattr(players, "PIECE", 100_000)
    assert (whole - player.render()).abs().max() < 1e-6


def test_a_note_is_what_the_patch_plays():
    sound = patch()
    y = Player(sound, [NoteEvent(0.0, 0.1, 45)]).render()
    with torch.no_grad():
        expected = sound(torch.full((4800,), 110.0, dtype=torch.float64))
    assert (y - expected).abs().max() < 1e-6


def test_every_note_starts_and_ends_where_it_is_written():
    y = Player(patch(), [NoteEvent(0.01, 0.02, 45), NoteEvent(0.05, 0.01, 45, velocity=0.5)]).render()
    assert not y[:480].any() and not y[480 + 960 : 2400].any() and len(y) == 2880
    torch.testing.assert_close(y[2450:2880], 0.5 * y[530:960], atol=1e-3, rtol=0)  # but for the noise


def test_an_hour_later_a_note_is_the_same():
    """Positions are rounded from float64 seconds."""
    player = Player(patch(), [NoteEvent(3600.1, 0.05, 45)])
    state = players.PlayerState(3600 * RATE + 4800)
    later, _ = player.process(2400, state)
    assert player.phrases[0].start == 3600 * RATE + 4800
    assert later[:1000].abs().max() > 0.01


def test_a_slide_glides_without_a_new_start():
    player = Player(patch(), TUNE)
    assert [(phrase.start, phrase.stop) for phrase in player.phrases] == [(48, 1008), (1440, 2880), (2880, 4800)]
    slide = player.phrases[1]
    pitch = slide.pitch(0, 1440, player.glide)
    assert pitch[0] == 57 and pitch[479] == 57
    assert pitch[480 + 240] == pytest.approx(57 - 11.5 * 240 / 2880)


def test_a_glide_that_is_cut_short_sets_out_from_where_it_was():
    events = [NoteEvent(0.0, 0.1, 40, slide=True), NoteEvent(0.1, 0.03, 52, slide=True), NoteEvent(0.13, 0.2, 40)]
    (phrase,) = Player(patch(), events).phrases
    pitch = phrase.pitch(0, phrase.stop, 0.06 * RATE)
    assert pitch[round(0.13 * RATE)] == pytest.approx(46)
    assert pitch.diff().abs().max() < 0.01 and pitch[-1] == 40


def test_the_oscillator_is_reset_or_runs_on():
    events = [NoteEvent(0.0, 0.0171, 45), NoteEvent(0.02, 0.0171, 45)]
    sound = AcidPatch(RATE)
    reset, running = (Player(sound, events, free).render() for free in (False, True))
    second = slice(960, 1700)
    assert (reset[second] - reset[:740]).abs().max() < 1e-6
    assert (running[second] - running[:740]).abs().max() > 0.1
    with torch.no_grad():
        sound.phase.set(2 * torch.pi * 110 * 0.02)
    turned = Player(sound, events[:1]).render()
    assert (running[second] - turned[:740]).abs().max() < 1e-5


def test_after_the_last_note_there_is_silence():
    player = Player(patch(), TUNE)
    _, state = player.process(player.length, player.initial_state())
    y, state = player.process(100, state)
    assert not y.any() and state.sample == player.length + 100
    assert len(player.process(0, state)[0]) == 0


def test_of_two_notes_at_once_the_later_is_heard():
    player = Player(patch(), [NoteEvent(0.0, 0.05, 45), NoteEvent(0.0, 0.03, 57)])
    assert [phrase.stop for phrase in player.phrases] == [1440]


WRONG = {
    "no notes": (lambda: Player(patch(), []), "no notes to play"),
    "no length": (lambda: NoteEvent(0.0, 0.0, 45), "longer than 0 s"),
    "less than a sample": (lambda: Player(patch(), [NoteEvent(0.0, 1e-6, 45)]), "shorter than a sample"),
    "before the start": (lambda: NoteEvent(-1.0, 1.0, 45), "0 s or later"),
    "too loud": (lambda: NoteEvent(0.0, 1.0, 45, 1.1), "velocity must lie from 0 to 1"),
    "no number": (lambda: NoteEvent(0.0, 1.0, float("nan")), "pitch of a note must be a finite number"),
    "too low": (lambda: Player(patch(), [NoteEvent(0.0, 1.0, -30)]), "MIDI pitch -30, 1.44"),
    "too high": (lambda: Player(patch(), [NoteEvent(0.0, 1.0, 140)]), "half the sample rate, 24000 Hz"),
    "a negative block": (lambda: Player(patch(), TUNE).process(-1, players.PlayerState()), "length must be"),
}


@pytest.mark.parametrize(("call", "words"), WRONG.values(), ids=WRONG)
def test_mistakes_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
