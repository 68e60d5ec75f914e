"""Large outputs on large pages of memory.

A system clears each page of fresh memory when it is touched first. Of 4 kB a page, that takes longer than to filter into
them; of 2 MB a page (Linux's transparent huge pages, where they are given to those who ask), a third of it.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
from collections.abc import Callable

from torch import Tensor

LARGE = 8 * 2**20  # bytes: below, memory is mostly used again
PAGE = 2 * 2**20


@functools.cache
def _advise() -> Callable | None:
    """madvise(address, bytes, advice), where there are such pages."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    try:
        advise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return advise


def ask_for_large_pages(tensor: Tensor) -> None:
    """Asks for the whole pages within a tensor on the CPU that nothing was written to yet. Nothing depends on the answer."""
    if (advise := _advise()) is None:
        return
    first = -(-tensor.data_ptr() // PAGE) * PAGE
    last = (tensor.data_ptr() + tensor.nbytes) // PAGE * PAGE
    advise(first, last - first, mmap.MADV_HUGEPAGE)
