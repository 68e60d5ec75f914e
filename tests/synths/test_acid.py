"""The acid synth is its equations, with derivatives, in blocks, at any rate."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from diffapf.filters.control_rate import ControlRate
from diffapf.filters.methods import FrequencySampling
from diffapf.synths.acid import AcidState, AcidSynth, Note
from diffapf.synths.noise import white_noise
from tests.filters.oracles import esr
from tests.synths.notes import HOP, SYNTHS, notes, raw_values, small_synth, synth_loop, values

each_synth = pytest.mark.parametrize("settings", SYNTHS.values(), ids=SYNTHS)
each_without_network = pytest.mark.parametrize(
    "settings", [v for v in SYNTHS.values() if v["filter"] != "lstm"], ids=[k for k in SYNTHS if k != "lstm"]
)


@each_without_network
@pytest.mark.parametrize("frames", [26, 5, 60], ids=["frames", "too few, the last held", "too many"])
def test_it_is_its_equations(settings, frames):
    synth, note = small_synth(**settings), notes(400, 2)
    at = values(synth, frames, 2)
    noise = white_noise(note.noise_start, 0, 400, torch.float64).numpy()
    found = synth(note, at).detach().numpy()
    for row in range(2):
        np.testing.assert_allclose(found[row], synth_loop(synth, note, at, row, noise[row]), rtol=1e-9, atol=1e-11)
    assert np.abs(found).max() > 0.01


def test_the_lstm_is_its_equations():
    """tanh(x + linear(LSTM(x, cutoff, Q))), the LSTM's gates written out."""
    synth, note = small_synth(**SYNTHS["lstm"]), notes(60, 1)
    at = values(synth, 5, 1)
    weights = {name: tensor.detach().numpy() for name, tensor in synth.filter.named_parameters()}
    x = synth._excitation(synth._phase(note, note.phase), note, at, ControlRate.hop(HOP)).detach().numpy()[0]
    cutoff = np.interp(np.arange(60), HOP * np.arange(5), np.log(at["cutoff_hz"][0].numpy() / 100) / math.log(80))
    q = math.log(float(at["q"]) / 0.7071) / math.log(8 / 0.7071)
    hidden, cell, expected = np.zeros(64), np.zeros(64), []
    for n in range(60):
        gates = weights["lstm.weight_ih_l0"] @ [x[n], cutoff[n], q] + weights["lstm.bias_ih_l0"]
        gates = gates + weights["lstm.weight_hh_l0"] @ hidden + weights["lstm.bias_hh_l0"]
        enter, forget, candidate, leave = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(candidate)
        hidden = sigmoid(leave) * np.tanh(cell)
        out = math.tanh(x[n] + float(weights["linear.weight"][0] @ hidden + weights["linear.bias"][0]))
        expected.append(math.tanh(float(at["dist_gain"]) * out) if n < note.note_on[0] else 0.0)
    np.testing.assert_allclose(synth(note, at).detach()[0], expected, rtol=1e-9, atol=1e-11)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@each_synth
@pytest.mark.parametrize("batch", [(), (1,), (2, 3)], ids=str)
def test_any_batch_is_its_notes(settings, batch):
    synth, note, at = small_synth(**settings), notes(150, *batch), None
    at = values(synth, 10, *batch)
    found = synth(note, at)
    assert found.shape == note.f0_hz.shape
    for place in np.ndindex(*batch):
        one = Note(**{name: getattr(note, name)[place] for name in vars(note)})
        alone = synth(one, {name: value[place] for name, value in at.items()})
        torch.testing.assert_close(found[place], alone, rtol=1e-10, atol=1e-12)


def test_one_sound_plays_many_notes():
    synth, note = small_synth(filter="lowpass"), notes(150, 3)
    one = values(synth, 10)
    many = {name: value.expand(3, *value.shape) for name, value in one.items()}
    assert torch.equal(synth(note, one), synth(note, many))


@each_synth
def test_float32_is_float64_to_rounding(settings):
    synth, note = small_synth(**settings), notes(400, 2, dtype=torch.float32)
    at = values(synth, 26, 2)
    found = synth.float()(note, {name: value.float() for name, value in at.items()})
    assert found.dtype == torch.float32
    assert esr(found.detach(), synth.double()(notes(400, 2), at).detach()) < 1e-8


# --------------------------------------------------------------------------------------------------------- derivatives


@each_synth
def test_gradients_of_every_control(settings):
    synth, note = small_synth(**settings, hop=8), notes(40, 2)
    raw = {name: value.requires_grad_() for name, value in raw_values(synth, 6, 2).items()}
    for name in raw:

        def of_one(value: Tensor, name: str = name) -> Tensor:
            moved = {**raw, name: value}
            return synth(note, {control.name: control.value(moved[control.name]) for control in synth.controls})

        assert gradcheck(of_one, (raw[name],), fast_mode=True), name
    assert gradcheck(lambda f0: synth(replace(note, f0_hz=f0), values(synth, 6, 2)), (note.f0_hz.requires_grad_(),))


@each_synth
def test_second_derivatives(settings):
    synth, note = small_synth(**settings, hop=8), notes(24, 1)
    raw = raw_values(synth, 4, 1)
    names = [name for name in ("logits", "cutoff_hz", "q", "resonance", "decay", "gain_db") if name in raw]

    def of_some(*some: Tensor) -> Tensor:
        moved = {**raw, **dict(zip(names, some, strict=True))}
        return synth(note, {control.name: control.value(moved[control.name]) for control in synth.controls})

    assert gradgradcheck(of_some, [raw[name].requires_grad_() for name in names], fast_mode=True)


@each_synth
def test_a_network_is_reached_from_every_sample(settings):
    """No control of a batch is without gradient, and none is NaN."""
    synth, note = small_synth(**settings), notes(400, 2)
    raw = {name: value.requires_grad_() for name, value in raw_values(synth, 20, 2).items()}
    synth(note, {c.name: c.value(raw[c.name]) for c in synth.controls}).square().sum().backward()
    for name, value in raw.items():
        assert bool(value.grad.isfinite().all()), name
        rows = value.grad.reshape(2, -1).abs().sum(-1)
        assert bool((rows > 0).all()), name


def test_many_sounds_at_once_under_vmap():
    synth, note = small_synth(filter="lowpass"), notes(100)
    at = values(synth, 8, 3)
    together = torch.func.vmap(lambda some: synth(note, some))(at)
    alone = torch.stack([synth(note, {name: value[i] for name, value in at.items()}) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-12)


# ----------------------------------------------------------------------------------------------------------- streaming


@each_synth
@pytest.mark.parametrize("cuts", [[1, 2, 66, 130], [64, 192], [150], range(1, 200)], ids=["odd", "64s", "two", "ones"])
def test_blocks_are_the_whole(settings, cuts):
    synth, note = small_synth(**settings), notes(200, 2)
    at, state, blocks = values(synth, 13, 2), AcidState(), []
    with torch.no_grad():
        whole = synth(note, at)
        for start, stop in zip([0, *cuts], [*cuts, 200], strict=True):
            y, state = synth.process(replace(note, f0_hz=note.f0_hz[..., start:stop]), at, state)
            blocks.append(y)
    torch.testing.assert_close(torch.cat(blocks, -1), whole, rtol=1e-10, atol=1e-12)
    assert state.sample == 200


def test_blocks_beyond_the_last_frame_hold_it():
    """Of controls with other numbers of frames, each its own."""
    synth, note = small_synth(filter="ladder"), notes(200, 2)
    at = values(synth, 13, 2)
    at["cutoff_hz"], at["gain_db"] = at["cutoff_hz"][:, :3], at["gain_db"][:, :5]
    state, blocks = AcidState(), []
    for start in range(0, 200, 25):
        y, state = synth.process(replace(note, f0_hz=note.f0_hz[..., start : start + 25]), at, state)
        blocks.append(y)
    torch.testing.assert_close(torch.cat(blocks, -1), synth(note, at), rtol=1e-10, atol=1e-12)


def test_noise_is_white_and_another_from_another_start():
    one, other = white_noise(torch.tensor([0, 777]), 0, 20_000)
    assert abs(float(one.square().mean()) - 1) < 0.05
    assert abs(float((one * other).mean())) < 0.03
    spectrum = signal.welch(one, nperseg=256)[1]
    assert 10 * np.log10(spectrum[1:-1].max() / spectrum[1:-1].min()) < 4


# --------------------------------------------------------------------------------------------------------- rates, hops


@pytest.mark.parametrize("filter", ["lowpass", "ladder"])
def test_the_same_sound_at_any_sample_rate(filter):
    """A low note, swept between 300 and 900 Hz: what its oscillator folds back the filter takes away."""

    def at_300_hz(rate: int) -> Tensor:
        synth = AcidSynth(rate, filter, hop=rate // 300, level="power").double()
        resonance = {"q": 2.0, "resonance": 1.5}
        cutoff = 600 * 2 ** (0.6 * torch.sin(torch.arange(301).double() / 20))
        numbers = {"osc_shape": 0.9, "osc_gain": 0.5, "dist_gain": 1.0, "decay": 0.5, **resonance}
        at = {name: torch.tensor(value).double() for name, value in numbers.items()} | {"cutoff_hz": cutoff}
        note = Note(torch.full((rate,), 55.0).double(), torch.tensor(0.9 * rate), torch.tensor(0.3))
        step = rate // 300
        return synth(note, at)[step - 1 :: step]  # the first sample is a period of sampling late

    expected = at_300_hz(96_000)
    for rate in (44_100, 48_000):
        assert esr(at_300_hz(rate), expected) < 1e-3


@pytest.mark.parametrize("hop", [1, 7, 64, 1000])
def test_any_hop_holds_a_steady_sound(hop):
    def steady(hop: int) -> Tensor:
        synth = small_synth(filter="ladder", hop=hop)
        return synth(notes(300, 2), values(synth, 1, 2))

    assert torch.allclose(steady(hop), steady(16), rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------------------------------------- frequency sampling


@pytest.mark.parametrize("filter", ["coefficients", "lowpass", "ladder"])
def test_a_slow_filter_is_the_same_by_either_method(filter):
    synth = small_synth(filter=filter)
    note, at = notes(4000, 2, f0_hz=110.0), values(synth, 251, 2)
    slow = torch.linspace(0, 1, 251, dtype=torch.float64)
    for name in ("logits", "cutoff_hz"):
        if name in at:
            first, last = at[name][:, :1], at[name][:, -1:]
            along = slow[:, None] if name == "logits" else slow
            at[name] = first + along * (last - first)
    exact = synth(note, at)
    synth.method = FrequencySampling(64)
    assert esr(synth(note, at), exact) < 2e-3


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sample_rate": 0.0}, ["sample_rate", "positive", "0.0"]),
        ({"filter": "moog"}, ["filter", "ladder", "'moog'"]),
        ({"level": "loud"}, ["level", "power", "'loud'"]),
        ({"hop": 0}, ["hop", "positive", "0"]),
        ({"hop": 2.5}, ["hop", "2.5"]),
        ({"highest_hz": 24_000.0}, ["highest_hz", "half the sample rate", "24000"]),
        ({"highest_hz": 50.0}, ["highest_hz", "100 Hz", "50"]),
        ({"filter": "lstm", "method": FrequencySampling(4)}, ["LSTM", "TimeDomain"]),
    ],
    ids=str,
)
def test_wrong_settings_are_named(arguments, words):
    with pytest.raises(ValueError, match=words[0]) as raised:
        small_synth(**arguments)
    assert all(word in str(raised.value) for word in words)


F0 = torch.full((2, 50), 100.0).double()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"f0_hz": 0 * F0}, ["f0_hz", "5 Hz", "got 0 Hz"]),
        ({"f0_hz": -F0}, ["f0_hz", "-100"]),
        ({"f0_hz": 300 * F0}, ["f0_hz", "half the sample rate, 24000 Hz", "30000"]),
        ({"f0_hz": F0 * math.nan}, ["f0_hz", "nan"]),
        ({"f0_hz": F0[:, :0]}, ["f0_hz", "at least one sample", "(2, 0)"]),
        ({"f0_hz": F0[0, 0]}, ["f0_hz", "(..., time)", "()"]),
        ({"note_on": torch.tensor([20.0, 0.0])}, ["note_on", "positive", "0 to 20"]),
        ({"note_on": torch.tensor([20.0, -1.0])}, ["note_on", "positive", "-1"]),
        ({"note_on": torch.ones(3)}, ["note_on", "(2,)", "(3,)"]),
        ({"phase": torch.ones(2, 1)}, ["phase", "(2,)", "(2, 1)"]),
        ({"level": torch.ones(5)}, ["level", "(2,)", "(5,)"]),
    ],
    ids=lambda value: "" if isinstance(value, list) else str(*value),
)
def test_notes_that_cannot_be_played_are_named(changes, words):
    synth = small_synth(filter="lowpass")
    note = Note(**{"f0_hz": F0, "note_on": torch.tensor([40.0, 40.0]), "phase": torch.zeros(2), **changes})
    with pytest.raises(ValueError, match=words[0]) as raised:
        synth(note, values(synth, 5, 2))
    assert all(word in str(raised.value) for word in words)


@pytest.mark.parametrize(
    ("filter", "name", "value", "words"),
    [
        ("lowpass", "q", torch.tensor([1.0, 0.4]), ["q", "at least 0.5", "0.4 to 1"]),
        ("lstm", "q", torch.tensor([1.0, 0.4]), ["q", "at least 0.5", "0.4 to 1"]),
        ("ladder", "resonance", torch.tensor([1.0, 4.0]), ["resonance", "below 4", "1 to 4"]),
        ("lowpass", "cutoff_hz", torch.full((2, 5), 24_000.0), ["cutoff_hz", "below 24000", "got 24000"]),
        ("lowpass", "cutoff_hz", torch.zeros(2, 5), ["cutoff_hz", "at least 1", "got 0"]),
        ("lowpass", "cutoff_hz", torch.full((2, 5), math.nan), ["cutoff_hz", "nan"]),
        ("lowpass", "cutoff_hz", torch.full((2, 0), 100.0), ["cutoff_hz", "(2, frames)", "(2, 0)"]),
        ("lowpass", "cutoff_hz", torch.full((3, 5), 100.0), ["cutoff_hz", "(2, frames)", "(3, 5)"]),
        ("lowpass", "q", torch.ones(2, 5), ["q", "(2)", "(2, 5)"]),
        ("coefficients", "logits", torch.ones(5), ["logits", "(2, frames, 5)", "(5,)"]),
        ("coefficients", "logits", torch.ones(2, 9, 4), ["logits", "(2, frames, 5)", "(2, 9, 4)"]),
        ("coefficients", "osc_gain", None, ["osc_gain", "missing", "logits"]),
    ],
    ids=str,
)
def test_values_that_make_no_sense_are_named(filter, name, value, words):
    synth = small_synth(filter=filter)
    at = values(synth, 5, 2)
    if value is None:
        del at[name]
    else:
        at[name] = value.double()
    with pytest.raises(ValueError, match=words[0]) as raised:
        synth(notes(50, 2), at)
    assert all(word in str(raised.value) for word in words)


def test_numbers_in_place_of_tensors_are_named():
    synth = small_synth(filter="lowpass")
    with pytest.raises(TypeError, match=r"q must be a tensor, got 4\.0"):
        synth(notes(50, 2), {**values(synth, 5, 2), "q": 4.0})
    with pytest.raises(TypeError, match=r"note_on must be a tensor, got \[40, 40\]"):
        synth(Note(F0, [40, 40], torch.zeros(2)), values(synth, 5, 2))


def test_a_network_is_kept_once():
    names = small_synth(filter="lstm").state_dict()
    assert names and all(name.startswith("filter.") for name in names)
