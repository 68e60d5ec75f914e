"""Compilers for this machine and others: the system's own, and Zig's, which pip installs and which builds for any system."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

FLAGS = ("-O2", "-DNDEBUG", "-fvisibility=hidden")
C_FLAGS = ("-std=c99",)
LANGUAGES = {".c": "c", ".cpp": "c++", ".o": "none"}
# Zig's C++ library takes minutes to build, for each system: C++ is compiled so that it needs but wrappers/runtime.cpp of it.
BARE_CPP_FLAGS = (
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-threadsafe-statics",
    "-D_LIBCPP_VERBOSE_ABORT(...)=__builtin_abort()",
)


class CompilerError(ValueError):
    """There is no compiler, or it failed: the message says what to do."""


@dataclass(frozen=True)
class Target:
    """A system that plugins are built for.

    Args:
        name: also the folder's, where there are several.
        system: "linux", "windows" or "macos".
        triples: Zig's names of its machines, whose binaries become one file; none: the system's compiler, for this machine.
        vst3: the folder in a VST3 bundle.
    """

    name: str
    system: str
    triples: tuple[str, ...]
    vst3: str

    @property
    def extension(self) -> str:
        """Of a shared library."""
        return {"linux": ".so", "windows": ".dll", "macos": ".dylib"}[self.system]


LINUX = (
    Target("linux-x86_64", "linux", ("x86_64-linux-gnu.2.17",), "x86_64-linux"),
    Target("linux-aarch64", "linux", ("aarch64-linux-gnu.2.17",), "aarch64-linux"),
)
WINDOWS = (Target("windows-x86_64", "windows", ("x86_64-windows-gnu",), "x86_64-win"),)
MACOS = (Target("macos", "macos", ("aarch64-macos.11.0", "x86_64-macos.10.15"), "MacOS"),)
WASM = "wasm32-wasi"
NATIVE = "native"
SYSTEMS = {"linux": LINUX, "windows": WINDOWS, "macos": MACOS, "all": (*LINUX, *WINDOWS, *MACOS)}
TARGETS = (NATIVE, *SYSTEMS)


def targets(name: str) -> tuple[Target, ...]:
    """What `--target` names."""
    if name != NATIVE:
        return SYSTEMS[name]
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    system = {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")
    vst3 = {"linux": f"{machine}-linux", "windows": f"{machine}-win", "macos": "MacOS"}[system]
    return (Target(NATIVE, system, (), vst3),)


def shared_library(sources: Sequence[Path], output: Path, target: Target, includes: Sequence[Path]) -> None:
    """Builds a shared library of C and C++ files for a target.

    Raises:
        CompilerError: no compiler was found, or it failed.
    """
    flags = ("-shared", *(() if target.system == "windows" else ("-fPIC",)))
    build(sources, output, target.triples, includes, flags)


def program(sources: Sequence[Path], output: Path, triple: str, includes: Sequence[Path], flags: Sequence[str]) -> None:
    """Builds a program, by Zig; flags: more of them."""
    build(sources, output, (triple,), includes, flags)


def build(
    sources: Sequence[Path], output: Path, triples: Sequence[str], includes: Sequence[Path], flags: Sequence[str]
) -> None:
    """Builds for each triple, or for this machine, and joins what comes of several."""
    if not triples:
        return _compile(_native(sources), sources, output, includes, flags)
    parts = [output.with_name(f"{output.name}.{triple}") for triple in triples]
    for triple, part in zip(triples, parts, strict=True):
        _compile_for(triple, sources, part, includes, flags)
    if len(parts) == 1:
        parts[0].replace(output)
    else:
        output.write_bytes(universal([part.read_bytes() for part in parts]))
        for part in parts:
            part.unlink()


def in_parallel(work: Sequence) -> list:
    """Calls functions on as many threads as there are processors; after an error, which is raised, nothing more is begun."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        begun = [pool.submit(function) for function in work]
        try:
            return [each.result() for each in begun]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _is_cpp(sources: Sequence[Path]) -> bool:
    return any(source.suffix == ".cpp" for source in sources)


def _compile_for(
    triple: str, sources: Sequence[Path], output: Path, includes: Sequence[Path], flags: Sequence[str]
) -> None:
    """C++ file by file, and linked as C: without the C++ library."""
    flags = ("-target", triple, *flags, "-s")
    if not _is_cpp(sources):
        return _compile(_zig("cc"), sources, output, includes, flags)
    objects = [output.with_name(f"{output.name}.{source.stem}.o") for source in sources]
    for source, made in zip(sources, objects, strict=True):
        compiler, more = (_zig("c++"), BARE_CPP_FLAGS) if _is_cpp([source]) else (_zig("cc"), ())
        _compile(compiler, [source], made, includes, (*flags, *more, "-c"))
    _compile(_zig("cc"), objects, output, includes, flags)
    for made in objects:
        made.unlink()


def _native(sources: Sequence[Path]) -> list[str]:
    variable, names = ("CXX", ("c++", "g++", "clang++")) if _is_cpp(sources) else ("CC", ("cc", "gcc", "clang"))
    named = os.environ.get(variable)
    if named:
        return named.split()
    found = next((name for name in names if shutil.which(name)), None)
    return [found] if found else _zig("c++" if _is_cpp(sources) else "cc")


def _zig(command: str) -> list[str]:
    if importlib.util.find_spec("ziglang") is None:
        raise CompilerError(
            "there is no compiler: pip install 'diffapf[export]' brings one for every system, Zig's; for this machine alone "
            "gcc or clang will do"
        )
    return [sys.executable, "-m", "ziglang", command]


def _compile(
    compiler: Sequence[str], sources: Sequence[Path], output: Path, includes: Sequence[Path], flags: Sequence[str]
) -> None:
    files: list[str] = []
    for source in sources:
        files += ["-x", LANGUAGES[source.suffix], str(source)]
    standard = () if _is_cpp(sources) else C_FLAGS
    where = [f"-I{include}" for include in includes]
    libraries = ["-x", "none", "-lm"]
    command = [*compiler, *FLAGS, *standard, *flags, *where, *files, *libraries, "-o", str(output)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=output.parent)
    except OSError as error:
        raise CompilerError(f"the compiler {compiler[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        lines = (
            [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["no reason"]
        )
        raise CompilerError(f"{' '.join(compiler)} failed: {lines[0]}")


# -------------------------------------------------------------------------------------------------------- universal Mach-O

FAT_MAGIC, SLICE_ALIGNMENT = 0xCAFEBABE, 14  # 2 to that


def universal(slices: Sequence[bytes]) -> bytes:
    """One file of Mach-O files for several processors: a header of big-endian numbers, then the files."""
    size = 1 << SLICE_ALIGNMENT
    header, body, offset = struct.pack(">II", FAT_MAGIC, len(slices)), b"", size
    for part in slices:
        processor, subtype = struct.unpack("<II", part[4:12])
        header += struct.pack(">IIIII", processor, subtype, offset, len(part), SLICE_ALIGNMENT)
        padded = part + bytes(-len(part) % size)
        body, offset = body + padded, offset + len(padded)
    return header + bytes(size - len(header)) + body
