"""What every operator shares: signals as rows, arguments checked, one batching rule for `vmap`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch._C._functorch import (
    _unwrap_for_grad,
    _wrap_for_grad,
    is_legacy_batchedtensor,
    maybe_get_level,
    unwrap_if_dead,
)
from torch._functorch.pyfunctorch import retrieve_current_functorch_interpreter
from torch.autograd import forward_ad

REAL = (torch.float32, torch.float64)
REAL_AND_COMPLEX = (*REAL, torch.complex64, torch.complex128)


class RowFunction:
    """A differentiable function whose every tensor argument and result has the rows (batch) as its first dimension.

    Subclasses write static `forward(*arguments)`, `backward(ctx, *gradients)` and, unless their derivatives read just the
    arguments, `setup_context(ctx, arguments, output)`, as of a `torch.autograd.Function`, and the forward-mode rule as
    `tangent(ctx, saved_tensors, *tangents)`, None for an argument that does not move. Where they do, arguments that are no
    tensors are the last ones, and `ctx` has them by their names in `OPTIONS`.

    Rows are independent, so `vmap` folds the mapped dimension into them: one kernel call, never a loop. The arguments at
    `COEFFICIENTS` may have fewer rows than the first one, the signal, all of them as many: its row r uses theirs modulo
    their number. So many directions of one derivative, or many signals through one filter, share a single copy.
    """

    COEFFICIENTS: tuple[int, ...] = ()
    OPTIONS: tuple[str, ...] = ()
    TAKES_NO_GRADIENT = False  # whether `backward` takes None for a result that nobody uses
    _variants: dict[str, type[torch.autograd.Function]]

    def __init_subclass__(cls) -> None:
        if cls.OPTIONS:
            cls.setup_context = staticmethod(_saving(cls.OPTIONS))  # type: ignore[method-assign]
        rules: dict[str, Callable] = {
            "forward": cls.forward,
            "setup_context": cls.setup_context,
            "backward": cls.backward,
        }
        moving = {"setup_context": partial(_without_zeros, cls), "backward": partial(_with_zeros, cls)}
        modes: dict[str, Callable] = {
            "vmap": partial(_fold_into_rows, cls),
            "jvp": partial(_with_tangents_of_outer_levels, cls),
        }
        in_forward: dict[str, Callable] = {
            "forward": _with_context(cls),
            "backward": in_newer_maps(moving["backward"]),
            "jvp": modes["jvp"],
        }
        cls._variants = {
            "transforms": _function(cls.__name__, rules | moving | modes),
            "compiled": _function(cls.__name__, rules),  # torch.compile takes no function that has a `jvp`
            # the older form: the newer one inspects signatures, for 20 µs
            "eager": _function(cls.__name__, in_forward),
        }

    @staticmethod
    def forward(*arguments):
        raise NotImplementedError

    @staticmethod
    def setup_context(ctx, arguments, output):
        """Saves the arguments; for functions whose derivatives read these and nothing else."""
        ctx.save_for_backward(*arguments)
        ctx.save_for_forward(*arguments)

    @staticmethod
    def backward(ctx, *gradients):
        raise NotImplementedError

    @staticmethod
    def tangent(ctx, saved, *tangents):
        raise NotImplementedError

    @classmethod
    def apply(cls, *arguments):
        if torch.compiler.is_compiling():
            return cls._variants["compiled"].apply(*arguments)
        if torch._C._are_functorch_transforms_active():
            return cls._apply_at_level(retrieve_current_functorch_interpreter(), arguments)
        plain, differentiable = _plain(arguments)
        if not in_forward_mode() and not (differentiable and torch.is_grad_enabled()):
            return cls.forward(*plain)
        return cls._variants["eager"].apply(*plain)

    @classmethod
    def _apply_at_level(cls, level, arguments):
        """At the innermost level of `torch.func`: the next one's, where this one has wrapped none of the arguments.

        PyTorch would find out too, in 0.3 ms.
        """
        arguments = [_alive(each) if isinstance(each, Tensor) else each for each in arguments]
        wrapped = (maybe_get_level(argument) for argument in arguments if isinstance(argument, Tensor))
        if level.level() in wrapped:
            return cls._variants["transforms"].apply(*arguments)
        with level.lower():
            return cls.apply(*arguments)


def in_forward_mode() -> bool:
    """Whether a `jvp` or a dual level is open."""
    return forward_ad._current_level >= 0


def _function(name: str, rules: dict[str, Callable]) -> type[torch.autograd.Function]:
    return type(name, (torch.autograd.Function,), {key: staticmethod(rule) for key, rule in rules.items()})


def _saving(options: tuple[str, ...]) -> Callable:
    """A `setup_context` that saves the arguments, of which the last ones are options."""
    last_first = options[::-1]

    def setup_context(ctx, arguments, output):
        tensors = list(arguments)
        for name in last_first:
            setattr(ctx, name, tensors.pop())
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    return setup_context


def _with_context(function: type[RowFunction]) -> Callable:
    def forward(ctx, *arguments):
        output = function.forward(*arguments)
        _without_zeros(function, ctx, arguments, output)
        return output

    return forward


def _without_zeros(function: type[RowFunction], ctx, arguments, output) -> None:
    """Makes the tangents of what does not move None: PyTorch would give zeros, as long as the signal in each direction."""
    ctx.set_materialize_grads(False)
    if isinstance(output, tuple):
        ctx.results = [(result.shape, result.dtype, result.device) for result in output]
    function.setup_context(ctx, arguments, output)


def _with_zeros(function: type[RowFunction], ctx, *gradients):
    """What `backward` expects: zeros for a result that nobody uses, where another is used."""
    unused = [gradient is None for gradient in gradients]
    if all(unused):
        return (None,) * len(ctx.needs_input_grad)
    if not function.TAKES_NO_GRADIENT and any(unused):
        kinds = zip(gradients, ctx.results, strict=True)
        gradients = tuple(
            torch.zeros(shape, dtype=dtype, device=device) if gradient is None else gradient
            for gradient, (shape, dtype, device) in kinds
        )
    return function.backward(ctx, *gradients)


def in_newer_maps(rule: Callable) -> Callable:
    """A rule `(ctx, *tensors)` that also takes many gradients as one.

    `torch.autograd` holds them (`is_grads_batched`, `jacobian(vectorize=True)`) by a `vmap` of its own, older than that of
    `torch.func`, which knows no rules.
    """

    def mapped(ctx, *given):
        dims = tuple(0 if isinstance(each, Tensor) and is_legacy_batchedtensor(each) else None for each in given)
        if 0 not in dims:
            return rule(ctx, *given)
        level = torch._C._vmapmode_increment_nesting() - 1
        torch._C._vmapmode_decrement_nesting()
        plain = [
            each if dim is None else torch._remove_batch_dim(each, level, 1, 0)
            for each, dim in zip(given, dims, strict=True)
        ]
        is_there: list[bool] = []  # which results are not None: vmap returns tensors only

        def tensors(*given):
            results = rule(ctx, *given)
            results = results if isinstance(results, tuple) else (results,)
            is_there[:] = [result is not None for result in results]
            return tuple(result for result in results if result is not None)

        found = iter(torch.func.vmap(tensors, dims)(*plain))
        results = tuple(torch._add_batch_dim(next(found), 0, level) if there else None for there in is_there)
        return results if len(results) > 1 else results[0]

    return mapped


def _alive(tensor: Tensor) -> Tensor:
    """The tensor without wrappers of `torch.func` levels that are over; they may hold one another, or one of a level that
    is not over.
    """
    while (inner := unwrap_if_dead(tensor)) is not tensor:
        tensor = inner
    return tensor


def _plain(arguments: tuple) -> tuple[Sequence, bool]:
    """The arguments without the wrappers of `torch.func` levels that are over, and whether any requires a gradient."""
    differentiable = False
    for argument in arguments:
        if isinstance(argument, Tensor):
            if unwrap_if_dead(argument) is not argument:
                return _plain(tuple(_alive(each) if isinstance(each, Tensor) else each for each in arguments))
            if argument.requires_grad:
                differentiable = True
    return arguments, differentiable


def _with_tangents_of_outer_levels(function: type[RowFunction], ctx, *tangents):
    """PyTorch switches forward mode off inside `jvp`: for all levels, so that a jvp of a jvp would silently be wrong.

    Here it is on, and this level's own tangents are taken off the saved tensors instead. A level of `torch.func` is left
    altogether: nothing that the rule computes moves in it.
    """
    with forward_ad._set_fwd_grad_enabled(True):
        if not torch._C._are_functorch_transforms_active():
            saved = [forward_ad.unpack_dual(tensor).primal for tensor in ctx.saved_tensors]
            return in_newer_maps(lambda ctx, *tangents: function.tangent(ctx, saved, *tangents))(ctx, *tangents)
        level = retrieve_current_functorch_interpreter()
        saved, inner = (_each(_unwrap_for_grad, level, values) for values in (ctx.saved_tensors, tangents))
        with level.lower(), forward_ad._set_fwd_grad_enabled(True):
            result = function.tangent(ctx, saved, *inner)
        several = isinstance(result, tuple)
        wrapped = tuple(_each(_wrap_for_grad, level, result if several else (result,)))
        return wrapped if several else wrapped[0]


def _each(change: Callable, level, values) -> list:
    """The values with the tensors among them taken out of a level, or into it."""
    return [change(value, level.level()) if isinstance(value, Tensor) else value for value in values]


def _fold_into_rows(function: type[RowFunction], info, in_dims, *arguments):
    signal = arguments[0] if in_dims[0] is None else arguments[0].select(in_dims[0], 0)
    rows = signal.shape[0]
    are_shared = all(in_dims[place] is None for place in function.COEFFICIENTS)

    def fold(place, argument, dim):
        if not isinstance(argument, Tensor):
            return argument
        if are_shared and place in function.COEFFICIENTS:
            return argument
        mapped = argument.expand(info.batch_size, *argument.shape) if dim is None else argument.movedim(dim, 0)
        if mapped.shape[1] != rows:
            mapped = mapped[:, None].expand(-1, rows // mapped.shape[1], *mapped.shape[1:]).flatten(1, 2)
        return mapped.flatten(0, 1)

    def unfold(result):
        return result.reshape(info.batch_size, result.shape[0] // info.batch_size, *result.shape[1:])

    results = function.apply(*map(fold, range(len(arguments)), arguments, in_dims))
    if isinstance(results, tuple):
        return tuple(unfold(result) for result in results), (0,) * len(results)
    return unfold(results), 0


def unfilled(tensor: Tensor) -> Tensor:
    """A contiguous tensor of another's shape and dtype, for a kernel to write; `new_empty(shape)` takes twice as long."""
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def conjugates(ctx) -> list[Tensor]:
    """The saved tensors as a backward rule takes them: PyTorch's gradients are those with respect to conjugates."""
    return [tensor.conj() if tensor.is_complex() else tensor for tensor in ctx.saved_tensors]


def shared(gradient: Tensor, coefficients: Tensor) -> Tensor:
    """The gradient of coefficients that several rows used: the sum of theirs."""
    rows = coefficients.shape[0]
    return gradient if gradient.shape[0] == rows else gradient.unflatten(0, (gradient.shape[0] // rows, rows)).sum(0)


def in_float32(*values):
    """The arguments as autocast wants them: where it is on, what it made half as long is float32 again."""
    if not torch._C._is_any_autocast_enabled():
        return values
    device = values[0].device.type if isinstance(values[0], Tensor) else ""
    if not (torch.amp.autocast_mode.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return values
    halves = (torch.float16, torch.bfloat16)
    return tuple(value.float() if isinstance(value, Tensor) and value.dtype in halves else value for value in values)


def check_signal(
    name: str, value, like: Tensor | None = None, dtypes: tuple[torch.dtype, ...] = REAL_AND_COMPLEX
) -> None:
    """A tensor with a time axis, of one of the dtypes, or of the dtype and on the device of `like`."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
    if value.layout != torch.strided:
        raise TypeError(f"{name} must be a dense tensor (torch.strided), got {value.layout}")
    if value.dtype not in dtypes:
        wanted = ", ".join(str(dtype)[6:] for dtype in dtypes[:-1]) + f" or {str(dtypes[-1])[6:]}"
        kind = "real, " if dtypes == REAL and value.is_complex() else ""
        raise TypeError(f"{name} must be {kind}{wanted}, got {value.dtype}")
    if like is not None and value.dtype != like.dtype:
        raise TypeError(f"{name} is {value.dtype}, but the signal is {like.dtype}: make them equal")
    if like is not None and value.device != like.device:
        raise ValueError(f"{name} is on {value.device}, but the signal is on {like.device}: move one of them")
    if like is None and value.dim() == 0:
        raise ValueError(f"{name} needs a time axis, shape (..., time); got a scalar")


def check_flag(name: str, value) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {type(value).__name__}")


def number_rows(name: str, value, x: Tensor) -> Tensor:
    """A number or one for each signal of x, `(...)`, as rows."""
    if not isinstance(value, (int, float, Tensor)):
        raise TypeError(f"{name} must be a number or a tensor, got {type(value).__name__}")
    if not isinstance(value, Tensor):
        return x.new_full((x.shape[:-1].numel(),), float(value))
    check_signal(name, value, x)
    try:
        return value.expand(x.shape[:-1]).reshape(-1)
    except RuntimeError:
        wanted = f"a number or one for each signal, shape {tuple(x.shape[:-1])}"
        raise ValueError(f"{name} must be {wanted}, got {tuple(value.shape)}") from None


def to_rows(x: Tensor) -> Tensor:
    """`(..., time)` as `(rows, time)`."""
    if x.dim() == 2:
        return x
    return x.reshape(-1, x.shape[-1]) if x.shape[-1] else x.reshape(x.shape[:-1].numel(), 0)


def state_rows(name: str, state: Tensor | None, x: Tensor, size: int) -> Tensor:
    """An initial state `(..., size)` as `(rows, size)`; zeros for None; one state may serve every row."""
    rows = x.shape[0] if x.dim() == 2 else x.shape[:-1].numel()
    if state is None:
        return x.new_zeros(rows, size)
    check_signal(name, state, x)
    if state.shape == (rows, size) and x.dim() == 2:
        return state
    expected = (*x.shape[:-1], size)
    try:
        return state.expand(expected).reshape(rows, size)
    except RuntimeError:
        raise ValueError(f"{name} must have shape {expected} (or broadcast to it), got {tuple(state.shape)}") from None
