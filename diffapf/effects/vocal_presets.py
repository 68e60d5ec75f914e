"""Rows of raw numbers, in which DiffVox's fitted chains are published, and the chains that they mean.

A row has 151 numbers, of 44.1 kHz; most are logits of a range. Below the diagonal, and on it, the reverberator's matrix says
nothing: 130 of them count, those of `independent()`.

Source: Yu et al., "DiffVox: A Differentiable Model for Capturing and Analysing Vocal Effects Distributions", DAFx 2025, and
its published data.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffapf.effects.chain import LONGEST_LOOK_AHEAD_MS, TONE, VocalChain
from diffapf.effects.delay import LOWPASS_HZ, QS
from diffapf.effects.equalizer import SIX_BANDS
from diffapf.filters.circle_sampling import CircleSampling
from diffapf.parameters import Named

COLUMNS = 151
PUBLISHED_RATE = 44_100
SHORTEST_LOOK_AHEAD_MS = 1e-6  # a look-ahead of 0 cannot be learned
RATIOS, TIMES_MS = (1.0, 20.0), (100.0, 1000.0)
LONGEST_DECAY_S, LINES = 9.0, 6
SAMPLED_S, REPEATS_S = 12.0, 4.0
AS_PUBLISHED: dict[str, dict[str, Any]] = {
    "equalizer": {"taper": "linear"},
    "delay": {"taper": "linear", "ends_s": REPEATS_S},
    "tone": {"taper": "linear"},
}
EDGE = 1e-9  # how near the ends of its range a value may come: a logit is finite


@dataclass(frozen=True)
class Scale:
    """From a raw number to a parameter's value, and back."""

    value: Callable[[Tensor], Tensor]
    raw: Callable[[Tensor], Tensor]


def _same(x: Tensor) -> Tensor:
    return x


def between(minimum: float, maximum: float) -> Scale:
    """The raw number is the logit of the value's place in a range.

    >>> scale = between(100.0, 1000.0)
    >>> scale.value(torch.tensor(0.0)), scale.raw(torch.tensor(550.0))
    (tensor(550.), tensor(0.))
    """
    span = maximum - minimum
    return Scale(
        lambda raw: minimum + span * torch.sigmoid(raw),
        lambda value: torch.logit((value - minimum) / span, EDGE),
    )


def _milliseconds(rate_ms: float = 2.2 * 1000 / PUBLISHED_RATE) -> Scale:
    """The raw number is the logit of a one-pole's rate, 1 − exp(−rate_ms/t): softplus(raw) = rate_ms/t."""

    def raw(value: Tensor) -> Tensor:
        turns = rate_ms / value
        return turns + torch.log(-torch.expm1(-turns))

    return Scale(lambda raw: rate_ms / torch.nn.functional.softplus(raw), raw)


AS_IT_IS = Scale(_same, _same)
LOOK_AHEAD = Scale(lambda raw: (raw.abs() % LONGEST_LOOK_AHEAD_MS).clamp_min(SHORTEST_LOOK_AHEAD_MS), _same)


def _scales() -> dict[str, Scale]:
    """Each parameter's scale in the order of a row, up to the matrices."""

    def of_bands(path: str, bands: dict) -> dict[str, Scale]:
        found = {}
        for name, band in bands.items():
            if band.shape in ("peak", "low_shelf", "high_shelf"):
                found[f"{path}.{name}.gain_db"] = AS_IT_IS
            found[f"{path}.{name}.frequency_hz"] = between(*band.frequencies)
            if band.qs is not None:
                found[f"{path}.{name}.q"] = between(*band.qs)
        return found

    time, part = _milliseconds(), between(0.0, 1.0)
    lines = range(1, 2 * LINES + 1)
    return {
        **of_bands("equalizer.bands", SIX_BANDS),
        "compressor.curve.threshold_db": AS_IT_IS,
        "compressor.curve.expander_threshold_db": AS_IT_IS,
        "compressor.makeup_db": AS_IT_IS,
        "compressor.look_ahead.look_ahead_ms": LOOK_AHEAD,
        "compressor.smoother.attack_ms": time,
        "compressor.smoother.release_ms": time,
        "compressor.detector.average_ms": time,
        "compressor.curve.ratio": between(*RATIOS),
        "compressor.curve.expander_ratio": part,
        "send": part,
        "delay.time_ms": between(*TIMES_MS),
        "delay.feedback": part,
        "delay.gain": part,
        "delay.lowpass_hz": between(*LOWPASS_HZ),
        "delay.q": between(*QS),
        "delay.odd_pan": part,
        "delay.even_pan": part,
        **{f"reverb.entering.{i}": AS_IT_IS for i in lines},
        **{f"reverb.leaving.{i}": AS_IT_IS for i in lines},
        **{f"reverb.decay.{i}": part for i in range(1, 50)},
        **{f"reverb.mixing.{i}": AS_IT_IS for i in range(1, LINES * (LINES - 1) // 2 + 1)},
        **of_bands("tone.bands", TONE),
        "pan": part,
    }


@functools.cache
def layout() -> dict[str, tuple[int, Scale]]:
    """Each parameter's column in a row, and its scale."""
    scales = _scales()
    first_of_matrix = list(scales).index("reverb.mixing.1")
    above = [LINES * i + j for i in range(LINES) for j in range(i + 1, LINES)]
    columns = [*range(first_of_matrix), *(first_of_matrix + k for k in above)]
    columns += range(first_of_matrix + LINES**2, COLUMNS)
    return {name: (column, scale) for (name, scale), column in zip(scales.items(), columns, strict=True)}


def independent() -> Tensor:
    """Which of a row's numbers count, `(151,)` bool.

    >>> int(independent().sum())
    130
    """
    mask = torch.zeros(COLUMNS, dtype=torch.bool)
    mask[[column for column, _ in layout().values()]] = True
    return mask


def chain_of(row: Any, sample_rate: float = PUBLISHED_RATE, **arguments: Any) -> VocalChain:
    """The chain that a row means, as published: sampled, 12 s of it, with repeats for 4 s.

    In the time domain, `method=TimeDomain()`, some rows would have repeats that grow: these are turned down.

    Args:
        row: 151 numbers.
        arguments: others of `VocalChain`, parts' by their names.

    Raises:
        ValueError: a row that is not 151 finite numbers.

    >>> round(float(chain_of(torch.zeros(151)).delay.time_ms()))
    550
    """
    row = torch.as_tensor(np.asarray(row) if not isinstance(row, Tensor) else row).double()
    if row.shape != (COLUMNS,) or not row.isfinite().all():
        raise ValueError(f"a row of presets has {COLUMNS} finite numbers, got shape {tuple(row.shape)}")
    given = {name: {**usual, **(arguments.pop(name, None) or {})} for name, usual in AS_PUBLISHED.items()}
    sampled = {"method": CircleSampling(round(SAMPLED_S * sample_rate))}
    chain = VocalChain(sample_rate, **{**given, **sampled, **arguments})
    set_row(chain, row)
    return chain


def set_row(chain: VocalChain, row: Tensor) -> None:
    """Sets a chain's parameters to what a row means."""
    chain.set_parameters({name: float(scale.value(row[column])) for name, (column, scale) in layout().items()})


def row_of(chain: VocalChain) -> Tensor:
    """A chain's raw numbers, `(151,)` float64, with gradients; 0 where they don't count.

    Raises ValueError for a chain of other parts than the published one's.
    """
    values = _values(chain)
    missing = layout().keys() - values.keys()
    if missing:
        raise ValueError(f"a row is of the published chain's parameters; this one has no {sorted(missing)[0]}")
    columns = torch.tensor([column for column, _ in layout().values()])
    numbers = torch.stack([scale.raw(values[name]) for name, (_, scale) in layout().items()])
    return torch.zeros(COLUMNS, dtype=torch.float64).index_put((columns,), numbers)


def _values(chain: VocalChain) -> dict[str, Tensor]:
    """Every named parameter's value, as a tensor."""
    found: dict[str, Tensor] = {}
    for path, part in chain.named_modules():
        if isinstance(part, Named):
            found[path] = part()
        elif hasattr(part, "entries"):
            found |= {f"{path}.{part.first + i}": value for i, value in enumerate(part())}
    return found


@dataclass(frozen=True)
class Presets:
    """A folder of fitted chains: rows `(presets, 151)`, and those of them that a Gaussian is of."""

    rows: Tensor
    chosen: Tensor

    def features(self) -> Tensor:
        """What counts of the chosen rows, `(chosen, 130)` float64."""
        return self.rows[self.chosen][:, independent()]


def read_presets(folder: str | os.PathLike) -> Presets:
    """Reads a folder of fitted chains: `raw_params.npy`, and where it is there `train_index.npy`; or presets, *.yaml.

    Presets are looked for in folders inside it too, such as those of fits.

    Raises ValueError, naming the file, for anything else in them.
    """
    folder = Path(folder)
    if not (folder / "raw_params.npy").exists() and (files := sorted(folder.rglob("*.yaml"))):
        return _of_chains(files)
    rows = _read(folder / "raw_params.npy")
    if rows.ndim != 2 or rows.shape[1] != COLUMNS or not np.isfinite(rows).all():
        raise ValueError(f"{folder / 'raw_params.npy'} must hold rows of {COLUMNS} finite numbers, got {rows.shape}")
    index = folder / "train_index.npy"
    chosen = _read(index) if index.exists() else np.arange(len(rows))
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not len(chosen) or not (abs(chosen) < len(rows)).all():
        raise ValueError(f"{index} must hold numbers of {len(rows)} rows")
    return Presets(torch.from_numpy(rows).double(), torch.from_numpy(chosen.astype(np.int64)))


def _of_chains(files: list[Path]) -> Presets:
    rows = []
    for file in files:
        if file.parent.name == ".hydra":  # how a run was called
            continue
        try:
            rows.append(row_of(VocalChain.load(file)).detach())
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
    return Presets(torch.stack(rows), torch.arange(len(rows)))


def _read(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
