"""A network in the place of a filter: tanh(x + linear(LSTM(x, cutoff, Q))), sample by sample.

Source: Yu et al., DAFx 2024, section 4.2: the "LSTM 64".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diffapf.filters.control_rate import ControlRate
from diffapf.filters.methods import ControlRateFilter
from diffapf.modulation import upsample
from diffapf.synths.acid_filters import RESONANT_Q, Q, Values, cutoff
from diffapf.synths.controls import Control

Memory = tuple[Tensor, Tensor]


class LSTMFilter(nn.Module):
    """highest_hz: of the cutoff; units: of the LSTM, which sees cutoff and Q as positions of knobs, from 0 to 1."""

    def __init__(self, highest_hz: float = 8000.0, units: int = 64):
        super().__init__()
        self.cutoff, self.q = cutoff(highest_hz), RESONANT_Q
        self.lstm = nn.LSTM(3, units, batch_first=True)
        self.linear = nn.Linear(units, 1)

    @property
    def controls(self) -> tuple[Control, ...]:
        return self.cutoff, self.q

    def moving(self, values: Values, sample_rate: float, hop: int, rate: ControlRate) -> ControlRateFilter:
        position = self.cutoff.range.position(values["cutoff_hz"])  # type: ignore[union-attr]
        return Running(self, position, Q.position(values["q"]), hop, rate)


@dataclass
class Running:
    """The network with its controls; the state is the LSTM's."""

    network: LSTMFilter
    cutoff: Tensor
    q: Tensor
    hop: int
    rate: ControlRate

    def run(self, x: Tensor, state: Memory | None = None) -> tuple[Tensor, Memory]:
        signal = x.reshape(-1, x.shape[-1])
        cutoff = upsample(self.cutoff, self.rate, x.shape[-1]).reshape(signal.shape)
        q = self.q.reshape(-1, 1).expand_as(signal)
        hidden, state = self.network.lstm(torch.stack([signal, cutoff, q], -1), state)
        return torch.tanh(x + self.network.linear(hidden)[..., 0].reshape(x.shape)), state

    def response(self, omega: Tensor) -> Tensor:
        raise ValueError("an LSTM has no frequency response")
