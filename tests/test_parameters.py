"""Knobs, named parameters and preset files."""

from __future__ import annotations

import math

import pytest
import torch
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from diffapf.parameters import (
    BOUND,
    Named,
    NamedSeries,
    ParameterSpec,
    Preset,
    absolute,
    bounded,
    exponential,
    linear,
    named_parameters,
    network_state,
    read_preset,
    write_preset,
)
from tests.filters.oracles import quick

finite = st.floats(allow_nan=False, allow_infinity=False)

# A mapping and the values that it can have.
MAPPINGS = {
    "linear": (linear, st.floats(-1e6, 1e6)),
    "exponential": (exponential, st.floats(1e-3, 1e6)),
    "absolute": (absolute, st.floats(0, 1e6)),
    "bounded": (bounded, st.floats(-0.98, 0.98)),
}
each_mapping = pytest.mark.parametrize(("mapping", "values"), MAPPINGS.values(), ids=MAPPINGS)


# ---------------------------------------------------------------------------------------------------------------- knobs


@pytest.mark.parametrize("taper", ["linear", "log"])
def test_position_and_value_are_inverse(taper):
    edges = st.floats(1e-3, 1e5) if taper == "log" else st.floats(-1e5, 1e5)

    @quick
    @given(edges, edges, st.floats(0, 1))
    def inverse(low, high, position):
        low, high = min(low, high), max(low, high)
        assume(high - low > 1e-3 * max(abs(low), abs(high), 1))
        spec = ParameterSpec("gain", low, "", low, high, taper)
        value = spec.at(position)
        assert spec.knob(value) == pytest.approx(position, abs=1e-9)
        assert spec.at(spec.knob(value)) == pytest.approx(value, rel=1e-9, abs=1e-9 * (high - low))
        assert (spec.knob(low), spec.knob(high)) == pytest.approx((0, 1))

    inverse()


def test_tapers():
    assert ParameterSpec("gain", 0.0, "", -1.0, 3.0, "linear").at(0.5) == 1.0
    assert ParameterSpec("cutoff", 20.0, "Hz", 20.0, 20_000.0, "log").at(1 / 3) == pytest.approx(200.0)


def test_a_knob_stops_at_its_ends():
    spec = ParameterSpec("gain", 0.5, "", 0.0, 1.0, "linear")
    assert (spec.knob(-3.0), spec.knob(7.0)) == (0.0, 1.0)


@pytest.mark.parametrize("position", [-0.1, 1.1, math.nan])
def test_a_position_is_between_0_and_1(position):
    with pytest.raises(ValueError, match=rf"gain.*\[0, 1\].*{position}"):
        ParameterSpec("gain", 0.5, "", 0.0, 1.0, "linear").at(position)


@pytest.mark.parametrize("use", [lambda spec: spec.at(0.5), lambda spec: spec.knob(0.5)], ids=["at", "knob"])
def test_without_a_range_there_is_no_knob(use):
    with pytest.raises(ValueError, match="weight has no range"):
        use(ParameterSpec("weight", 0.5, "", None, None, "linear"))


def test_every_phaser_knob_contains_its_default():
    from diffapf import Phaser

    for spec in Phaser(44_100, feedback_highpass_hz=100.0).parameters_spec():
        assert spec.at(spec.knob(spec.value)) == pytest.approx(spec.value, rel=1e-9, abs=1e-12), spec.name


# ------------------------------------------------------------------------------------------------------ named parameters


@each_mapping
def test_a_value_is_read_back_exactly(mapping, values):
    @quick
    @given(values, values)
    def exact(default, value):
        parameter = Named(default, "", mapping=mapping)
        assert parameter().item() == default
        with torch.no_grad():
            parameter.step += 0.3
        parameter.set(value)
        assert parameter().item() == value
        assert parameter.spec("name").value == value

    exact()


@pytest.mark.parametrize("cast", [nn.Module.float, nn.Module.double], ids=["float", "double"])
def test_a_value_is_read_back_exactly_in_any_precision(cast):
    """The step has the module's dtype; the value that was set does not."""
    parameter = cast(Named(0.1, "Hz"))
    assert parameter().item() == 0.1
    parameter.set(0.2)
    assert parameter().item() == 0.2


@each_mapping
def test_a_step_moves_the_value(mapping, values):
    @quick
    @given(values, st.floats(0.01, 1.0))
    def moves(value, step):
        value = torch.tensor(value, dtype=torch.float64)
        step = torch.tensor(step, dtype=torch.float64)
        assert mapping(value, step) > mapping(value, torch.zeros_like(step))

    moves()


def test_bounded_stays_within_its_limit():
    for part in (-0.999, 0.0, 0.5, 0.999):
        for step in (-1e3, -3.0, 0.0, 3.0, 1e3):
            value = bounded(torch.tensor(part * BOUND, dtype=torch.float64), torch.tensor(step, dtype=torch.float64))
            assert abs(value) <= BOUND * (1 + 1e-12)


def test_exponential_steps_are_ratios():
    parameter = Named(100.0, "Hz", 10.0, 1000.0, taper="log")
    with torch.no_grad():
        parameter.step += math.log(2)
    assert parameter().item() == pytest.approx(200.0)


@each_mapping
def test_rescaling_keeps_the_value(mapping, values):
    @quick
    @given(values, st.floats(-1, 1), st.floats(0.01, 100))
    def keeps(value, step, scale):
        parameter = Named(value, "", mapping=mapping)
        with torch.no_grad():
            parameter.step += step
        before = parameter().item()
        parameter.rescale(scale)
        assert parameter().item() == before
        with torch.no_grad():
            parameter.step += 0.1 / scale
        moved = mapping(torch.tensor(before, dtype=torch.float64), torch.tensor(0.1, dtype=torch.float64))
        assert parameter().item() == pytest.approx(moved.item(), rel=1e-6)

    keeps()


def test_only_the_step_is_learned():
    parameter = Named(0.5, "")
    assert [name for name, _ in parameter.named_parameters()] == ["step"]
    parameter().backward()
    assert parameter.step.grad == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_is_finite(value):
    with pytest.raises(ValueError, match=f"finite.*{value}"):
        Named(0.5, "").set(value)


def test_a_taper_is_known():
    with pytest.raises(ValueError, match=r"taper.*'linear' or 'log'.*'cubic'"):
        Named(0.5, "", taper="cubic")


def test_named_parameters_and_the_rest():
    module = nn.ModuleDict({"gain": Named(0.5, ""), "part": nn.ModuleDict({"tone": Named(1.0, "")})})
    module["network"] = nn.Linear(2, 1)
    assert list(named_parameters(module)) == ["gain", "part.tone"]
    assert list(network_state(module)) == ["network.weight", "network.bias"]


# ------------------------------------------------------------------------------------------------------- named series


@pytest.mark.parametrize("cast", [nn.Module.float, nn.Module.double], ids=["float", "double"])
@quick
@given(st.lists(finite, min_size=1, max_size=5), st.data())
def test_a_series_is_read_back_exactly(cast, defaults, data):
    values = data.draw(st.lists(finite, min_size=len(defaults), max_size=len(defaults)))
    series = cast(NamedSeries(defaults, "Hz"))
    assert series().tolist() == defaults
    with torch.no_grad():
        series.step += 0.3
    series.set(values)
    assert series().tolist() == values
    series.set(torch.tensor(defaults, dtype=torch.float64))
    assert series().tolist() == defaults


def test_a_series_number_is_set_alone():
    series = NamedSeries([0.1, 0.2, 0.3], "").double()
    with torch.no_grad():
        series.step += torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    before = series().tolist()
    series.entries()["2"].set(0.7)
    assert series().tolist() == [before[0], 0.7, before[2]]


def test_a_series_names_its_numbers():
    module = nn.ModuleDict({"gain": Named(0.5, ""), "curve": NamedSeries([0.1, 0.2], "octaves", 4.0)})
    module["b"] = NamedSeries([1.0, 0.0], "", 2.0, first=0)
    module["network"] = nn.Linear(2, 1)
    found = named_parameters(module)
    assert [parameter.spec(name) for name, parameter in found.items()] == [
        ParameterSpec("gain", 0.5, "", None, None, "linear"),
        ParameterSpec("curve.1", 0.1, "octaves", -4.0, 4.0, "linear"),
        ParameterSpec("curve.2", 0.2, "octaves", -4.0, 4.0, "linear"),
        ParameterSpec("b.0", 1.0, "", -2.0, 2.0, "linear"),
        ParameterSpec("b.1", 0.0, "", -2.0, 2.0, "linear"),
    ]
    assert list(network_state(module)) == ["network.weight", "network.bias"]


def test_a_series_steps_are_learned_together():
    series = NamedSeries([0.5, 0.0], "")
    assert [name for name, _ in series.named_parameters()] == ["step"]
    (series() * torch.tensor([2.0, 3.0])).sum().backward()
    assert series.step.grad.tolist() == [2.0, 3.0]


def test_what_the_configuration_holds_is_no_network():
    class Clock(nn.Module):
        configured = ("origin",)

        def __init__(self):
            super().__init__()
            self.register_buffer("origin", torch.zeros(()))
            self.register_buffer("table", torch.zeros(3))

    assert list(network_state(nn.ModuleDict({"clock": Clock()}))) == ["clock.table"]
    assert list(network_state(Clock())) == ["table"]


NO_NUMBERS = {
    "too few": ([0.1], r"2 finite numbers, got \[0\.1\]"),
    "too many": ([0.1, 0.2, 0.3], "2 finite numbers"),
    "a tensor of another shape": (torch.zeros(2, 2), "2 finite numbers"),
    "a scalar": (torch.zeros(()), r"2 finite numbers, got 0\.0"),
    "one number": (0.5, r"2 finite numbers, got 0\.5"),
    "no finite number": ([0.1, math.nan], "2 finite numbers.*nan"),
    "words": (["0.1", "0.2"], r"2 finite numbers, got \['0\.1'"),
    "booleans": ([True, False], "2 finite numbers"),
}


@pytest.mark.parametrize(("values", "message"), NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_a_series_needs_as_many_finite_numbers(values, message):
    series = NamedSeries([0.5, 0.6], "")
    with pytest.raises(ValueError, match=message):
        series.set(values)
    assert series().tolist() == [0.5, 0.6]


@pytest.mark.parametrize("value", [math.nan, math.inf, "fast", True, None, [0.1]])
def test_a_series_number_is_finite(value):
    series = NamedSeries([0.5, 0.6], "")
    with pytest.raises(ValueError, match="must be a finite number, got") as error:
        series.entries()["1"].set(value)
    assert repr(value) in str(error.value)
    with pytest.raises(ValueError, match="must be finite numbers"):
        NamedSeries([0.5, value], "")


# -------------------------------------------------------------------------------------------------------------- presets


def preset(parameters: dict[str, float] | None = None, network: dict[str, torch.Tensor] | None = None) -> Preset:
    return Preset("phaser", 44_100, {"stages": 4, "loop": None}, parameters or {"gain": 0.1}, network or {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("presets")


@quick
@given(st.dictionaries(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8), finite))
def test_numbers_and_names_are_written_and_read_exactly(folder, parameters):
    written = preset(parameters)
    write_preset(written, folder / "exact.yaml")
    assert read_preset(folder / "exact.yaml") == written


def test_tensors_lie_beside_the_preset(tmp_path):
    network = {"weight": torch.randn(3, 2, dtype=torch.float64), "bias": torch.randn(3)}
    write_preset(preset(network=network), tmp_path / "there" / "a.yaml")
    assert sorted(file.name for file in (tmp_path / "there").iterdir()) == ["a.pt", "a.yaml"]
    read = read_preset(tmp_path / "there" / "a.yaml").network
    assert read.keys() == network.keys()
    for name, tensor in network.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


def test_a_preset_can_be_moved_with_its_tensors(tmp_path):
    write_preset(preset(network={"weight": torch.ones(2)}), tmp_path / "a.yaml")
    (tmp_path / "elsewhere").mkdir()
    for name in ("a.yaml", "a.pt"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    assert torch.equal(read_preset(tmp_path / "elsewhere" / "a.yaml").network["weight"], torch.ones(2))


def test_without_networks_there_is_one_file(tmp_path):
    write_preset(preset(), tmp_path / "a.yaml")
    assert [file.name for file in tmp_path.iterdir()] == ["a.yaml"]


def fail_half_way(monkeypatch, failing: str) -> None:
    """The disk is full when one of the two files is half written."""

    def numbers(path, text, **_):
        path.write_bytes(text.encode()[: len(text) // 2])
        raise OSError("disk full")

    def tensors(_, path, **__):
        path.write_bytes(b"half")
        raise OSError("disk full")

    target, replacement = {"numbers": ("Path.write_text", numbers), "tensors": ("torch.save", tensors)}[failing]
    monkeypatch.setattr(f"diffapf.parameters.{target}", replacement)


@pytest.mark.parametrize("failing", ["numbers", "tensors"])
@pytest.mark.parametrize("existing", [False, True], ids=["new", "over an older one"])
def test_a_failure_leaves_no_half_written_file(tmp_path, monkeypatch, failing, existing):
    path = tmp_path / "a.yaml"
    if existing:
        write_preset(preset({"gain": 0.5}, {"weight": torch.zeros(2)}), path)
    fail_half_way(monkeypatch, failing)
    with pytest.raises(OSError, match="disk full"):
        write_preset(preset({"gain": 0.1}, {"weight": torch.ones(2)}), path)
    monkeypatch.undo()
    left = sorted(file.name for file in tmp_path.iterdir())
    if existing:
        assert left == ["a.pt", "a.yaml"]
        assert read_preset(path).parameters == {"gain": 0.5}
    else:
        assert "a.yaml" not in left
        assert not any(name.startswith(".") for name in left)


def test_a_failure_between_its_two_files_keeps_the_older_preset_whole(tmp_path, monkeypatch):
    """New tensors beside old numbers would be a model that never was."""
    path = tmp_path / "a.yaml"
    write_preset(preset({"gain": 0.5}, {"weight": torch.zeros(2)}), path)
    fail_half_way(monkeypatch, "numbers")
    with pytest.raises(OSError, match="disk full"):
        write_preset(preset({"gain": 0.1}, {"weight": torch.ones(2)}), path)
    monkeypatch.undo()
    read = read_preset(path)
    assert (read.parameters["gain"], read.network["weight"].tolist()) == (0.5, [0.0, 0.0])


WHOLE = {"effect": "phaser", "version": 1, "sample_rate": 44_100, "parameters": {}}
NOT_PRESETS = {
    "not YAML": ("{a: [", "is not a preset"),
    "not text": (b"\xff\xfe\x00", "is not a preset"),
    "a number": ("3", "is not a preset: it needs effect, parameters, sample_rate, version"),
    "empty": ("", "is not a preset"),
    **{
        f"no {missing}": (yaml.safe_dump({key: value for key, value in WHOLE.items() if key != missing}), missing)
        for missing in WHOLE
    },
    "another version": (yaml.safe_dump({**WHOLE, "version": 99}), "has version 99; this diffapf reads version 1"),
    "tensors that are not there": (yaml.safe_dump({**WHOLE, "network": "gone.pt"}), r"gone\.pt"),
    "tensors that are none": (yaml.safe_dump({**WHOLE, "network": "rubbish.pt"}), r"rubbish\.pt"),
}


@pytest.mark.parametrize(("content", "message"), NOT_PRESETS.values(), ids=NOT_PRESETS)
def test_what_is_not_a_preset_is_named(tmp_path, content, message):
    (tmp_path / "rubbish.pt").write_bytes(b"rubbish")
    path = tmp_path / "a.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as error:
        read_preset(path)
    assert str(path) in str(error.value)


def test_a_missing_preset_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no preset.*nowhere\.yaml"):
        read_preset(tmp_path / "nowhere.yaml")
