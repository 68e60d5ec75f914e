"""MIDI files as events of one voice."""

from __future__ import annotations

import pytest

from diffapf.midi import read_midi

mido = pytest.importorskip("mido")
TICKS = 100  # a beat; at 120 beats a minute, 200 a second


def midi_file(path, *messages, tempo=None, **options):
    """messages: (ticks since the last, "on" or "off", key, …)."""
    file = mido.MidiFile(ticks_per_beat=TICKS, **options)
    file.tracks.append(mido.MidiTrack())
    if tempo is not None:
        file.tracks[0].append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo)))
    for ticks, kind, key, *channel in messages:
        file.tracks[0].append(
            mido.Message(f"note_{kind}", note=key, velocity=127, time=ticks, channel=channel[0] if channel else 0)
        )
    file.save(path)
    return path


def events(path, **options):
    return [
        (round(e.start_s, 6), round(e.duration_s, 6), e.pitch, "slide" if e.slide else "")
        for e in read_midi(path, **options)
    ]


MELODIES = {
    "one after the other": (
        [(0, "on", 40), (100, "off", 40), (0, "on", 42), (50, "off", 42)],
        [(0.0, 0.5, 40, ""), (0.5, 0.25, 42, "")],
    ),
    "the next is struck first, at the same time": (
        [(0, "on", 40), (100, "on", 42), (0, "off", 40), (50, "off", 42)],
        [(0.0, 0.5, 40, ""), (0.5, 0.25, 42, "")],
    ),
    "legato": (
        [(0, "on", 40), (100, "on", 42), (20, "off", 40), (80, "off", 42)],
        [(0.0, 0.5, 40, "slide"), (0.5, 0.5, 42, "")],
    ),
    "held under another": (
        [(0, "on", 40), (100, "on", 42), (50, "off", 42), (50, "off", 40)],
        [(0.0, 0.5, 40, "slide"), (0.5, 0.25, 42, "slide"), (0.75, 0.25, 40, "")],
    ),
    "a chord": ([(0, "on", 45), (0, "on", 40), (100, "off", 40), (0, "off", 45)], [(0.0, 0.5, 45, "")]),
    "struck twice": ([(0, "on", 40), (100, "on", 40), (100, "off", 40)], [(0.0, 0.5, 40, ""), (0.5, 0.5, 40, "")]),
    "never let go": ([(0, "on", 40), (100, "on", 30, 9), (100, "off", 30, 9)], [(0.0, 1.0, 40, "")]),
    "a drum": ([(0, "on", 30, 9), (50, "off", 30, 9), (50, "on", 40), (100, "off", 40)], [(0.5, 0.5, 40, "")]),
}


@pytest.mark.parametrize(("messages", "expected"), MELODIES.values(), ids=MELODIES)
def test_one_voice_of_what_is_held(tmp_path, messages, expected):
    assert events(midi_file(tmp_path / "a.mid", *messages)) == expected


def test_tempo_velocity_and_transposition(tmp_path):
    path = midi_file(tmp_path / "a.mid", (0, "on", 40), (100, "off", 40), tempo=60)
    (event,) = read_midi(path, transpose=-11.5)
    assert (event.duration_s, event.pitch, event.velocity) == (1.0, 28.5, 1.0)


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"there is no MIDI file .*gone\.mid"):
        read_midi(tmp_path / "gone.mid")
    (tmp_path / "text.mid").write_text("no music")
    with pytest.raises(ValueError, match=r"text\.mid is not a MIDI file"):
        read_midi(tmp_path / "text.mid")
    (tmp_path / "empty.mid").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.mid is not a MIDI file"):
        read_midi(tmp_path / "empty.mid")
    for name, messages in {
        "none": [],
        "drums": [(0, "on", 30, 9), (9, "off", 30, 9)],
        "short": [(0, "on", 40), (0, "off", 40)],
    }.items():
        with pytest.raises(ValueError, match=rf"{name}\.mid has no notes to play"):
            read_midi(midi_file(tmp_path / f"{name}.mid", *messages))
    with pytest.raises(ValueError, match="of type 2"):
        read_midi(midi_file(tmp_path / "two.mid", (0, "on", 40), (9, "off", 40), type=2))


def test_a_damaged_file_is_refused(tmp_path):
    path = midi_file(tmp_path / "a.mid", (0, "on", 40), (100, "off", 40))
    whole = path.read_bytes()
    for length in (3, 13, 20, len(whole) - 3):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.mid"):
            read_midi(path)
