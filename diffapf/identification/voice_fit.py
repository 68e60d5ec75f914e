"""Fits a vocoder to one recording of a voice: every value of every frame, by Adam on the multi-resolution spectral loss.

There are more numbers than samples, so the noise must not be one that they could learn by heart: each step draws another,
and what the fit scores is the mean over noises that no step has seen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from diffapf.identification.voice_analysis import VoiceAnalysis, analyse_voice, pitch_of
from diffapf.identification.voice_phase import in_phase
from diffapf.identification.voice_start import as_loud, start_values
from diffapf.losses.multi_resolution import MultiResolutionLoss
from diffapf.synths.controls import values_of
from diffapf.synths.vocoder import NATURAL, SAMPLE_RATE, STRUCTURES, Vocoder, Voice, vocoder
from diffapf.synths.voice_patch import VoicePatch

STEPS = 600
LEARNING_RATE, ROOM_RATE = 0.05, 0.001
BETAS = (0.9, 0.99)
WARM_UP = 10  # steps
LAST_RATE = 0.05  # of the first
CORRECTIONS, LEAST_CORRECTION, MOST_CORRECTION = 4, -1.5, 3.0
UNSEEN = range(10_000, 10_005)  # seeds of the noises of the score
HOP_S = 0.005
OFFSETS = 12  # of the phase, that are tried
MOST_OUT_OF_TUNE = 1 / 24  # of an octave: what is further is another octave's, or noise


@dataclass
class VoiceFit:
    """What was found.

    `history` has (step, loss) pairs; `before` and `after` are MSS on noise that no step has seen.
    """

    patch: VoicePatch
    analysis: VoiceAnalysis
    audio: Tensor
    before: float
    after: float
    seconds: float
    history: list[tuple[int, float]]
    interrupted: bool


def fit_voice(
    audio: Tensor,
    sample_rate: float = SAMPLE_RATE,
    model: str | Vocoder = "golf_ss",
    steps: int = STEPS,
    learning_rate: float = LEARNING_RATE,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    progress: Callable[[int, float], None] | None = None,
    seed: int = 0,
    locked: bool = False,
) -> VoiceFit:
    """A vocoder's values at which it sings a recording again.

    Ctrl-C ends it early, with what it has then.

    Args:
        audio: mono, `(time,)`, at least 0.1 s.
        sample_rate: in Hz, from 16 kHz; the published models' is 24 kHz.
        model: a name of `VOCODERS`, or a vocoder for this sample rate.
        steps: of the descent; a recording of 8 s takes about 0.1 CPU-s each.
        loss: of (prediction, target); by default MSS.
        progress: called with the number of steps done and the loss.
        seed: of the noises.
        locked: keeps the phase of the recording's fundamental, for a loss of the waveform.

    Raises:
        ValueError: as `analyse_voice`; an unknown model, or one of another sample rate; steps below 1.

    Source: Yu, Fazekas, Interspeech 2024, fitted without its encoder; start and descent are this project's.
    """
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"steps must be a whole number, at least 1, got {steps!r}")
    if isinstance(model, str):
        model = vocoder(model, sample_rate, hop=_hop(sample_rate))
    if model.sample_rate != sample_rate:
        raise ValueError(
            f"the recording has {sample_rate:g} Hz, the vocoder {model.sample_rate:g} Hz; they must be equal"
        )
    began = time.perf_counter()
    analysis = analyse_voice(audio, sample_rate, model.hop)
    search = _Search(model, analysis, audio.detach().float(), loss, steps, learning_rate, seed, locked)
    before, history, interrupted = search.score(), [], False
    try:
        for step in range(steps):
            history.append((step + 1, search.step()))
            if progress is not None:
                progress(*history[-1])
    except KeyboardInterrupt:
        interrupted = True
    return VoiceFit(
        patch=VoicePatch.of(model, search.voice.f0_hz, search.values(), len(audio)),
        analysis=analysis,
        audio=audio,
        before=before,
        after=search.score(),
        seconds=time.perf_counter() - began,
        history=history,
        interrupted=interrupted,
    )


class _Search:
    """Adam on the raw numbers of all controls, and on the room."""

    def __init__(
        self,
        model: Vocoder,
        analysis: VoiceAnalysis,
        target: Tensor,
        loss: Callable | None,
        steps: int,
        learning_rate: float,
        seed: int,
        locked: bool,
    ):
        self.model, self.target = model, target
        self._tune(analysis.f0_hz)
        self.mss = MultiResolutionLoss()
        self.heard = self.mss.heard(target)
        self.loss = loss or (lambda prediction, _: self.mss(prediction, self.heard))
        self.random = torch.Generator().manual_seed(seed)
        start = self._as_loud(start_values(model, analysis))
        self._tune(self._in_phase(start, analysis) if locked else self._in_tune(start, analysis))
        self.raw = {c.name: c.raw(start[c.name]).clone().requires_grad_() for c in model.controls}
        groups = [
            {"params": list(self.raw.values()), "lr": learning_rate},
            {"params": list(model.parameters()), "lr": ROOM_RATE},
        ]
        self.optimizer = torch.optim.Adam(groups, betas=BETAS)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: _rate(step, steps))

    def values(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in values_of(self.raw, self.model.controls).items()}

    def step(self) -> float:
        loss = self.loss(self._sing(values_of(self.raw, self.model.controls), self.random), self.target)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return float(loss.detach())

    @torch.no_grad()
    def score(self) -> float:
        """MSS, the mean over unseen noises."""
        values = values_of(self.raw, self.model.controls)
        found = [self.mss(self._sing(values, torch.Generator().manual_seed(seed)), self.heard) for seed in UNSEEN]
        return float(torch.stack(found).mean())

    def _sing(self, values: dict[str, Tensor], random: torch.Generator) -> Tensor:
        noise = torch.randn(self.voice.length, generator=random)
        return self.model(Voice(self.voice.f0_hz, self.voice.length, noise), values, self.prepared)

    @torch.no_grad()
    def _tune(self, f0_hz: Tensor) -> None:
        self.voice = Voice(f0_hz.float(), len(self.target))
        self.prepared = self.model.prepared(self.voice)

    @torch.no_grad()
    def _in_tune(self, values: dict[str, Tensor], analysis: VoiceAnalysis) -> Tensor:
        """The pitch at which what is sung is heard at the recording's: a tracker smooths both alike."""
        heard = pitch_of(self._sing(values, self.random), self.model.sample_rate, self.model.hop)
        both = analysis.voiced & (heard > 0)
        octaves = torch.where(both, torch.log2(analysis.f0_hz / torch.where(both, heard, 1.0)), 0.0)
        return analysis.f0_hz * 2 ** octaves.clamp(-MOST_OUT_OF_TUNE, MOST_OUT_OF_TUNE)

    @torch.no_grad()
    def _in_phase(self, values: dict[str, Tensor], analysis: VoiceAnalysis) -> Tensor:
        """The pitch that keeps the fundamental's phase, as far from it as the start is nearest by the loss."""
        found = []
        for part in range(OFFSETS):
            angle = 2 * math.pi * part / OFFSETS
            self._tune(in_phase(self.target, analysis, self.model.sample_rate, self.model.hop, angle))
            found.append((float(self.loss(self._sing(values, self.random), self.target)), self.voice.f0_hz))
        return min(found, key=lambda each: each[0])[1]

    @torch.no_grad()
    def _as_loud(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """The start with each frame's gain corrected until it is as loud as the recording."""
        for _ in range(CORRECTIONS):
            sound = self._sing(values, self.random)
            missing = as_loud(sound, self.target, self.model.hop, len(self.voice.f0_hz))
            missing = missing.clamp(LEAST_CORRECTION, MOST_CORRECTION)
            values = values | {"gain_db": values["gain_db"] + NATURAL * missing}
            if self.model.structure != STRUCTURES[0]:
                values = values | {"noise": values["noise"] + missing[:, None]}
        return values


def _hop(sample_rate: float) -> int:
    """5 ms, half of the published models' hop, in samples that eight sub-frames divide."""
    return 8 * max(1, round(HOP_S * sample_rate / 8))


def _rate(step: int, steps: int) -> float:
    """Of the learning rate: a few steps up, then a half cosine down."""
    down = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))
    return min(1.0, (step + 1) / WARM_UP) * down
