"""A stream cut into blocks anywhere is the whole, for every structure; a preset is read back; rates sound the same."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diffapf import Compressor, Effect
from tests.effects.compressors import AUDIBLE, STRUCTURES, bursts, small_compressor
from tests.filters.oracles import esr, quick

TIME = 600
each_structure = pytest.mark.parametrize("arguments", STRUCTURES.values(), ids=STRUCTURES)


def streamed(compressor: Compressor, x: Tensor, cuts: list[int], side_chain: Tensor | None = None) -> Tensor:
    state, blocks = compressor.initial_state(), []
    for start, stop in pairwise([0, *cuts, x.shape[-1]]):
        heard = None if side_chain is None else side_chain[..., start:stop]
        block, state = compressor.process(x[..., start:stop], state, heard)
        assert block.shape[-1] == stop - start and not block.requires_grad
        blocks.append(block)
    return torch.cat(blocks, -1)


@each_structure
def test_any_cut_gives_the_whole(arguments):
    compressor, x = small_compressor(**arguments), bursts(2, TIME)
    whole = compressor(x).detach()

    @quick
    @given(st.lists(st.integers(0, TIME), max_size=8).map(sorted))
    def any_cut(cuts):
        torch.testing.assert_close(streamed(compressor, x, cuts), whole, rtol=1e-12, atol=1e-13)

    any_cut()


@each_structure
def test_single_samples_stream_with_a_side_chain(arguments):
    compressor, x, side_chain = small_compressor(**arguments), bursts(2, 60), bursts(2, 60, seed=1)
    found = streamed(compressor, x, list(range(1, 60)), side_chain)
    torch.testing.assert_close(found, compressor(x, side_chain).detach(), rtol=1e-12, atol=1e-13)


@each_structure
def test_gradients_flow_from_block_to_block(arguments):
    compressor, x = small_compressor(**arguments), bursts(2, TIME)

    def gradients(y: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(y.pow(3).sum(), list(compressor.parameters()))

    state, blocks = compressor.initial_state(), []
    for block in x.split(170, -1):
        y, state = compressor.run(block, state)
        blocks.append(y)
    for found, wanted in zip(gradients(torch.cat(blocks, -1)), gradients(compressor(x)), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_streams_share_nothing_and_empty_blocks_change_nothing():
    compressor, x = small_compressor(), bursts(2, TIME)
    _, state = compressor.process(x[..., :300], compressor.initial_state())
    expected, _ = compressor.process(x[..., 300:], state)
    compressor.process(bursts(3, 100), compressor.initial_state())
    empty, same = compressor.process(x[..., :0], state)
    assert empty.shape == (2, 0)
    assert torch.equal(compressor.process(x[..., 300:], same)[0], expected)


# ------------------------------------------------------------------------------------------------------------ presets


@each_structure
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_preset_is_read_back_exactly(tmp_path, arguments, dtype):
    compressor = Compressor(44_100, **{**AUDIBLE, **arguments})
    with torch.no_grad():
        for i, step in enumerate(compressor.parameters()):
            step += 0.1 * (i + 1)
    compressor.save(tmp_path / "a.yaml")
    assert [file.name for file in tmp_path.iterdir()] == ["a.yaml"]
    loaded = Effect.load(tmp_path / "a.yaml")
    assert isinstance(loaded, Compressor)
    assert loaded.parameters_spec() == compressor.parameters_spec()
    assert loaded.configuration() == compressor.configuration()
    x = bursts(2, 1500, dtype=dtype)
    assert torch.equal(loaded(x), compressor(x))
    names = [name for name, value in compressor.named_parameters() if value.requires_grad]
    assert [name for name, value in loaded.named_parameters() if value.requires_grad] == names


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("curve.ratio: 0.5", r"curve\.ratio must be at least 1"),
        ("smoother.attack_ms: -1", "attack_ms must be positive"),
    ],
)
def test_a_wrong_preset_is_named(tmp_path, line, words):
    path = tmp_path / "a.yaml"
    path.write_text(f"{{effect: compressor, version: 1, sample_rate: 44100, parameters: {{{line}}}}}", encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        Effect.load(path)


# ------------------------------------------------------------------------------------------------------- sample rates


@pytest.mark.parametrize("sample_rate", [48_000, 96_000])
@each_structure
def test_it_sounds_the_same_at_another_rate(arguments, sample_rate):
    """A swelling tone, at times that both rates have; knobs in ms and dB mean the same."""
    times = {"attack_ms": 5.0, "release_ms": 30.0, "average_ms": 5.0}
    arguments = {**AUDIBLE, **times, **arguments} | ({"average_ms": 5.0} if "average_ms" in arguments else {})

    def gains(rate: float) -> Tensor:
        t = torch.arange(int(0.3 * rate), dtype=torch.float64) / rate
        envelope = 0.02 + 0.8 * torch.sin(2 * torch.pi * 4 * t).square()
        reduction = Compressor(rate, **arguments).gain_db(torch.stack([envelope, 0.5 * envelope]))
        return torch.from_numpy(_at(reduction.detach().numpy(), rate))

    assert float((gains(44_100) - gains(sample_rate)).abs().max()) < 0.1
    assert esr(gains(sample_rate), gains(44_100)) < 1e-4


def _at(values, rate: float):
    import numpy as np

    seconds = np.arange(0.02, 0.28, 0.001)
    return np.stack([np.interp(seconds, np.arange(values.shape[-1]) / rate, row) for row in values])
