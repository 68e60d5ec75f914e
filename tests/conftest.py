"""Every kernel gets what it was compiled for."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture(scope="session", autouse=True)
def keys_tell_kernels_apart():
    """A key that two kinds of arguments share would have a kernel of the one write over the other's memory."""
    from diffapf.kernels.cpu import launch

    unchecked = launch._packed

    def packed(arguments: tuple) -> Callable:
        write, kinds = unchecked(arguments), [*map(launch._kind, arguments)]

        def checked(rows: int, group: int, *given) -> bytes:
            assert [*map(launch._kind, given)] == kinds, "the key of a kernel does not tell all of its arguments' kinds"
            return write(rows, group, *given)

        return checked

    launch._packed = packed
    yield
    launch._packed = unchecked
