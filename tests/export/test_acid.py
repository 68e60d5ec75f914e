"""The acid synth as an instrument: its kernel, and plugins that are played by keys, equal the Python player."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess

import numpy as np
import pytest
import torch

from diffapf.export import NotExportableError, describe, export
from diffapf.export.formats.dpf import find_dpf
from diffapf.midi import Held, one_voice
from diffapf.synths.patch import AcidPatch
from diffapf.synths.player import Player
from tests.export.hosts import KernelHost, Lv2KeysHost, build_clap_host, play_clap
from tests.export.models import PARITY_DB, RATE, error_db
from tests.export.test_plugins import needs_dpf

# Keys that overlap, one that is held while another comes and goes, one struck again; times fall on samples.
KEYS = (
    Held(441 / RATE, 4410 / RATE, 45, 100 / 127),
    Held(6000 / RATE, 12000 / RATE, 33, 80 / 127),
    Held(8000 / RATE, 10000 / RATE, 57, 1.0),
    Held(14000 / RATE, 18000 / RATE, 40, 60 / 127),
    Held(16000 / RATE, 20000 / RATE, 52, 1.0),
    Held(20500 / RATE, 21500 / RATE, 45, 64 / 127),
)
LENGTH = 22_050
PATCHES = {
    "as fitted": {"shaped": True, "noise": True, "output_fir": True},
    "ladder": {"filter": "ladder"},
    "coefficients": {"filter": "coefficients", "shaped": True},
    "published coefficients": {"filter": "coefficients", "normalised": False},
}


def patch(**settings) -> AcidPatch:
    """Its numbers are somewhere within their ranges."""
    made = AcidPatch(RATE, **settings).double()
    random = np.random.default_rng(0)
    values = {"phase": 0.5, "level": 0.8}
    for spec in made.parameters_spec():
        if spec.name.startswith(("cutoff.", "gain_db.", "logits_")):
            values[spec.name] = spec.value + random.uniform(-0.5, 0.5)
        elif spec.name in ("osc_width", "osc_edge", "osc_dc", "tilt"):
            values[spec.name] = random.uniform(-0.3, 0.3)
    made.set_parameters(values)
    return made


def played(patch: AcidPatch) -> np.ndarray:
    """By the Python player, both channels."""
    player = Player(patch, one_voice(list(KEYS)))
    y, _ = player.process(LENGTH, player.initial_state())
    return np.stack([y.numpy(), y.numpy()])


def presses(rate: int = RATE) -> list[tuple[int, int, float]]:
    """(sample, pitch, velocity), 0 for a key let go, which comes before one that is pressed."""
    found = [(round(key.start_s * rate), key.pitch, key.velocity) for key in KEYS]
    found += [(round(key.stop_s * rate), key.pitch, 0.0) for key in KEYS]
    return sorted(found, key=lambda press: (press[0], press[2] > 0))


def pressed(host: KernelHost, knobs: dict[str, float] | None = None, blocks=(10**6,)) -> np.ndarray:
    kernel, parts, done = host.new(RATE), [], 0
    for symbol, value in (knobs or {}).items():
        host.set(kernel, symbol, value)
    for sample, pitch, velocity in [*presses(), (LENGTH, 0, 0.0)]:
        parts.append(host.process(kernel, np.zeros((2, sample - done), np.float32), blocks))
        host.c.kernel_note(kernel, pitch, velocity)
        done = sample
    return np.concatenate(parts, 1)


@pytest.mark.parametrize("settings", PATCHES.values(), ids=PATCHES)
def test_it_equals_the_player(tmp_path, settings):
    made = patch(**settings)
    host = KernelHost(describe(made), tmp_path)
    y = pressed(host)
    assert error_db(y, played(made)) < PARITY_DB
    np.testing.assert_array_equal(pressed(host, blocks=(1, 7, 300)), y)


def test_turned_knobs_and_another_rate(tmp_path):
    made = patch()
    knobs = {"cutoff": 0.75, "q": 3.0, "osc_shape": 0.25, "dist_gain": 2.5}
    host = KernelHost(describe(made), tmp_path)
    parameters = {spec.name: spec.value for spec in made.parameters_spec()}
    shifted = {name: value + 0.75 for name, value in parameters.items() if name.startswith("cutoff.")}
    made.set_parameters(shifted | {name: value for name, value in knobs.items() if name != "cutoff"})
    assert error_db(pressed(host, knobs), played(made)) < PARITY_DB


@needs_dpf
def test_vst3(tmp_path, monkeypatch):
    pedalboard = pytest.importorskip("pedalboard", reason="pedalboard is not installed")
    # DPF gives an instrument 2080 parameters for MIDI controllers; pedalboard would ask each for a thousand texts
    monkeypatch.setattr(pedalboard.VST3Plugin, "parameters", {})
    made = patch()
    bundle, preset = export(describe(made), tmp_path, ["vst3"])
    plugin = pedalboard.load_plugin(str(bundle))
    plugin.load_preset(str(preset))
    keys = [([0x90 if v else 0x80, p, round(127 * v)], s / RATE) for s, p, v in presses()]
    for block in (64, 512, 8192):
        y = plugin(keys, duration=LENGTH / RATE, sample_rate=RATE, num_channels=2, buffer_size=block, reset=True)
        assert error_db(y, played(made)) < PARITY_DB


def test_lv2(tmp_path):
    """In a host of ours, which hands on keys as atoms."""
    made = patch()
    (bundle,) = export(describe(made), tmp_path, ["lv2"])
    host = Lv2KeysHost(bundle, describe(made))
    for block in (64, 4096):
        assert error_db(host.play(RATE, LENGTH, presses(), block), played(made)) < PARITY_DB
    if shutil.which("lv2_validate"):
        said = subprocess.run(
            ["lv2_validate", *map(str, bundle.glob("*.ttl"))], capture_output=True, text=True, check=True
        )
        assert "Found 0 errors" in said.stdout + said.stderr


@needs_dpf
def test_clap(tmp_path):
    made = patch()
    (plugin,) = export(describe(made), tmp_path, ["clap"])
    host = build_clap_host(find_dpf(), tmp_path / "clap_host")
    y = play_clap([str(host)], plugin, RATE, np.zeros((2, LENGTH), np.float32), {}, tmp_path, presses())
    assert error_db(y, played(made)) < PARITY_DB


@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="ziglang is not installed")
def test_the_page(tmp_path, browser):
    made = patch()
    (page,) = export(describe(made), tmp_path, ["wasm"])
    tab = browser.new_page()
    tab.goto(page.as_uri())
    keys = [{"frame": s, "pitch": p, "velocity": v} for s, p, v in presses()]
    y = np.array(
        tab.evaluate(f"async (keys) => Array.from((await renderOffline([], {RATE}, {LENGTH}, keys))[0])", keys)
    )
    assert error_db(np.stack([y, y]), played(made)) < PARITY_DB
    tab.click("#play")
    tab.wait_for_timeout(200)
    assert tab.evaluate("isPlaying() && player.context.currentTime > 0")
    tab.close()


@pytest.mark.parametrize(
    ("settings", "format", "why"),
    [
        ({"filter": "lstm"}, "c", "too slow"),
        ({"level": "power"}, "c", "trajectory"),
        ({}, "ladspa", "LADSPA knows no keys"),
        ({}, "faust", "in C only"),
    ],
)
def test_what_cannot_be_played_is_refused(tmp_path, settings, format, why):
    with pytest.raises(NotExportableError, match=why):
        export(describe(AcidPatch(RATE, **settings)), tmp_path, [format])
    assert not any(tmp_path.iterdir())


def test_keys_between_blocks_are_kept_when_knobs_were_turned_first(tmp_path):
    host = KernelHost(describe(patch()), tmp_path)
    kernel = host.new(RATE)
    host.set(kernel, "q", 2.0)
    host.c.kernel_note(kernel, 45, 1.0)
    assert np.abs(host.process(kernel, np.zeros((2, 1000), np.float32))).max() > 0.01
    assert torch.isfinite(torch.from_numpy(host.process(kernel, np.zeros((2, 1000), np.float32)))).all()
