"""The peers: which are installed, and their calls in the order of our arguments."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

NAMES = {
    "torchlpc": "torchlpc",
    "philtorch": "philtorch.lpv",
    "torchaudio": "torchaudio.functional",
    "scipy": "scipy.signal",
    "torchcomp": "torchcomp.core",
}


class Peers:
    """The peers that can be imported; `missing` says why the others cannot."""

    def __init__(self) -> None:
        self.modules, self.missing = {}, {}
        for name, module in NAMES.items():
            try:
                self.modules[name] = importlib.import_module(module)
            except (ImportError, OSError, RuntimeError, AttributeError) as reason:
                self.missing[name] = str(reason).splitlines()[0] if str(reason) else type(reason).__name__

    def __contains__(self, name: str) -> bool:
        return name in self.modules

    def versions(self) -> list[str]:
        return [f"{name} {importlib.metadata.version(name)}" for name in self.modules]

    def moving_allpole(self, order: int) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
        """(x, a) → y, a one row a sample."""
        calls = {}
        if "torchlpc" in self:
            calls["torchlpc"] = self.modules["torchlpc"].sample_wise_lpc
        if "philtorch" in self:
            philtorch = self.modules["philtorch"]
            calls["philtorch"] = lambda x, a: philtorch.allpole(a, x)
            if order == 1:
                calls["philtorch linear_recurrence"] = lambda x, a: philtorch.linear_recurrence(
                    -a[..., 0], x.new_zeros(x.shape[0]), x
                )
        return calls

    def fixed_allpole(self, order: int, backward: bool) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
        """(x, a) → y, a one row for all; torchlpc, which knows only moving coefficients, has them expanded."""
        calls = {}
        if "torchaudio" in self:
            calls["torchaudio"] = self._torchaudio
        if "scipy" in self and not backward:
            calls["scipy"] = lambda x, a: self._scipy(x.new_ones(1), a, x)
        if "philtorch" in self:
            lti = importlib.import_module("philtorch.lti")
            calls["philtorch"] = lambda x, a: lti.lfilter(x.new_ones(1), a, x)
            if order == 1:
                calls["philtorch linear_recurrence"] = lambda x, a: lti.linear_recurrence(
                    -a, x.new_zeros(x.shape[0]), x
                )
        if "torchlpc" in self:
            torchlpc = self.modules["torchlpc"]
            calls["torchlpc"] = lambda x, a: torchlpc.sample_wise_lpc(x, a.expand(*x.shape, -1))
        return calls

    def _torchaudio(self, x: Tensor, a: Tensor) -> Tensor:
        """One filter a row, though they are all the same: it takes half the time of one filter for all rows."""
        rows = pad(a, (1, 0), value=1.0).expand(x.shape[0], -1)
        b = torch.zeros_like(rows)
        b[:, 0] = 1
        return self.modules["torchaudio"].lfilter(x, rows, b, clamp=False, batching=True)

    def _scipy(self, b: Tensor, a: Tensor, x: Tensor) -> Tensor:
        return torch.from_numpy(self.modules["scipy"].lfilter(b.numpy(), pad(a, (1, 0), value=1.0).numpy(), x.numpy()))

    def fixed_filter(self, backward: bool) -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
        """(b, a, x) → y, a without its leading 1, both for all rows."""
        calls = {}
        if "torchaudio" in self:
            torchaudio = self.modules["torchaudio"].lfilter
            calls["torchaudio"] = lambda b, a, x: torchaudio(x, pad(a, (1, 0), value=1.0), b, clamp=False)
        if "scipy" in self and not backward:
            calls["scipy"] = self._scipy
        if "philtorch" in self:
            calls["philtorch"] = importlib.import_module("philtorch.lti").lfilter
        return calls

    def biquad(self, form: str) -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
        """(b, a, x) → y, a without its leading 1."""
        if "philtorch" not in self:
            return {}
        lfilter = self.modules["philtorch"].lfilter
        calls = {"philtorch ssm": lambda b, a, x: lfilter(b, a, x, form=form)}
        if form == "df2":
            calls["philtorch torchlpc"] = lambda b, a, x: lfilter(b, a, x, form=form, backend="torchlpc")
        return calls

    def ballistics(self) -> dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]]:
        """(g, attack, release, zi) → y."""
        if "torchcomp" not in self:
            return {}
        core = self.modules["torchcomp"].compressor_core
        return {"torchcomp": lambda g, attack, release, zi: core(g, zi, attack, release)}
