import sys

import torch

from diffapf.identification.adam import Adam

STEPS, RATE = 6, 0.06


def test_it_steps_as_pytorchs_does_without_its_compiler(monkeypatch):
    start = torch.randn(5, generator=torch.Generator().manual_seed(0))
    theirs, ours = start.clone().requires_grad_(), start.clone().requires_grad_()
    reference = torch.optim.Adam([theirs], RATE, (0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(reference, STEPS)
    rates = []
    for _ in range(STEPS):
        rates.append(schedule.get_last_lr()[0])
        reference.zero_grad()
        theirs.sin().sum().backward()
        reference.step()
        schedule.step()
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # to import it is an error
    optimizer = Adam([ours], (0.9, 0.99))
    for rate in rates:
        ours.sin().sum().backward()
        optimizer.step(rate)
    assert torch.equal(ours, theirs) and not torch.equal(ours, start)
