"""Exporting: what is laid out where, for which system, and what a user is told who asks for what there is not."""

from __future__ import annotations

import importlib.util
import os
import plistlib
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diffapf import PingPongDelay
from diffapf.cli import main
from diffapf.export import NotExportableError, compilers, describe, export
from diffapf.export.compilers import CompilerError, program, targets, universal
from diffapf.export.description import Description, Knob
from diffapf.export.formats import dpf
from tests.export.hosts import KernelHost, build_clap_host, play_clap
from tests.export.models import KINDS, PARITY_DB, PHASERS, RATE, error_db, phaser, played, sound

needs_zig = pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="ziglang is not installed")


@pytest.fixture
def preset(tmp_path):
    KINDS["phaser"]().save(tmp_path / "model.yaml")
    return tmp_path / "model.yaml"


def test_the_command_exports_and_says_what_it_made(preset, tmp_path, capsys):
    out = tmp_path / "plugins"
    assert (
        main(["export", str(preset), "--format", "c", "--format", "ladspa", "-o", str(out), "--name", "My pedal"]) == 0
    )
    made = capsys.readouterr().out.split()
    assert made == [str(out / "my_pedal"), str(out / "my_pedal.so")]
    assert sorted(path.name for path in out.iterdir()) == ["my_pedal", "my_pedal.so"]


def test_the_c_source_is_a_program_that_equals_the_model(preset, tmp_path):
    """As a user builds it, with a parameter set in place of the preset's."""
    options = ["--format", "c", "-o", str(tmp_path / "out"), "--set", "feedback=-0.25", "--channels", "1"]
    assert main(["export", str(preset), *options]) == 0
    folder = tmp_path / "out" / "diffapf_phaser"
    subprocess.run(f"cc -O2 -std=c99 -o {tmp_path}/play {folder}/*.c -lm", shell=True, check=True)
    x = sound(1)
    done = subprocess.run([tmp_path / "play", str(RATE)], input=x.tobytes(), capture_output=True, check=True)
    model = KINDS["phaser"]()
    model.set_parameters({"feedback": -0.25})
    assert error_db(np.frombuffer(done.stdout, np.float32)[None], played(model, x)) < PARITY_DB


@pytest.mark.parametrize("make", [*KINDS.values(), PHASERS["paper core"]], ids=[*KINDS, "paper"])
def test_a_model_in_single_precision_is_exported_as_it_is(make, tmp_path):
    """Its numbers are those that training left, in float32."""
    model = make().float()
    x = sound()
    y = KernelHost(describe(model), tmp_path).play(RATE, x)
    assert error_db(y, played(model.double(), x)) < PARITY_DB


# ---------------------------------------------------------------------------------------------------------- refusals


def refused(capsys, *arguments: object) -> str:
    assert main(["export", *map(str, arguments)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    return said[-1]


def test_what_cannot_be_exported_is_said_in_a_sentence(preset, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    PingPongDelay(44_100).save(tmp_path / "delay.yaml")
    assert "PingPongDelay cannot be exported; what can: " in refused(
        capsys, tmp_path / "delay.yaml", "--format", "c", "-o", out
    )
    assert "there is no preset" in refused(capsys, tmp_path / "nothing", "--format", "c", "-o", out)
    assert "needs a folder" in refused(capsys, preset, "--format", "c", "-o", preset)
    assert "has no parameter ['speed']" in refused(capsys, preset, "--format", "c", "-o", out, "--set", "speed=1")
    assert "without quotes" in refused(capsys, preset, "--format", "c", "-o", out, "--name", 'a "name"')
    assert "--dpf names" in refused(capsys, preset, "--format", "vst3", "-o", out, "--dpf", tmp_path)
    monkeypatch.setenv("DPF_PATH", str(tmp_path))
    assert "DPF_PATH names" in refused(capsys, preset, "--format", "clap", "-o", out)
    monkeypatch.delenv("DPF_PATH")
    monkeypatch.setattr(dpf, "MAIN", dpf.Path("nowhere"))
    assert "Debian's package dpf-source, or clone DISTRHO/DPF" in refused(capsys, preset, "--format", "vst3", "-o", out)
    assert not out.exists()


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(preset, tmp_path, capsys):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "cannot be written to" in refused(capsys, preset, "--format", "c", "-o", tmp_path / "locked" / "out")


def test_without_a_compiler_it_says_where_one_comes_from(preset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compilers.shutil, "which", lambda name: None)
    monkeypatch.setattr(compilers.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("CC", raising=False)
    assert "pip install 'diffapf[export]'" in refused(capsys, preset, "--format", "lv2", "-o", tmp_path / "out")
    assert "diffapf[export]" in refused(capsys, preset, "--format", "wasm", "-o", tmp_path / "out")
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "no-such-compiler cannot be run" in refused(capsys, preset, "--format", "lv2", "-o", tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())


def test_what_fails_leaves_what_was_there_before(tmp_path, monkeypatch):
    (before,) = export(describe(KINDS["phaser"]()), tmp_path, ["lv2"])
    content = {path: path.read_bytes() for path in before.iterdir()}
    monkeypatch.setenv("CC", "false")
    with pytest.raises(CompilerError, match="false failed"):
        export(describe(KINDS["phaser"]()), tmp_path, ["lv2"])
    assert {path: path.read_bytes() for path in before.iterdir()} == content
    assert list(tmp_path.iterdir()) == [before]


def test_a_configuration_without_a_kernel_is_refused():
    with pytest.raises(NotExportableError, match="align_corners"):
        describe(phaser(align_corners=True))
    with pytest.raises(NotExportableError, match="1 or 2 channels"):
        describe(KINDS["phaser"](), channels=3)
    knob = Knob("a_b", "A b", "", 0.0, 1.0, 0.5)
    with pytest.raises(NotExportableError, match="called a_b in C"):
        Description("phaser", (knob, knob), {})


def test_a_loop_delay_is_told(preset):
    (said,) = describe(PHASERS["all, loop delay"]()).remarks
    assert "sounds as fitted at 44100 Hz" in said


# ----------------------------------------------------------------------------------------------------------- systems


def test_targets_are_named_for_their_machines():
    assert [target.name for target in targets("all")] == ["linux-x86_64", "linux-aarch64", "windows-x86_64", "macos"]
    assert [target.name for target in targets("native")] == ["native"]


def test_a_universal_binary_holds_its_slices_where_it_says():
    slices = [
        struct.pack("<III", 0xFEEDFACF, cpu, 3) + bytes([cpu % 251]) * size for cpu, size in ((7, 100), (12, 20_000))
    ]
    joined = universal(slices)
    magic, count = struct.unpack(">II", joined[:8])
    assert (magic, count) == (0xCAFEBABE, 2)
    for i, part in enumerate(slices):
        cpu, _, offset, size, alignment = struct.unpack(">IIIII", joined[8 + 20 * i : 28 + 20 * i])
        assert cpu == struct.unpack("<I", part[4:8])[0] and offset % 2**alignment == 0
        assert joined[offset : offset + size] == part


def test_a_preset_names_the_class_as_windows_prints_it():
    description = describe(KINDS["phaser"]())
    here, there = dpf.class_id(description, windows=False), dpf.class_id(description, windows=True)
    assert here.startswith("2046504473616C63") and there.startswith("44504620")
    assert here[16:] == there[16:] and len(here) == 32


def test_a_bundle_tells_a_mac_what_it_is(tmp_path):
    (tmp_path / "Contents").mkdir()
    dpf._describe_bundle(describe(KINDS["phaser"]()), tmp_path)
    known = plistlib.loads((tmp_path / "Contents" / "Info.plist").read_bytes())
    assert known["CFBundleExecutable"] == "diffapf_phaser" and known["CFBundlePackageType"] == "BNDL"


@needs_zig
@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed")
def test_on_another_processor_it_equals_the_model(tmp_path):
    """A program for 64-bit ARM, emulated."""
    model, x = KINDS["phaser"](), sound()
    (folder,) = export(describe(model), tmp_path, ["c"])
    program(sorted(folder.glob("*.c")), tmp_path / "play", "aarch64-linux-musl", [folder], ["-static"])
    done = subprocess.run(
        ["qemu-aarch64", tmp_path / "play", str(RATE)], input=x.T.tobytes(), capture_output=True, check=True
    )
    assert error_db(np.frombuffer(done.stdout, np.float32).reshape(-1, 2).T, played(model, x)) < PARITY_DB


@needs_zig
def test_for_linux_it_needs_no_new_system(tmp_path):
    """LADSPA for both processors, from one machine."""
    made = export(describe(KINDS["phaser"]()), tmp_path, ["ladspa"], "linux")
    assert [path.parent.name for path in made] == ["linux-x86_64", "linux-aarch64"]
    machines = [struct.unpack("<H", path.read_bytes()[18:20])[0] for path in made]
    assert machines == [62, 183]  # the ELF numbers of x86-64 and AArch64
    newest = max(tuple(map(int, version.split(b"."))) for version in _glibc_versions(made[0].read_bytes()))
    assert newest <= (2, 17)


def _glibc_versions(binary: bytes) -> list[bytes]:
    return [part.split(b"\0")[0] for part in binary.split(b"GLIBC_")[1:]]


@needs_zig
@pytest.mark.skipif("DIFFAPF_SLOW_TESTS" not in os.environ, reason="takes minutes the first time: DIFFAPF_SLOW_TESTS=1")
def test_a_host_survives_what_zig_built(tmp_path):
    """Plays it, unloads it, and ends well: a library's end must come before it is gone."""
    pytest.importorskip("pedalboard", reason="pedalboard is not installed")
    model, x = KINDS["phaser"](), sound()
    made = export(describe(model), tmp_path, ["vst3"], "linux")
    bundle = next(path for path in made if path.parent.name == "linux-x86_64" and path.suffix == ".vst3")
    np.save(tmp_path / "in.npy", x)
    host = (
        "import sys, numpy, pedalboard; bundle, folder = sys.argv[1:]; x = numpy.load(folder + '/in.npy');"
        f"numpy.save(folder + '/out.npy', pedalboard.load_plugin(bundle)(x, {RATE}))"
    )
    subprocess.run([sys.executable, "-c", host, bundle, tmp_path], check=True)
    assert error_db(np.load(tmp_path / "out.npy"), played(model, x)) < PARITY_DB


WINE = next((path for path in (shutil.which("wine64"), "/usr/lib/wine/wine64") if path and Path(path).exists()), None)


@needs_zig
@pytest.mark.skipif(WINE is None, reason="wine64 is not installed")
def test_on_windows_it_equals_the_model(tmp_path, monkeypatch):
    """The CLAP of Windows in our host, both built here and run by wine."""
    monkeypatch.setenv("WINEPREFIX", str(tmp_path / "wine"))
    monkeypatch.setenv("WINEDEBUG", "-all")
    model, x = KINDS["phaser"](), sound()
    (plugin,) = export(describe(model), tmp_path, ["clap"], "windows")
    zig = (sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-windows-gnu")
    host = build_clap_host(dpf.find_dpf(), tmp_path / "clap_host.exe", zig)
    y = play_clap([WINE, str(host)], plugin, RATE, x, {}, tmp_path)
    assert error_db(y, played(model, x)) < PARITY_DB
