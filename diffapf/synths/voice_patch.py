"""A voice as a vocoder sings it, to be kept and sung otherwise: higher, breathier, by a longer or shorter throat.

transpose      f₀ · 2^(semitones/12)
breathiness    R_d · factor, held within 0.3 … 2.7 (glottal sources)
formants       the filter's response |H(f)| becomes |H(f/factor)| (all-pole filters)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from diffapf.model import Model
from diffapf.parameters import Named
from diffapf.synths.glottal import BREATHY, TENSE
from diffapf.synths.linear_prediction import predicted
from diffapf.synths.vocal_tract import MARGIN
from diffapf.synths.vocoder import NATURAL, Vocoder, Voice

BINS = 513  # of responses whose formants are moved
RIDGE = 1e-9
"""Of the mean power, added to a response that is predicted anew: what lies far below its peaks is not told by 22 poles."""


class VoicePatch(Model):
    """A sung phrase, `y = patch(seed)`: `(time,)`.

    Parameters: `transpose` in semitones, `breathiness` and `formants`, factors; of 0, 1 and 1 it is what was fitted.

    Args:
        sample_rate: in Hz.
        frames, length: of the phrase, frames of the pitch and samples.
        settings: as `Vocoder` takes them.

    Raises:
        ValueError: what the vocoder refuses; breathiness of a source that has no R_d; formants of a filter without poles.
    """

    def __init__(self, sample_rate: float, frames: int, length: int, **settings: Any):
        super().__init__(sample_rate)
        self.vocoder = Vocoder(sample_rate, **settings)
        self.frames, self.length = frames, length
        self.f0_hz: Tensor
        self.register_buffer("f0_hz", torch.full((frames,), 100.0))
        self.values = nn.ParameterDict()
        for control in self.vocoder.controls:
            shape = (frames if control.name != "rd" else self.vocoder.frames("rd", length), control.channels)
            self.values[control.name] = nn.Parameter(control.value(torch.zeros(shape).squeeze(-1)), requires_grad=False)
        self.transpose = Named(0.0, "semitones", -24.0, 24.0)
        self.breathiness = Named(1.0, "", 0.25, 4.0, "log")
        self.formants = Named(1.0, "", 0.5, 2.0, "log")

    @classmethod
    def of(cls, model: Vocoder, f0_hz: Tensor, values: Mapping[str, Tensor], length: int) -> VoicePatch:
        """A vocoder with its values, `(frames,)` and `(frames, channels)`."""
        patch = cls(model.sample_rate, len(f0_hz), length, **model.settings)
        patch.vocoder.load_state_dict(model.state_dict())
        patch.f0_hz = f0_hz.detach().clone()
        for name, value in values.items():
            patch.values[name] = nn.Parameter(value.detach().clone(), requires_grad=False)
        return patch

    def configuration(self) -> dict[str, Any]:
        return {**self.vocoder.settings, "frames": self.frames, "length": self.length}

    @torch.no_grad()
    def forward(self, seed: int = 0) -> Tensor:
        """The phrase, with the noise of a seed."""
        noise = torch.randn(self.length, generator=torch.Generator().manual_seed(seed))
        return self.vocoder(Voice(self.pitch(), self.length, noise), self.edited())

    def pitch(self) -> Tensor:
        """In Hz at each frame."""
        return self.f0_hz * 2 ** (self.transpose().item() / 12)

    @torch.no_grad()
    def edited(self) -> dict[str, Tensor]:
        """The vocoder's values, after what the parameters change."""
        values = dict(self.values.items())
        breathiness, formants = self.breathiness().item(), self.formants().item()
        if breathiness != 1:
            if "rd" not in values:
                raise ValueError(f"breathiness is a glottal source's; this voice has {self.vocoder.settings['source']}")
            values["rd"] = (breathiness * values["rd"]).clamp(TENSE, BREATHY)
        if formants != 1:
            if not hasattr(self.vocoder.filter, "tract"):
                raise ValueError(
                    f"formants are moved in all-pole filters; this voice has filter {self.vocoder.settings['filter']!r}"
                )
            values["tract"], louder = moved_formants(self.vocoder, values["tract"], formants)
            values["gain_db"] = values["gain_db"] + NATURAL * louder
        return values


def moved_formants(model: Vocoder, numbers: Tensor, factor: float) -> tuple[Tensor, Tensor]:
    """The numbers of filters whose responses are stretched over frequency, and the natural logarithm of their gains."""
    tract = model.filter.tract  # type: ignore[attr-defined]
    a = torch.nn.functional.pad(tract.coefficients(numbers.double()), (1, 0), value=1.0)
    power = 1 / torch.fft.rfft(a, 2 * (BINS - 1)).abs().square()
    place = (torch.arange(BINS, dtype=torch.float64) / factor).clamp(max=BINS - 1)
    index = place.long().clamp(max=BINS - 2)
    logs = torch.log(power)
    stretched = torch.exp(torch.lerp(logs[:, index], logs[:, index + 1], place - index))
    stretched = stretched + RIDGE * stretched.mean(-1, keepdim=True)
    k, error = predicted(stretched, tract.order)
    if tract.shape != "reflection":
        raise ValueError(f"formants are moved where numbers are reflections, not {tract.shape!r}")
    return torch.atanh((k / (1 - MARGIN)).clamp(-0.99999, 0.99999)).float(), 0.5 * torch.log(error).float()
