"""From tensors to machine code: a kernel is compiled once for each kind of arguments, and called without ceremony.

A kernel is a function `kernel(first, last, *arguments)` of arrays that computes the rows from first to last. Compiled, it
is a C function of one pointer, to a block of 64-bit words:

    word 0        the next group of rows that nobody has claimed
    words 1, 2    the number of rows, and of rows in a group
    from word 3   the arguments: an array is its address and its sizes, a number itself

Every thread claims groups until none is left. The threads are those of PyTorch's own OpenMP team, which are at hand within
2 µs; where it has none (and in a forked child, which has no threads of its parent's), Python threads serve, in 20 µs.
"""

# mypy: ignore-errors
# (code that Numba compiles, through parts of Numba that its type annotations leave out)

from __future__ import annotations

import ctypes
import functools
import hashlib
import itertools
import multiprocessing
import os
import struct
import sys
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array
from torch import Tensor

ROWS_TOGETHER = 4  # a group: kernels that interleave rows take them by fours
WORTH_A_THREAD = 20_000  # multiply-adds
HEADER = 3  # words
DEEP_ENOUGH = 20_000  # Python frames

NUMBA_TYPE = {
    torch.float32: types.float32,
    torch.float64: types.float64,
    torch.complex64: types.complex64,
    torch.complex128: types.complex128,
}


OPTIONS = {
    "_nrt": False,
    "error_model": "numpy",
    "fastmath": {"contract"},
    "no_cpython_wrapper": True,  # nobody calls a kernel from Python: a third of the time that a compilation takes
    "no_cfunc_wrapper": True,
}
INLINED: Any = OPTIONS | {
    "forceinline": True
}  # by LLVM, which keeps a tuple's elements in registers across what it inlines

jit = numba.njit(**OPTIONS)
step = numba.njit(**INLINED)  # a sample of a recursion
rounded_step = numba.njit(**INLINED | {"fastmath": False})  # where a product is rounded before it is added


def inline(function: Callable) -> Callable:
    """A small part of a kernel, inlined by Numba: its arguments may be what only the compiler knows."""
    return numba.njit(inline="always", error_model="numpy", fastmath={"contract"})(function)


def jit_sum(function: Callable) -> Callable:
    """For a sum over many taps, which may be taken in any order: several at once."""
    return numba.njit(**OPTIONS | {"fastmath": {"contract", "reassoc", "nsz"}})(function)


def named(kernel: Callable, name: str) -> Callable:
    """The kernel under a name of its own, for one of several that are written as one function."""
    kernel.py_func.__name__ = name
    return kernel


# ------------------------------------------------------------------------------------------------------ in machine code


@intrinsic
def _claim(typing, block):
    """The next group of rows nobody has claimed: (first, last); first ≥ last when there is none."""
    pair = types.UniTuple(types.intp, 2)

    def generate(context, builder, signature, arguments):
        word = ir.IntType(64)
        words = builder.bitcast(arguments[0], word.as_pointer())
        rows, group = (builder.load(builder.gep(words, [ir.Constant(word, i)])) for i in (1, 2))
        index = builder.atomic_rmw("add", words, ir.Constant(word, 1), "monotonic")
        first = builder.mul(index, group)
        end = builder.add(first, group)
        last = builder.select(builder.icmp_signed("<", end, rows), end, rows)
        return context.make_tuple(builder, pair, [first, last])

    return pair(types.voidptr), generate


def _reader(kinds: tuple):
    """Reads arguments of these Numba types from a block."""
    argument_types = types.Tuple(kinds)

    @intrinsic
    def read(typing, block):
        def generate(context, builder, signature, arguments):
            words = builder.bitcast(arguments[0], ir.IntType(64).as_pointer())
            position = itertools.count(HEADER)

            def next_word():
                return builder.load(builder.gep(words, [ir.Constant(ir.IntType(64), next(position))]))

            def value(kind):
                if isinstance(kind, types.BaseTuple):
                    return context.make_tuple(builder, kind, [value(part) for part in kind])
                if isinstance(kind, types.NoneType):
                    return context.get_dummy_value()
                if kind == types.float64:
                    return builder.bitcast(next_word(), ir.DoubleType())
                array = make_array(kind)(context, builder)
                data = builder.inttoptr(next_word(), array.data.type)
                shape = [next_word() for _ in range(kind.ndim)]
                item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
                strides = [item]
                for size in reversed(shape[1:]):
                    strides.insert(0, builder.mul(strides[0], size))
                sizes, steps = (cgutils.pack_array(builder, numbers) for numbers in (shape, strides))
                populate_array(array, data, shape=sizes, strides=steps, itemsize=item, meminfo=None)
                return array._getvalue()

            return context.make_tuple(builder, argument_types, [value(kind) for kind in argument_types])

        return argument_types(types.voidptr), generate

    return read


class _PackageCache(FunctionCache):
    """Numba's cache on disk, of which an entry is good as long as no file of this package has changed."""

    key: tuple = ()

    def _index_key(self, sig, codegen):
        return sig, codegen.magic_tuple(), self.key


@functools.cache
def _source() -> str:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


_compiled: dict[tuple, tuple[CFunc, Callable]] = {}  # with what packs arguments; the values keep the machine code alive


def _compile(kernel, arguments: tuple, constants: tuple) -> CFunc:
    kinds = tuple(map(_kind, arguments))
    read = _reader(kinds)

    def task(block):
        given = read(block) + constants
        first, last = _claim(block)
        while first < last:
            kernel(first, last, *given)
            first, last = _claim(block)

    task.__name__ = task.__qualname__ = kernel.py_func.__name__
    compiled = CFunc(task, ((types.voidptr,), types.void), {}, {"error_model": "numpy", "_nrt": False})
    compiled._cache = _PackageCache(task)
    compiled._cache.key = (task.__name__, str(kinds), str(constants), _source())
    with _room_to_recurse():
        compiled.compile()
    return compiled


@contextmanager
def _room_to_recurse() -> Iterator[None]:
    """Typing a tuple of 30 coefficients is 30 compilers deep: too deep for Python's limit, within a caller's own stack."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, DEEP_ENOUGH))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _kind(argument):
    if isinstance(argument, Tensor):
        return types.Array(NUMBA_TYPE[argument.dtype], argument.dim(), "C")
    if isinstance(argument, tuple):
        return types.Tuple(tuple(map(_kind, argument)))
    return types.none if argument is None else types.float64


# ------------------------------------------------------------------------------------------------------------ in Python


def _packed(arguments: tuple) -> Callable:
    """A function `(rows, group, *arguments) → bytes` that writes a block of arguments of these kinds.

    Written out for them: to go through the arguments of each call takes three times as long.
    """
    names = [f"a{place}" for place in range(len(arguments))]

    def source(name: str, argument) -> str:
        return f"{name}.data_ptr(), *{name}.shape" if isinstance(argument, Tensor) else name

    return _packer(names, [(source(*leaf), leaf[1]) for leaf in _leaves(names, arguments)])


def _packer(parameters: Sequence[str], words: Iterable[tuple[str, Any]]) -> Callable:
    """A function `(rows, group, *parameters) → bytes` of these words' sources, each with the argument that it stands for."""
    words = [(source, argument) for source, argument in words if argument is not None]
    formats = ("q" * (1 + argument.dim()) if isinstance(argument, Tensor) else "d" for _, argument in words)
    pack = struct.Struct("q" * HEADER + "".join(formats)).pack
    sources = ["0", "rows", "group", *(source for source, _ in words)]
    return eval(f"lambda rows, group, {', '.join(parameters)}: pack({', '.join(sources)})", {"pack": pack})


def _leaves(names: Iterable[str], arguments: tuple) -> Iterator[tuple[str, Any]]:
    """What there is in a tuple of tuples, with how to get there."""
    for name, argument in zip(names, arguments, strict=True):
        if isinstance(argument, tuple):
            yield from _leaves((f"{name}[{place}]" for place in range(len(argument))), argument)
        else:
            yield name, argument


def over_rows(kernel, rows: int, work: int, arguments: tuple, key: tuple, constants: tuple = ()) -> None:
    """Runs `kernel(first, last, *arguments, *constants)` over all rows, on as many threads as `work` is worth.

    `key` tells this call's kinds of arguments and its constants from all others of the kernel; constants are known to
    the compiler. `work` is in multiply-adds.
    """
    try:
        compiled, packed = _compiled[kernel, key]
    except KeyError:
        compiled, packed = _compile(kernel, arguments, constants), _packed(arguments)
        _compiled[kernel, key] = compiled, packed
    if (recording := _recording()) is not None:
        recording.launches.append(Launch(compiled, rows, work, arguments))
    _launch(compiled, rows, work, packed, arguments)


def _launch(compiled: CFunc, rows: int, work: int, packed: Callable, arguments: tuple) -> None:
    threads = 1 if work < WORTH_A_THREAD else min(torch.get_num_threads(), rows, work // WORTH_A_THREAD)
    group = rows if threads <= 1 else ROWS_TOGETHER if rows >= ROWS_TOGETHER * threads else -(-rows // threads)
    block = array("q", packed(rows, group, *arguments))  # alive until the call is over
    address, _ = block.buffer_info()
    if threads <= 1:
        compiled.ctypes(address)
    else:
        _team(compiled, address, threads)


# ------------------------------------------------------------------------------------------------------ launched again


@dataclass(frozen=True)
class Launch:
    """What `over_rows` ran."""

    compiled: CFunc
    rows: int
    work: int
    arguments: tuple

    def addresses(self) -> Iterator[int]:
        """Of all its tensors."""
        return (leaf.data_ptr() for _, leaf in self._leaves() if isinstance(leaf, Tensor))

    def packed(self, places: dict[int, str]) -> Callable:
        """What writes its block of arguments for tensors elsewhere, the parameter for each address; all others remain."""

        def source(argument) -> str:
            if not isinstance(argument, Tensor):
                return repr(argument)
            address = argument.data_ptr()
            return ", ".join([places.get(address, str(address)), *map(str, argument.shape)])

        return _packer([*places.values()], [(source(argument), argument) for _, argument in self._leaves()])

    def _leaves(self) -> Iterator[tuple[str, Any]]:
        return _leaves(map(str, range(len(self.arguments))), self.arguments)


class Recording:
    """The launches of a call, to be run again with tensors of the same shapes and dtypes elsewhere."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self.scratch: list[Tensor] = []

    def again(self, places: Sequence[Tensor], kept: Sequence[Tensor]) -> Callable[..., None] | None:
        """A function of the addresses of what is now at these tensors' places; what is `kept` stays where it is.

        None where there is anything else that the launches read or write, or where two tensors share a place.
        """
        moving = [*places, *self.scratch]
        parameters = {tensor.data_ptr(): f"p{place}" for place, tensor in enumerate(moving)}
        known = {0, *parameters, *(tensor.data_ptr() for tensor in kept)}  # 0 is that of a tensor without elements
        if len(parameters) < len(moving) or any(not known.issuperset(each.addresses()) for each in self.launches):
            return None
        steps = [(each.compiled, each.rows, each.work, each.packed(parameters)) for each in self.launches]
        sizes = [tensor.shape for tensor in self.scratch]

        def launch(*addresses: int) -> None:  # which keeps none of the tensors
            rooms = [torch.empty(size, dtype=torch.float64, device="cpu") for size in sizes]
            everything = (*addresses, *(room.data_ptr() for room in rooms)) if rooms else addresses
            for compiled, rows, work, packed in steps:
                _launch(compiled, rows, work, packed, everything)

        return launch


_recordings: dict[int, Recording] = {}  # of the threads that ask


def _recording() -> Recording | None:
    return _recordings.get(threading.get_ident()) if _recordings else None


@contextmanager
def recorded() -> Iterator[Recording]:
    """What this thread launches."""
    recording = _recordings[threading.get_ident()] = Recording()
    try:
        yield recording
    finally:
        del _recordings[threading.get_ident()]


def scratch(*size: int) -> Tensor:
    """Room for float64 numbers that one launch of a call leaves for the next."""
    room = torch.empty(size, dtype=torch.float64, device="cpu")
    if (recording := _recording()) is not None:
        recording.scratch.append(room)
    return room


_pool: ThreadPoolExecutor | None = None


@functools.cache
def _openmp() -> Callable | None:
    """PyTorch's OpenMP: `GOMP_parallel(function, data, threads, flags)` calls function(data) on each of its threads."""
    bundled = (Path(torch.__file__).parent / "lib").glob("libgomp*.so*")
    for name in [*map(str, bundled), "libgomp.so.1"]:
        try:
            parallel = ctypes.CDLL(name).GOMP_parallel
        except (OSError, AttributeError):
            continue
        parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        return parallel
    return None


# A forked child has none of its parent's threads: neither team may be called there. Nor in one that was forked before it
# first came here, which only `multiprocessing` tells.
_forked = multiprocessing.parent_process() is not None and multiprocessing.get_start_method(allow_none=True) != "spawn"


def _after_fork() -> None:
    global _pool, _forked
    _pool, _forked = None, True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _team(compiled: CFunc, block: int, threads: int) -> None:
    global _pool
    openmp = None if _forked else _openmp()
    if openmp is not None:
        openmp(compiled.address, block, threads, 0)
        return
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="diffapf")
    others = [_pool.submit(compiled.ctypes, block) for _ in range(threads - 1)]
    compiled.ctypes(block)
    for other in others:
        other.result()
