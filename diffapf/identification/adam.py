"""Adam without the class `torch.optim.Adam`, which imports PyTorch's compiler: 3 CPU-seconds, the time of a note's fit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam

EPSILON = 1e-8


class Adam:
    """Moves tensors against their gradients, bit for bit as `torch.optim.Adam` does.

    Args:
        learned: leaf tensors that require gradients.
        betas: of the running means of gradients and of their squares.

    Source: Kingma and Ba, "Adam: A method for stochastic optimization", ICLR 2015; `torch.optim.adam.adam`.

    >>> x = torch.tensor([1.0], requires_grad=True)
    >>> optimizer = Adam([x])
    >>> x.square().sum().backward()
    >>> optimizer.step(0.1)
    >>> round(x.item(), 3), x.grad is None
    (0.9, True)
    """

    def __init__(self, learned: Sequence[Tensor], betas: tuple[float, float] = (0.9, 0.999)):
        self.learned, self.betas = list(learned), betas
        self.means = [torch.zeros_like(each) for each in learned]
        self.squares = [torch.zeros_like(each) for each in learned]
        self.steps = [torch.tensor(0.0) for _ in learned]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One step at this learning rate; the gradients are gone then."""
        gradients = [each.grad for each in self.learned if each.grad is not None]
        adam(
            self.learned,
            gradients,
            self.means,
            self.squares,
            [],
            self.steps,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )
        for each in self.learned:
            each.grad = None
