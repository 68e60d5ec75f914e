"""What every differentiable operator must pass, asked of a function of tensors that returns tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, jacfwd, jacrev, jvp, vmap
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Function = Callable[..., Tensor | tuple[Tensor, ...]]

EXACT = {"rtol": 1e-9, "atol": 1e-11}


class ArraysMade(TorchDispatchMode):
    """Watches what is computed inside its `with`: how many bytes each array has that was made or met."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[int, Tensor] = {}  # alive, so that no other gets its place

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, Tensor):
                self._kept[each.untyped_storage()._cdata] = each
        return made

    def sizes(self) -> list[int]:
        return [each.untyped_storage().nbytes() for each in self._kept.values()]

    def as_large_as(self, *known: Tensor) -> int:
        """How many arrays there are of the first one's size or more, beside these."""
        others = set(self._kept) - {each.untyped_storage()._cdata for each in known}
        return sum(self._kept[place].untyped_storage().nbytes() >= known[0].nbytes for place in others)


def as_tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def assert_derivatives(function: Function, *inputs: Tensor) -> None:
    """First and second, backward and forward, against finite differences; each input alone, and stored otherwise."""
    leaves = tuple(value.detach().clone().requires_grad_() for value in inputs)

    def with_elements(*values: Tensor) -> tuple[Tensor, ...]:
        return tuple(output for output in as_tuple(function(*values)) if output.numel())

    fast = any(value.is_complex() for value in inputs)
    assert gradcheck(with_elements, leaves, check_forward_ad=True, fast_mode=fast)
    assert gradgradcheck(with_elements, leaves, check_fwd_over_rev=True, check_rev_over_rev=True, fast_mode=True)
    expected = torch.autograd.grad(loss(function(*leaves)), leaves)
    for i, wanted in enumerate(expected):
        alone = [value.detach() if j != i else value for j, value in enumerate(leaves)]
        torch.testing.assert_close(torch.autograd.grad(loss(function(*alone)), leaves[i])[0], wanted, **EXACT)
    elsewhere = tuple(_stored_otherwise(value.detach()).requires_grad_() for value in inputs)
    for found, wanted in zip(torch.autograd.grad(loss(function(*elsewhere)), elsewhere), expected, strict=True):
        torch.testing.assert_close(found, wanted, **EXACT)


def _stored_otherwise(value: Tensor) -> Tensor:
    """The same numbers, the dimensions stored in the opposite order, with others between them."""
    dims = tuple(range(value.dim()))[::-1]
    spread = torch.stack([value.permute(dims), torch.full_like(value.permute(dims), torch.nan)], -1)
    return spread[..., 0].permute(dims)


def loss(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    """One real number in which every output matters, differently."""
    terms = []
    for output in as_tuple(outputs):
        real = torch.view_as_real(output) if output.is_complex() else output
        terms.append((real**3 * torch.arange(1, real.numel() + 1).reshape(real.shape)).sum())
    return torch.stack(terms).sum()


def assert_transforms(function: Function, *inputs: Tensor, **tolerance: float) -> None:
    """jvp against a difference; Hessians by all nestings; vmap of outputs and gradients against a loop."""
    sizes = [value.numel() for value in inputs]

    def of_vector(theta: Tensor) -> Tensor:
        parts = zip(theta.split(sizes), inputs, strict=True)
        return loss(function(*(part.reshape(value.shape) for part, value in parts)))

    theta = torch.cat([value.flatten() for value in inputs])
    direction = torch.linspace(-1, 1, len(theta), dtype=theta.dtype)
    step = 1e-6
    difference = (of_vector(theta + step * direction) - of_vector(theta - step * direction)) / (2 * step)
    torch.testing.assert_close(jvp(of_vector, (theta,), (direction,))[1], difference, rtol=1e-6, atol=1e-6)
    expected = torch.autograd.functional.hessian(of_vector, theta)
    for outer in (jacfwd, jacrev):
        for inner in (jacfwd, jacrev):
            torch.testing.assert_close(outer(inner(of_vector))(theta), expected, **{**EXACT, **tolerance})
    assert_vmap_is_a_loop(function, *inputs, **tolerance)
    several = torch.stack([theta, 0.9 * theta])
    torch.testing.assert_close(vmap(jacfwd(grad(of_vector)))(several)[0], expected, **{**EXACT, **tolerance})


def assert_vmap_is_a_loop(function: Function, *inputs: Tensor, **tolerance: float) -> None:
    """Over all the inputs at once, and over each alone."""
    scales = (1.0, -0.7, 0.4)

    def outputs_and_gradients(*values: Tensor) -> tuple[Tensor, ...]:
        gradients = grad(lambda *values: loss(function(*values)), tuple(range(len(values))))(*values)
        return (*as_tuple(function(*values)), *gradients)

    for mapped in (set(range(len(inputs))), *({i} for i in range(len(inputs)))):
        dims = tuple(0 if i in mapped else None for i in range(len(inputs)))
        draws = [[scale * value if i in mapped else value for i, value in enumerate(inputs)] for scale in scales]
        stacked = [
            torch.stack(column) if i in mapped else column[0] for i, column in enumerate(zip(*draws, strict=True))
        ]
        found = vmap(outputs_and_gradients, dims)(*stacked)
        expected = zip(*(outputs_and_gradients(*draw) for draw in draws), strict=True)
        for one, wanted in zip(found, expected, strict=True):
            torch.testing.assert_close(one, torch.stack(wanted), **{**EXACT, **tolerance})


def assert_same_in_blocks(
    whole: tuple[Tensor, Tensor], block: Callable[[int, int, Tensor | None], tuple[Tensor, Tensor]], cuts: list[int]
) -> None:
    """`block(start, stop, state)` one after another, each with the state that the one before left, is the whole."""
    y, zf = whole
    pieces, state = [], None
    for start, stop in zip([0, *cuts], [*cuts, y.shape[-1]], strict=True):
        piece, state = block(start, stop, state)
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, -1), y, **EXACT)
    torch.testing.assert_close(state, zf, **EXACT)


def results_and_gradients(function: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What it returns, and the gradients of all inputs, of the energy of that."""
    inputs = [value.detach().requires_grad_() for value in inputs]
    results = function(*inputs)
    energy = torch.stack([result.square().sum() for result in results]).sum()
    return *(result.detach() for result in results), *torch.autograd.grad(energy, inputs)
