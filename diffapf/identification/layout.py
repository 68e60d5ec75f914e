"""Named tensors as one vector: what an optimiser moves, what is frozen, and where each is bounded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

Parameters = dict[str, Tensor]
Groups = Sequence[Collection[str]]
Bounds = Mapping[str, tuple[float | Tensor | None, float | Tensor | None]]


class Layout:
    """The free ones of some named tensors, one after the other in a float64 vector on the CPU; frozen ones beside it.

    Args:
        parameters: the tensors by name, real, of any shapes, dtypes and devices.
        frozen: names of those that stay as they are.
        groups: names of those that are differentiated together; what is in none of them is a group of its own.

    Raises:
        ValueError, TypeError: no tensors, none of them free, an unknown name, a tensor that is not of real numbers.

    >>> layout = Layout({"gain": torch.tensor(2.0), "taps": torch.zeros(2)})
    >>> layout.labels, layout.vector({"gain": torch.tensor(2.0), "taps": torch.ones(2)})
    (['gain', 'taps[0]', 'taps[1]'], tensor([2., 1., 1.], dtype=torch.float64))
    """

    def __init__(self, parameters: Mapping[str, Tensor], frozen: Collection[str] = (), groups: Groups | None = None):
        if not isinstance(parameters, Mapping):
            raise TypeError(f"parameters must be tensors by name, a dict, got {type(parameters).__name__}")
        if isinstance(frozen, str):
            raise TypeError(f"frozen must be a list of names, got the string {frozen!r}")
        for name, tensor in parameters.items():
            if not isinstance(tensor, Tensor):
                raise TypeError(f"parameter {name!r} must be a tensor, got {type(tensor).__name__}")
            if name not in frozen and not tensor.is_floating_point():
                raise TypeError(
                    f"parameter {name!r} must be real, float32 or float64, got {tensor.dtype}; or freeze it"
                )
        _check_names("frozen", frozen, parameters)
        self.frozen = {name: tensor.detach() for name, tensor in parameters.items() if name in frozen}
        self.free = {name: tensor.detach() for name, tensor in parameters.items() if name not in frozen}
        self.size = sum(tensor.numel() for tensor in self.free.values())
        if not self.size:
            raise ValueError("there is nothing to fit: parameters has no tensor that is not frozen")
        self.order = list(parameters)
        self.groups = self._grouped(groups or [])

    def _grouped(self, groups: Groups) -> list[list[str]]:
        if isinstance(groups, str) or any(isinstance(group, str) for group in groups):
            raise TypeError(f"groups must be a list of lists of names, got {groups!r}")
        named = [name for group in groups for name in group]
        _check_names("groups", named, self.order)
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"a parameter is in one group only, but groups has {twice} twice")
        others = [name for name in self.free if name not in named]
        free = [[name for name in group if name in self.free] for group in [*groups, others]]
        return [group for group in free if group]

    @property
    def labels(self) -> list[str]:
        """A name for each place of the vector: `name` of a scalar, `name[index]` of a tensor's elements."""
        return [name + _index(i, tensor.shape) for name, tensor in self.free.items() for i in range(tensor.numel())]

    def vector(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The free tensors as one vector."""
        parts = [parameters[name].detach().to("cpu", torch.float64).reshape(-1) for name in self.free]
        return torch.cat(parts)

    def tensors(self, vector: Tensor) -> Parameters:
        """The free tensors from a vector, each of its own shape, dtype and device."""
        parts = vector.split([tensor.numel() for tensor in self.free.values()])
        pairs = zip(self.free.items(), parts, strict=True)
        return {name: part.reshape(like.shape).to(like.device, like.dtype) for (name, like), part in pairs}

    def complete(self, free: Mapping[str, Tensor]) -> Parameters:
        """The free tensors and the frozen ones, in the order in which they were given."""
        return {name: free[name] if name in free else self.frozen[name] for name in self.order}

    def parameters(self, vector: Tensor) -> Parameters:
        """All the tensors."""
        return self.complete(self.tensors(vector))

    def directions(self, group: Collection[str]) -> Parameters:
        """A unit vector for each place of a group, as tangents of its tensors: `(places, *shape)`."""
        tensors = {name: self.free[name] for name in group}
        sizes = [tensor.numel() for tensor in tensors.values()]
        columns = torch.eye(sum(sizes), dtype=torch.float64).split(sizes, dim=1)
        return {
            name: column.reshape(len(column), *like.shape).to(like.device, like.dtype)
            for (name, like), column in zip(tensors.items(), columns, strict=True)
        }

    def places(self, group: Collection[str]) -> Tensor:
        """Where a group's tensors are in the vector."""
        sizes = [tensor.numel() for tensor in self.free.values()]
        places = dict(zip(self.free, torch.arange(self.size).split(sizes), strict=True))
        return torch.cat([places[name] for name in group])

    def bounds(self, bounds: Bounds | None) -> tuple[Tensor, Tensor]:
        """(lowest, highest) of each place, ∓∞ where nothing is said."""
        bounds = bounds or {}
        _check_names("bounds", bounds, self.free)
        lowest, highest = ({name: torch.full_like(t, end) for name, t in self.free.items()} for end in INFINITE)
        for name, pair in bounds.items():
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ValueError(f"the bounds of {name!r} must be a pair (lowest, highest), got {pair!r}")
            for ends, end in zip((lowest, highest), pair, strict=True):
                if end is not None:
                    ends[name] = _bound(name, end, self.free[name])
            if not (lowest[name] < highest[name]).all():
                raise ValueError(f"the lowest bound of {name!r} must be below the highest, got {pair!r}; or freeze it")
        return self.vector(lowest), self.vector(highest)


INFINITE = (-torch.inf, torch.inf)


def _bound(name: str, end: float | Tensor, like: Tensor) -> Tensor:
    try:
        return torch.as_tensor(end, dtype=like.dtype, device=like.device).expand(like.shape)
    except (RuntimeError, TypeError, ValueError):
        shape = tuple(like.shape)
        raise ValueError(f"a bound of {name!r} must be a number or have its shape {shape}, got {end!r}") from None


def _check_names(what: str, names: Collection[str], parameters: Collection[str]) -> None:
    unknown = sorted(set(names) - set(parameters))
    if unknown:
        raise ValueError(f"{what} names {unknown}, but the parameters are {sorted(parameters)}")


def _index(place: int, shape: torch.Size) -> str:
    indices = []
    for size in reversed(shape):
        place, index = divmod(place, size)
        indices.append(str(index))
    return f"[{', '.join(reversed(indices))}]" if indices else ""
