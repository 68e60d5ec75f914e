"""Plugins equal their Python models, in hosts: LADSPA by ctypes, LV2 in ecasound, VST3 in pedalboard, CLAP in ours."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diffapf.export import Description, NotExportableError, describe, export
from diffapf.export.formats.dpf import class_id, find_dpf, vst_preset
from diffapf.export.formats.lv2 import uri
from tests.export.hosts import LadspaHost, build_clap_host, ecasound_lv2, play_clap
from tests.export.models import KINDS, PARITY_DB, RATE, changed, error_db, played, sound, turned

each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def dpf_is_there() -> bool:
    try:
        return find_dpf().is_dir()
    except NotExportableError:
        return False


needs_dpf = pytest.mark.skipif(not dpf_is_there(), reason="DPF is not installed")


def needs(*programs: str):
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{' and '.join(missing)} not installed")


@each_kind
def test_ladspa(make, tmp_path):
    """As a host has it by default, where the model is to single precision, and with controls turned."""
    model = make()
    description = describe(model)
    (plugin,) = export(description, tmp_path, ["ladspa"])
    host, x = LadspaHost(plugin), sound()
    assert host.names == [f"{k.name} ({k.unit})" if k.unit else k.name for k in description.knobs]
    defaults = [host.default(port) for port in host.controls]
    np.testing.assert_allclose(defaults, [knob.value for knob in description.knobs], rtol=3e-7, atol=1e-7)
    values = turned(description.knobs)
    with changed(model, description, values):
        reference = played(model, x)
    y = host.play(RATE, x, dict(enumerate(values.values())))
    assert error_db(y, reference) < PARITY_DB
    own = {i: float(np.float32(knob.value)) for i, knob in enumerate(description.knobs)}
    assert error_db(host.play(RATE, x, own), played(model, x)) < PARITY_DB


@needs("ecasound", "lv2_validate")
@each_kind
def test_lv2(make, tmp_path):
    model = make()
    description = describe(model)
    (bundle,) = export(description, tmp_path / "made", ["lv2"])
    said = subprocess.run(
        ["lv2_validate", *map(str, bundle.glob("*.ttl"))], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert "Found 0 errors" in said.stdout + said.stderr
    # ecasound reads a few digits of what it is told, and clips at full scale
    values, x = {name: float(np.float32(round(v, 1))) for name, v in turned(description.knobs).items()}, 0.2 * sound()
    with changed(model, description, values):
        reference = played(model, x)
    y = ecasound_lv2(bundle, uri(description), RATE, x, list(values.values()), tmp_path)
    assert error_db(y, reference) < PARITY_DB


@needs_dpf
@each_kind
def test_vst3(make, tmp_path):
    """Every knob has its name and its unit; raw values and presets are exact."""
    pedalboard = pytest.importorskip("pedalboard", reason="pedalboard is not installed")
    model = make()
    description = describe(model)
    bundle, preset = export(description, tmp_path, ["vst3"])
    plugin, x = pedalboard.load_plugin(str(bundle)), sound()
    parameters = [parameter for name, parameter in plugin.parameters.items() if name != "latency_frames"]
    assert [(p.name, p.label or "") for p in parameters] == [(k.name, k.unit) for k in description.knobs]
    assert plugin.preset_data[8:40].decode() == class_id(description, windows=False)
    assert plugin.reported_latency_samples == model.latency

    for block in (64, 512, 8192):
        assert error_db(plugin(x, RATE, buffer_size=block), in_time(model, x)) < PARITY_DB
    values = turned(description.knobs)
    preset.write_bytes(vst_preset(at_values(description, values)))
    plugin.load_preset(str(preset))
    with changed(model, description, values):
        assert error_db(plugin(x, RATE), in_time(model, x)) < PARITY_DB
    preset.write_bytes(vst_preset(description))
    plugin.load_preset(str(preset))
    assert error_db(plugin(x, RATE), in_time(model, x)) < PARITY_DB
    for parameter, knob in zip(parameters, description.knobs, strict=True):
        low, high = np.float32(knob.minimum), np.float32(knob.maximum)
        parameter.raw_value = (values[knob.symbol] - low) / (high - low)
        values[knob.symbol] = float(low + np.float32(parameter.raw_value) * (high - low))
    with changed(model, description, values):
        assert error_db(plugin(x, RATE), in_time(model, x)) < PARITY_DB


def at_values(description: Description, values: dict[str, float]) -> Description:
    return replace(description, knobs=tuple(replace(knob, value=values[knob.symbol]) for knob in description.knobs))


def in_time(model, x: np.ndarray) -> np.ndarray:
    """As hosts play it, which take the latency out."""
    longer = np.concatenate([x, np.zeros((2, model.latency), np.float32)], 1)
    return played(model, longer)[:, model.latency :]


@pytest.fixture(scope="module")
def clap_host(tmp_path_factory) -> Path:
    return build_clap_host(find_dpf(), tmp_path_factory.mktemp("host") / "clap_host")


@needs_dpf
@each_kind
def test_clap(make, tmp_path, clap_host):
    model = make()
    description = describe(model)
    (plugin,) = export(description, tmp_path, ["clap"])
    values, x = turned(description.knobs), sound()
    with changed(model, description, values):
        reference = played(model, x)
    y = play_clap([str(clap_host)], plugin, RATE, x, dict(enumerate(values.values())), tmp_path)
    assert error_db(y, reference) < PARITY_DB
    y = play_clap([str(clap_host)], plugin, RATE, x, {}, tmp_path)
    assert error_db(y, played(model, x)) < PARITY_DB
