"""A stream cut into blocks anywhere is the whole; streams don't know of each other."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diffapf import Phaser
from tests.effects.phasers import OPTIONS, PAPER_OPTIONS, small_phaser
from tests.filters.oracles import normal, quick

TIME = 1500
cuts = st.lists(st.integers(0, TIME), max_size=8).map(sorted)

# How far from the whole, of its largest sample. The direct form amplifies the rounding of its interpolated coefficients.
TOLERANCES = {
    "cascade": (torch.float64, 1e-12, {}),
    "cascade, loop filter": (torch.float64, 1e-12, {"feedback_highpass_hz": 100.0, "stages": 6}),
    "cascade, loop delay": (torch.float64, 1e-12, {"loop_delay": 1}),
    "cascade, float32": (torch.float32, 1e-5, {"feedback": 0.9}),
    "paper": (torch.float64, 1e-8, {"core": "paper", "sweep": "paper"}),
    "paper, any curve and filter": (torch.float64, 1e-8, PAPER_OPTIONS),
    **{name: (torch.float64, 1e-12, arguments) for name, arguments in OPTIONS.items()},
}
each_phaser = pytest.mark.parametrize(("dtype", "tolerance", "arguments"), TOLERANCES.values(), ids=TOLERANCES)


def streamed(phaser: Phaser, x: Tensor, cuts: list[int]) -> Tensor:
    state, blocks = phaser.initial_state(), []
    for start, stop in pairwise([0, *cuts, x.shape[-1]]):
        block, state = phaser.process(x[..., start:stop], state)
        assert block.shape[-1] == stop - start
        blocks.append(block)
    assert state.samples == x.shape[-1]
    return torch.cat(blocks, -1)


def assert_same(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * expected.abs().max().item())


@each_phaser
def test_any_cut_gives_the_whole(dtype, tolerance, arguments):
    phaser, x = small_phaser(**arguments), normal(TIME, dtype=dtype)
    whole = phaser(x).detach()

    @quick
    @given(cuts)
    def any_cut(cuts):
        assert_same(streamed(phaser, x, cuts), whole, tolerance)

    any_cut()


@pytest.mark.parametrize("shape", [(TIME,), (1, TIME), (2, TIME), (3, 2, TIME)], ids=["mono", "row", "stereo", "batch"])
@each_phaser
def test_signals_of_any_shape_stream(dtype, tolerance, arguments, shape):
    phaser, x = small_phaser(**arguments), normal(*shape, dtype=dtype)
    assert_same(streamed(phaser, x, [0, 1, 39, 40, 700, 700]), phaser(x).detach(), tolerance)


@pytest.mark.parametrize("core", ["cascade", "paper"])
def test_single_samples_stream(core):
    phaser, x = small_phaser(core=core), normal(100)
    assert_same(streamed(phaser, x, list(range(1, 100))), phaser(x).detach(), 1e-11)


@pytest.mark.parametrize("core", ["cascade", "paper"])
def test_empty_blocks_change_nothing(core):
    phaser = small_phaser(core=core)
    empty, state = phaser.process(normal(2, 0), phaser.initial_state())
    assert empty.shape == (2, 0)
    assert state == phaser.initial_state()
    assert phaser(normal(2, 0)).shape == (2, 0)


@pytest.mark.parametrize("core", ["cascade", "paper"])
def test_streams_share_nothing(core):
    """Two streams through one phaser in turn; and a state can be used again."""
    phaser, signals = small_phaser(core=core), normal(2, TIME)
    expected = [streamed(phaser, x, [700]) for x in signals]
    states, firsts = [phaser.initial_state() for _ in signals], []
    for i, x in enumerate(signals):
        first, states[i] = phaser.process(x[:700], states[i])
        firsts.append(first)
    for _ in range(2):
        for i, x in enumerate(signals):
            rest, _ = phaser.process(x[700:], states[i])
            assert torch.equal(torch.cat([firsts[i], rest]), expected[i])


@pytest.mark.parametrize("core", ["cascade", "paper"])
def test_start_is_a_place_on_the_lfos_clock(core):
    """As if silence had streamed until then."""
    phaser, x, start = small_phaser(core=core), normal(400), 30 * 40
    _, state = phaser.process(torch.zeros(start, dtype=torch.float64), phaser.initial_state())
    assert_same(phaser(x, start=start).detach(), phaser.process(x, state)[0], 1e-11)
    assert not torch.allclose(phaser(x, start=start), phaser(x))


def test_a_stream_asks_for_no_gradients():
    phaser = small_phaser()
    y, _ = phaser.process(normal(10), phaser.initial_state())
    assert not y.requires_grad
