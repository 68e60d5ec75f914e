"""Small hosts: a kernel, LADSPA and LV2 instruments by ctypes, LV2 effects by ecasound, CLAP by a C program of ours."""

from __future__ import annotations

import ctypes
import struct
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from diffapf.export import Description
from diffapf.export.files import write_sources

Audio = NDArray[np.float32]
Buffer = ctypes.POINTER(ctypes.c_float)
HANDLE = ctypes.c_void_p
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-pedantic")


def at(signal: Audio, first: int):
    """A pointer to each channel of `(channels, time)` from a sample on."""
    return (Buffer * len(signal))(*[channel[first:].ctypes.data_as(Buffer) for channel in signal])


class KernelHost:
    """A kernel compiled by itself, strictly."""

    def __init__(self, description: Description, folder: Path):
        source, library = write_sources(description, folder), folder / "kernel.so"
        command = ["cc", "-O2", "-std=c99", *WARNINGS, "-shared", "-fPIC", str(source), "-o", str(library), "-lm"]
        subprocess.run(command, check=True)
        self.c, self.description = ctypes.CDLL(str(library)), description
        self.c.kernel_new.restype, self.c.kernel_new.argtypes = HANDLE, [ctypes.c_double]
        self.c.kernel_set.argtypes = [HANDLE, ctypes.c_int, ctypes.c_double]
        self.c.kernel_note.argtypes = [HANDLE, ctypes.c_int, ctypes.c_double]
        self.c.kernel_process.argtypes = [HANDLE, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
        for name in ("kernel_free", "kernel_reset", "kernel_latency"):
            getattr(self.c, name).argtypes = [HANDLE]

    def new(self, sample_rate: float) -> int | None:
        return self.c.kernel_new(sample_rate)

    def set(self, kernel: int, symbol: str, value: float) -> None:
        index = [knob.symbol for knob in self.description.knobs].index(symbol)
        self.c.kernel_set(kernel, index, value)

    def process(self, kernel: int, x: Audio, blocks: Sequence[int] = (512,), in_place: bool = False) -> Audio:
        """`(channels, time)` in blocks of sizes that come round; of an instrument, x has the length alone."""
        y = x if in_place else np.full_like(x, np.nan)
        done, turn = 0, 0
        while done < x.shape[-1]:
            count = min(blocks[turn % len(blocks)], x.shape[-1] - done)
            self.c.kernel_process(kernel, at(x, done), at(y, done), count)
            done, turn = done + count, turn + 1
        return y

    def play(self, sample_rate: float, x: Audio, knobs: dict[str, float] | None = None, **options) -> Audio:
        kernel = self.new(sample_rate)
        assert kernel
        for symbol, value in (knobs or {}).items():
            self.set(kernel, symbol, value)
        y = self.process(kernel, x, **options)
        self.c.kernel_free(kernel)
        return y


# -------------------------------------------------------------------------------------------------------------- LADSPA


class Range(ctypes.Structure):
    _fields_ = (("hints", ctypes.c_int), ("lower", ctypes.c_float), ("upper", ctypes.c_float))


class Descriptor(ctypes.Structure):
    """The published binary interface, up to what is called here."""

    _fields_ = (
        ("unique_id", ctypes.c_ulong),
        ("label", ctypes.c_char_p),
        ("properties", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("maker", ctypes.c_char_p),
        ("copyright", ctypes.c_char_p),
        ("port_count", ctypes.c_ulong),
        ("port_kinds", ctypes.POINTER(ctypes.c_int)),
        ("port_names", ctypes.POINTER(ctypes.c_char_p)),
        ("ranges", ctypes.POINTER(Range)),
        ("data", ctypes.c_void_p),
        ("instantiate", ctypes.CFUNCTYPE(HANDLE, ctypes.c_void_p, ctypes.c_ulong)),
        ("connect_port", ctypes.CFUNCTYPE(None, HANDLE, ctypes.c_ulong, Buffer)),
        ("activate", ctypes.CFUNCTYPE(None, HANDLE)),
        ("run", ctypes.CFUNCTYPE(None, HANDLE, ctypes.c_ulong)),
        ("run_adding", ctypes.c_void_p),
        ("set_run_adding_gain", ctypes.c_void_p),
        ("deactivate", ctypes.c_void_p),
        ("cleanup", ctypes.CFUNCTYPE(None, HANDLE)),
    )


class LadspaHost:
    """Loads a plugin, and sets its controls as its hints say, as hosts do."""

    def __init__(self, plugin: Path):
        library = ctypes.CDLL(str(plugin))
        library.ladspa_descriptor.restype = ctypes.POINTER(Descriptor)
        library.ladspa_descriptor.argtypes = [ctypes.c_ulong]
        self.pointer = library.ladspa_descriptor(0)
        self.plugin = self.pointer.contents
        assert not library.ladspa_descriptor(1)
        kinds = [self.plugin.port_kinds[i] for i in range(self.plugin.port_count)]
        self.inputs, self.outputs, self.controls, self.meters = (
            [i for i, kind in enumerate(kinds) if kind == wanted] for wanted in (1 | 8, 2 | 8, 1 | 4, 2 | 4)
        )
        self.names = [self.plugin.port_names[i].decode() for i in self.controls]

    def default(self, control: int) -> float:
        """In single precision, as the specification asks."""
        reached = self.plugin.ranges[control]
        part = {0x40: 0.0, 0x80: 0.25, 0xC0: 0.5, 0x100: 0.75, 0x140: 1.0}[reached.hints & 0x3C0]
        low, high = reached.lower, reached.upper
        if reached.hints & 16 and 0 < part < 1:
            return float(np.exp(np.log(low) * (1 - part) + np.log(high) * part))
        return low * (1 - part) + high * part

    def play(self, sample_rate: int, x: Audio, values: dict[int, float] | None = None, block: int = 512) -> Audio:
        """values: of controls by their place, else the defaults."""
        handle, y = self.plugin.instantiate(ctypes.cast(self.pointer, ctypes.c_void_p), sample_rate), np.empty_like(x)
        assert handle
        kept = [ctypes.c_float((values or {}).get(i, self.default(port))) for i, port in enumerate(self.controls)]
        kept += [ctypes.c_float() for _ in self.meters]
        for port, value in zip([*self.controls, *self.meters], kept, strict=True):
            self.plugin.connect_port(handle, port, ctypes.pointer(value))
        self.plugin.activate(handle)
        for first in range(0, x.shape[-1], block):
            for signal, ports in ((x, self.inputs), (y, self.outputs)):
                for port, pointer in zip(ports, at(signal, first), strict=True):
                    self.plugin.connect_port(handle, port, pointer)
            self.plugin.run(handle, min(block, x.shape[-1] - first))
        self.plugin.cleanup(handle)
        return y


# ----------------------------------------------------------------------------------------------------------- LV2, CLAP


def ecasound_lv2(bundle: Path, uri: str, sample_rate: int, x: Audio, values: Sequence[float], folder: Path) -> Audio:
    """By ecasound; values: of all controls in their order."""
    soundfile.write(folder / "in.wav", x.T, sample_rate, "FLOAT")
    kind = f"-f:f32_le,{len(x)},{sample_rate}"
    effect = ",".join([f"-elv2:{uri}", *map(repr, values)])
    files = ["-i", str(folder / "in.wav"), effect, kind, "-o", str(folder / "out.wav")]
    paths = {"LV2_PATH": f"{bundle.parent}:/usr/lib/lv2", "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    subprocess.run(["ecasound", "-q", "-X", kind, *files], check=True, capture_output=True, env=paths)
    return soundfile.read(folder / "out.wav", dtype="float32")[0].T


class Lv2Descriptor(ctypes.Structure):
    _fields_ = (
        ("uri", ctypes.c_char_p),
        ("instantiate", ctypes.CFUNCTYPE(HANDLE, ctypes.c_void_p, ctypes.c_double, ctypes.c_char_p, ctypes.c_void_p)),
        ("connect_port", ctypes.CFUNCTYPE(None, HANDLE, ctypes.c_uint32, ctypes.c_void_p)),
        ("activate", ctypes.CFUNCTYPE(None, HANDLE)),
        ("run", ctypes.CFUNCTYPE(None, HANDLE, ctypes.c_uint32)),
        ("deactivate", ctypes.c_void_p),
        ("cleanup", ctypes.CFUNCTYPE(None, HANDLE)),
        ("extension_data", ctypes.c_void_p),
    )


class Lv2Feature(ctypes.Structure):
    _fields_ = (("uri", ctypes.c_char_p), ("data", ctypes.c_void_p))


MAP = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_char_p)


class Lv2Map(ctypes.Structure):
    _fields_ = (("handle", ctypes.c_void_p), ("map", MAP))


class Lv2KeysHost:
    """Plays an LV2 instrument: numbers its URIs, and hands it keys as a sequence of atoms."""

    def __init__(self, bundle: Path, description: Description):
        library = ctypes.CDLL(str(next(bundle.glob("*.so"))))
        library.lv2_descriptor.restype = ctypes.POINTER(Lv2Descriptor)
        self.pointer, self.description = library.lv2_descriptor(0), description
        self.numbers: dict[bytes, int] = {}
        self.map = Lv2Map(None, MAP(lambda _, uri: self.numbers.setdefault(uri, len(self.numbers) + 1)))

    def play(self, sample_rate: int, length: int, keys: Iterable[tuple[int, int, float]], block: int) -> Audio:
        plugin, knobs = self.pointer.contents, self.description.knobs
        feature = Lv2Feature(
            b"http://lv2plug.in/ns/ext/urid#map", ctypes.cast(ctypes.pointer(self.map), ctypes.c_void_p)
        )
        features = (ctypes.c_void_p * 2)(ctypes.addressof(feature), None)
        descriptor = ctypes.cast(self.pointer, ctypes.c_void_p)
        assert not plugin.instantiate(descriptor, sample_rate, b"", None), "it needs urid:map"
        handle = plugin.instantiate(descriptor, sample_rate, b"", ctypes.addressof(features))
        y, keys = np.empty((self.description.channels, length), np.float32), list(keys)
        controls = [ctypes.c_float(knob.value) for knob in knobs] + [ctypes.c_float()]
        for port, value in enumerate(controls, len(y)):
            plugin.connect_port(handle, port, ctypes.addressof(value))
        plugin.activate(handle)
        for first in range(0, length, block):
            frames = min(block, length - first)
            sequence = self._sequence([key for key in keys if first <= key[0] < first + frames], first)
            plugin.connect_port(handle, len(y) + len(controls), ctypes.addressof(sequence))
            for port, pointer in enumerate(at(y, first)):
                plugin.connect_port(handle, port, ctypes.cast(pointer, ctypes.c_void_p))
            plugin.run(handle, frames)
        plugin.cleanup(handle)
        return y

    def _sequence(self, keys: Sequence[tuple[int, int, float]], first: int) -> ctypes.Array:
        midi = self.numbers[b"http://lv2plug.in/ns/ext/midi#MidiEvent"]
        events = b""
        for sample, pitch, velocity in keys:
            message = bytes([0x90 if velocity else 0x80, pitch, round(127 * velocity)])
            events += struct.pack("<qII", sample - first, len(message), midi) + message + bytes(5)
        return ctypes.create_string_buffer(struct.pack("<IIII", 8 + len(events), 0, 0, 0) + events)


def build_clap_host(dpf: Path, output: Path, compiler: Sequence[str] = ("cc",)) -> Path:
    source = Path(__file__).with_name("clap_host.c")
    libraries = [] if output.suffix == ".exe" else ["-ldl"]
    command = [*compiler, "-O1", f"-I{dpf / 'distrho' / 'src'}", str(source), "-o", str(output), *libraries]
    subprocess.run(command, check=True)
    return output


def play_clap(
    host: Sequence[str],
    plugin: Path,
    sample_rate: int,
    x: Audio,
    values: Mapping[int, float],
    folder: Path,
    keys: Iterable[tuple[int, int, float]] = (),
) -> Audio:
    """By clap_host.c; of an instrument, which (sample, pitch, velocity) are pressed, x is silence of its length."""
    (folder / "in.raw").write_bytes(np.ascontiguousarray(x.T).tobytes())
    events = [f"{index}={value!r}" for index, value in values.items()]
    events += [f"{sample}:{pitch}:{velocity!r}" for sample, pitch, velocity in keys]
    files = [str(folder / "in.raw"), str(folder / "out.raw")]
    subprocess.run([*host, str(plugin), str(sample_rate), str(len(x)), *files, *events], check=True)
    return np.frombuffer((folder / "out.raw").read_bytes(), np.float32).reshape(-1, len(x)).T
