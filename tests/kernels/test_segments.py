"""Long rows are cut into segments in time: the results must not tell."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffapf.filters.allpass import allpass_cascade
from diffapf.kernels import reference, run

segments = pytest.importorskip("diffapf.kernels.cpu.segments")

LOOPS = {"open": (0.0, 0.0, 0.0), "gain": (0.7, 0.0, 0.0), "filter": (0.5, -0.4, 0.6)}


@pytest.fixture
def short_segments(monkeypatch):
    monkeypatch.setattr(segments, "SHORTEST", 8)


@pytest.mark.usefixtures("short_segments")
@given(
    rows=st.integers(1, 5),
    time=st.integers(8, 90),
    stages=st.integers(1, 6),
    loop=st.sampled_from(sorted(LOOPS)),
    delay=st.booleans(),
    largest_p=st.sampled_from([0.1, 0.9, 0.9999]),
    seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=40)
def test_the_allpass_and_its_adjoint_equal_the_definition(rows, time, stages, loop, delay, largest_p, seed):
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    p = largest_p * torch.tanh(random(rows, time))
    c0, c1, a = LOOPS[loop]
    taps = torch.tensor([[0.0, c0, c1, a] if delay else [c0, c1, 0.0, a]], dtype=torch.float64).repeat(rows, 1)
    s, zi, g = random(rows, time, 1), random(rows, stages + 3), random(rows, time)

    def both(kernels):
        z, w = torch.empty(rows, time, stages + 2, dtype=torch.float64), torch.empty(rows, time, dtype=torch.float64)
        kernels("allpass", s, p, taps, zi, z, w)
        gradients = tuple(torch.full_like(like, torch.nan) for like in (w, p, taps, zi))
        kernels("allpass_adjoint", g, p, taps, z, zi, *gradients)
        return z, w, *gradients

    def fast(name, *arguments):
        outputs = 2 if name == "allpass" else 4
        run(name, *arguments[:-outputs], out=arguments[-outputs:])

    assert segments.segments_of(rows, time) == max(1, min(4 // rows, time // 8))
    for ours, defined in zip(both(fast), both(lambda name, *rest: getattr(reference, name)(*rest)), strict=True):
        torch.testing.assert_close(ours, defined, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("at", [3, 40])
def test_what_is_not_a_number_stays_so(short_segments, at):
    """A NaN in one segment is in all after it, as in a filter that was not cut."""
    x = torch.zeros(1, 80)
    x[0, at] = torch.nan
    y = allpass_cascade(x, torch.tensor(0.3), c0=0.5)
    assert not y[:, :at].isnan().any() and y[:, at:].isnan().all()


def test_an_unstable_filter_grows_over_every_segment(short_segments):
    x = torch.zeros(1, 64, dtype=torch.float64)
    x[0, 0] = 1.0
    ours = allpass_cascade(x, torch.tensor(1.05, dtype=torch.float64), stages=1)
    z, w = torch.empty(1, 64, 3, dtype=torch.float64), torch.empty(1, 64, dtype=torch.float64)
    rest = torch.zeros(1, 4, dtype=torch.float64)
    reference.allpass(x[:, :, None], torch.full_like(x, 1.05), rest, rest, z, w)
    torch.testing.assert_close(ours, w)
    assert w.abs()[0, -1] > 1


def test_the_number_of_threads_changes_no_bit():
    x = torch.randn(1, 5 * segments.SHORTEST + 7, generator=torch.Generator().manual_seed(0))
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(allpass_cascade(x, torch.tensor(0.95), c0=0.6))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)
