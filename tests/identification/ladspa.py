"""A LADSPA plugin as an oracle: a host in ctypes that runs one over a signal.

Source: ladspa.h 1.1, the structures and their order.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_float, c_int, c_ulong, c_void_p
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float32]

FOLDERS = os.environ.get("LADSPA_PATH", "/usr/local/lib/ladspa:/usr/lib/ladspa").split(":")
INPUT, AUDIO = 1, 8  # bits of a port's descriptor


class _Descriptor(ctypes.Structure):
    _fields_ = (
        ("unique_id", c_ulong),
        ("label", c_char_p),
        ("properties", c_int),
        ("name", c_char_p),
        ("maker", c_char_p),
        ("copyright", c_char_p),
        ("port_count", c_ulong),
        ("port_descriptors", POINTER(c_int)),
        ("port_names", POINTER(c_char_p)),
        ("port_range_hints", c_void_p),
        ("implementation_data", c_void_p),
        ("instantiate", CFUNCTYPE(c_void_p, c_void_p, c_ulong)),
        ("connect_port", CFUNCTYPE(None, c_void_p, c_ulong, c_void_p)),
        ("activate", CFUNCTYPE(None, c_void_p)),
        ("run", CFUNCTYPE(None, c_void_p, c_ulong)),
        ("run_adding", c_void_p),
        ("set_run_adding_gain", c_void_p),
        ("deactivate", CFUNCTYPE(None, c_void_p)),
        ("cleanup", CFUNCTYPE(None, c_void_p)),
    )


def find(file: str) -> Path | None:
    """The library of a plugin, where it is installed."""
    return next((path for path in (Path(folder) / file for folder in FOLDERS) if path.exists()), None)


def run(library: Path, label: str, controls: dict[str, float], x: Signal, sample_rate: int) -> Signal:
    """One channel through a plugin of one input and one output, the controls set by the beginnings of their names."""
    descriptor = _descriptor(library, label)
    x, y = np.ascontiguousarray(x, np.float32), np.empty(len(x), np.float32)
    values = []
    instance = descriptor.instantiate(ctypes.byref(descriptor), sample_rate)
    try:
        for port in range(descriptor.port_count):
            kind, name = descriptor.port_descriptors[port], descriptor.port_names[port].decode()
            if kind & AUDIO:
                place = (x if kind & INPUT else y).ctypes.data
            else:
                values.append(c_float(_setting(name, controls) if kind & INPUT else 0.0))
                place = ctypes.addressof(values[-1])
            descriptor.connect_port(instance, port, place)
        if descriptor.activate:
            descriptor.activate(instance)
        descriptor.run(instance, len(x))
        if descriptor.deactivate:
            descriptor.deactivate(instance)
    finally:
        descriptor.cleanup(instance)
    return y


def _descriptor(library: Path, label: str) -> _Descriptor:
    entry = ctypes.CDLL(str(library)).ladspa_descriptor
    entry.argtypes, entry.restype = [c_ulong], POINTER(_Descriptor)
    index = 0
    while found := entry(index):
        if found.contents.label.decode() == label:
            return found.contents
        index += 1
    raise LookupError(f"{library} has no plugin {label!r}")


def _setting(name: str, controls: dict[str, float]) -> float:
    return next(value for beginning, value in controls.items() if name.startswith(beginning))
