"""VST3 and CLAP, by DPF, which is found on the user's system."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

from diffapf.export.description import Description, NotExportableError
from diffapf.export.files import WRAPPERS, write_sources
from diffapf.export.formats.job import Format, Job

EXTENSIONS = {"linux": ".so", "windows": ".vst3", "macos": ""}  # of the binary in a VST3
MAIN = Path("distrho") / "DistrhoPluginMain.cpp"


def find_dpf(named: Path | None = None) -> Path:
    """DPF's folder: the one named, else $DPF_PATH, else the system's.

    Raises:
        NotExportableError: there is none; the message says how to get it.
    """
    said = [("--dpf", named), ("DPF_PATH", Path(path) if (path := os.environ.get("DPF_PATH")) else None)]
    for what, folder in said:
        if folder is not None:
            if not (folder / MAIN).is_file():
                raise NotExportableError(f"{what} names {folder}, which has no {MAIN.as_posix()}")
            return folder.absolute()
    prefixes = (Path(sys.prefix), Path("/usr"), Path("/usr/local"))
    found = next((prefix / "share" / "dpf" for prefix in prefixes if (prefix / "share" / "dpf" / MAIN).is_file()), None)
    if found is None:
        raise NotExportableError(
            "VST3 and CLAP are built with DPF, which was not found: install Debian's package dpf-source, or clone "
            "DISTRHO/DPF from GitHub and name the folder by --dpf or DPF_PATH"
        )
    return found


def make_vst3(job: Job) -> list[Path]:
    """A bundle, and beside it the preset of the model's values."""
    name, target = job.description.symbol, job.target
    bundle = job.result / f"{name}.vst3"
    _compile(job, "VST3", bundle / "Contents" / target.vst3 / f"{name}{EXTENSIONS[target.system]}")
    if target.system == "macos":
        _describe_bundle(job.description, bundle)
    preset = job.result / f"{name}.vstpreset"
    preset.write_bytes(vst_preset(job.description, target.system == "windows"))
    return [bundle, preset]


def make_clap(job: Job) -> list[Path]:
    """One file, or on a Mac a bundle."""
    name = job.description.symbol
    plugin = job.result / f"{name}.clap"
    if job.target.system == "macos":
        _compile(job, "CLAP", plugin / "Contents" / "MacOS" / name)
        _describe_bundle(job.description, plugin)
    else:
        _compile(job, "CLAP", plugin)
    return [plugin]


def _compile(job: Job, kind: str, binary: Path) -> None:
    assert job.dpf is not None
    kernel = write_sources(job.description, job.work)
    plugin = job.work / "plugin.cpp"
    plugin.write_text(
        f'#define DISTRHO_PLUGIN_TARGET_{kind}\n#include "dpf.cpp"\n#include "{MAIN.name}"\n', encoding="utf-8"
    )
    runtime = [WRAPPERS / "runtime.cpp"] if job.target.triples else []
    job.library([kernel, plugin, *runtime], binary, WRAPPERS, job.dpf / "distrho")


def _describe_bundle(description: Description, bundle: Path) -> None:
    """What a Mac wants to know of a bundle."""
    entries = {
        "CFBundleDevelopmentRegion": "English",
        "CFBundleExecutable": description.symbol,
        "CFBundleIdentifier": f"diffapf.{description.symbol.replace('_', '-')}",
        "CFBundleInfoDictionaryVersion": "6.0",
        "CFBundleName": description.name,
        "CFBundlePackageType": "BNDL",
        "CFBundleSignature": "????",
        "CFBundleShortVersionString": "1.0.0",
        "CFBundleVersion": "1.0.0",
    }
    lines = "\n".join(f"  <key>{key}</key>\n  <string>{value}</string>" for key, value in entries.items())
    (bundle / "Contents" / "Info.plist").write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0">\n<dict>\n{lines}\n</dict>\n</plist>\n',
        encoding="utf-8",
    )
    (bundle / "Contents" / "PkgInfo").write_text("BNDL????", encoding="utf-8")


# ------------------------------------------------------------------------------------------------------------ presets

PRESET_HEADER = 48


def class_id(description: Description, windows: bool) -> str:
    """DPF's: "DPF ", "clas" and the plugin's number, 16 bytes in hexadecimal; Windows prints the first eight its way."""
    data = struct.pack("<IIII", _four_letters("DPF "), _four_letters("clas"), description.identity, 0)
    if windows:
        first, second, third = struct.unpack("<IHH", data[:8])
        data = struct.pack(">IHH", first, second, third) + data[8:]
    return data.hex().upper()


def _four_letters(text: str) -> int:
    return int.from_bytes(text.encode("ascii"), "big")


def vst_preset(description: Description, windows: bool = False) -> bytes:
    """A .vstpreset with the model's values, which hosts that snap parameters to steps restore exactly."""
    fields = ["__dpf_parameters_begin__"]
    for knob in description.knobs:
        fields += [knob.symbol, f"{knob.value:.9g}"]
    state = "".join(f"{part}\0" for part in [*fields, "__dpf_parameters_end__"]).encode() + b"\xfe"
    end = PRESET_HEADER + len(state)
    parts = struct.pack("<4si", b"List", 2)
    parts += struct.pack("<4sqq", b"Comp", PRESET_HEADER, len(state)) + struct.pack("<4sqq", b"Cont", end, 0)
    return struct.pack("<4si32sq", b"VST3", 1, class_id(description, windows).encode(), end) + state + parts


VST3 = Format("vst3", make_vst3)
CLAP = Format("clap", make_clap)
