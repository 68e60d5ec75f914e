"""The command `diffapf`: check recordings, fit a model to them, play what was fitted, make plugins of it."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from diffapf import audio
from diffapf.capture import capture_signal
from diffapf.checks import check_pair
from diffapf.citations import bibtex, citations
from diffapf.export import describe, export
from diffapf.export.compilers import NATIVE, TARGETS
from diffapf.export.exporting import FORMATS
from diffapf.identification.compressor_fit import NotACompressorError
from diffapf.identification.delay_fit import TIMES_MS, NoDelayError
from diffapf.identification.phaser_fit import NotIdentifiedError
from diffapf.identification.plate_fit import MODES
from diffapf.identification.trained_extractor import load_start
from diffapf.identification.voice_fit import STEPS as VOICE_STEPS
from diffapf.memory import keep_freed_memory
from diffapf.midi import read_midi
from diffapf.pair_files import PairFiles, find_pairs
from diffapf.processing import load_model, process_recording
from diffapf.report.checks import summary as check_summary
from diffapf.report.checks import write_check_page
from diffapf.report.note_recordings import fit_notes, read_notes
from diffapf.report.plate_fit import fit_response
from diffapf.report.presets import analyse_presets
from diffapf.report.recordings import KINDS, fit_recordings
from diffapf.report.takes import LIST as TAKES
from diffapf.report.takes import fit_takes
from diffapf.report.voice_fit import fit_recording
from diffapf.synths.patch import AcidPatch
from diffapf.synths.player import Player
from diffapf.synths.vocoder import VOCODERS
from diffapf.synths.voice_patch import VoicePatch

WRONG_INPUT, INTERRUPTED = 2, 130
TITLES = {
    "phaser": "Phaser",
    "compressor": "Compressor",
    "equalizer": "Equaliser",
    "delay": "Ping-pong delay",
    "la2a": "Levelling amplifier",
}


def command() -> None:
    """What the shell calls. It leaves at once: what PyTorch's libraries do when they are left takes a second and 120 MB."""
    keep_freed_memory()
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(arguments)
    options.command = shlex.join(["diffapf", *arguments])
    try:
        return options.run(options)
    except (ValueError, TypeError, OSError) as error:
        print(f"diffapf: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("diffapf: interrupted before there was anything to keep", file=sys.stderr)
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="diffapf", description="Differentiable audio effects: models from recordings.")
    commands = root.add_subparsers(title="commands", required=True)
    fit = commands.add_parser("fit", help="fit a model to a dry and a wet recording")
    effects = fit.add_subparsers(title="effects", required=True)
    phaser = _fitted(
        effects,
        "phaser",
        "a phaser with an LFO of its own",
        "Fits a phaser to what went into one and what came out: some seconds of music will do.",
    )
    phaser.add_argument(
        "--stages", type=int, action="append", help="number of all-passes; may be repeated (4, 6 and 8)"
    )
    phaser.add_argument("--loop-delay", type=int, choices=(0, 1), action="append", help="samples in the loop (0 and 1)")
    phaser.add_argument(
        "--core", choices=("cascade", "paper"), default="cascade", help="paper: the published order-6 filter (cascade)"
    )
    phaser.set_defaults(of_effect=("stages", "loop_delay", "core"))
    compressor = _fitted(
        effects,
        "compressor",
        "a compressor, or a levelling amplifier as one",
        "Fits a compressor, of the structure that fits best, to what went into one and what came out of it, mono or stereo.",
    )
    compressor.add_argument(
        "--knee",
        choices=("hard", "soft"),
        action="append",
        dest="knees",
        help="which knees to try; may be repeated (both)",
    )
    compressor.set_defaults(of_effect=("knees",))
    equalizer = _fitted(
        effects,
        "equalizer",
        "a parametric equaliser: two peaks, two shelves, a low-pass and a high-pass",
        "Fits six bands to what went into an equaliser and what came out of it, mono or stereo, in seconds.",
    )
    equalizer.set_defaults(of_effect=())
    delay = _fitted(
        effects,
        "delay",
        "a ping-pong delay, with a low-pass and pans",
        "Fits a ping-pong delay, of any fraction of a sample, to what went in, mono, and what came out, mono or stereo.",
    )
    delay.add_argument(
        "--times",
        type=_range_ms,
        dest="times_ms",
        metavar="FROM:TO",
        help=f"the range of the delay in ms ({TIMES_MS[0]:g}:{TIMES_MS[1]:g})",
    )
    delay.set_defaults(of_effect=("times_ms",))
    amplifier = _fitted(
        effects,
        "la2a",
        "a levelling amplifier with an optical cell, as a grey box",
        "Fits a levelling amplifier such as the LA-2A, photocell and output stage, to what went in and what came out.",
    )
    amplifier.set_defaults(of_effect=())
    _acid(effects)
    _voice(effects)
    _plate(effects)
    _check(commands)
    _process(commands)
    _presets(commands)
    _render(commands)
    _sing(commands)
    _export(commands)
    _info(commands)
    _cite(commands)
    return root


def _acid(effects: argparse._SubParsersAction) -> None:
    """The command that fits the acid synth."""
    command = effects.add_parser(
        "acid",
        help="patches of a subtractive synth such as the TB-303, to recorded notes",
        description="Fits a patch of the acid synth to each recorded note, to be played at any pitch: diffapf render.",
    )
    command.add_argument(
        "notes", type=Path, nargs="+", help="audio files of a note each, folders of them, or one file with --labels"
    )
    command.add_argument("-o", "--output", type=Path, required=True, help="a folder for presets, metrics and report")
    command.add_argument(
        "--labels", type=Path, help="of notes of equal length in one file: CSV of index,midi_pitch,note_on_samples"
    )
    command.add_argument(
        "--filter",
        choices=("lowpass", "ladder", "coefficients"),
        help="coefficients: free at every control frame; closest, but for the recorded phase alone (the model's; lowpass)",
    )
    command.add_argument("--knots", type=int, help="of the cutoff over the longest note (one in 21 ms)")
    command.add_argument("--steps", type=int, help="of the descent (400, or 40 with --model)")
    command.add_argument(
        "--model", type=Path, help="the folder of a run of train.py experiment=acid, to set out from what it hears"
    )
    command.set_defaults(run=_fit_acid)


def _plate(effects: argparse._SubParsersAction) -> None:
    """The command that fits a plate."""
    command = effects.add_parser(
        "plate",
        help="a modal plate reverb, to its recorded impulse response",
        description="Fits the modes of a plate to its impulse response, of a second at least: a reverb to play through.",
    )
    command.add_argument("response", type=Path, help="the impulse response: a mono audio file")
    command.add_argument("-o", "--output", type=Path, required=True, help="a folder for preset, response and report")
    command.add_argument("--modes", type=int, default=MODES, help=f"at most so many ({MODES})")
    command.set_defaults(run=_fit_plate)


def _voice(effects: argparse._SubParsersAction) -> None:
    """The command that fits a vocoder."""
    command = effects.add_parser(
        "voice",
        help="a vocoder, to a recorded voice",
        description="Fits a vocoder's source, noise and filter to every frame of a recorded voice: diffapf sing.",
    )
    command.add_argument("recording", type=Path, help="an audio file of one voice, dry")
    command.add_argument("-o", "--output", type=Path, required=True, help="a folder for preset, metrics and report")
    command.add_argument("--model", choices=tuple(VOCODERS), default="golf_ss", help="which vocoder (golf_ss)")
    command.add_argument(
        "--steps", type=int, default=VOICE_STEPS, help=f"of the descent, 0.1 s each of 8 s of voice ({VOICE_STEPS})"
    )
    command.set_defaults(run=_fit_voice)


def _sing(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "sing",
        help="a fitted voice, higher, breathier or with another throat",
        description="Sings a voice that `diffapf fit voice` fitted, or what --set makes of it.",
    )
    command.add_argument("model", type=Path, help="the folder that the fit wrote, or its model.yaml")
    command.add_argument("output", type=Path, help="the file to write: .wav (float32) or .flac")
    command.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="transpose, breathiness, formants",
    )
    command.add_argument("--seed", type=int, default=0, help="of the noise (0)")
    command.set_defaults(run=_resing)


def _presets(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "presets",
        help="what differs among fitted vocal chains",
        description="Principal components of fitted vocal chains, as plots, and as sounds of a dry voice.",
    )
    command.add_argument("presets", type=Path, help="a folder of presets, *.yaml, or with raw_params.npy, as published")
    command.add_argument("-o", "--output", type=Path, required=True, help="a folder for the mean preset and report")
    command.add_argument("--dry", type=Path, help="a dry voice, to be heard along the components")
    command.set_defaults(run=_analyse)


def _render(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "render", help="play a MIDI file with a patch", description="Plays a MIDI file with a patch, one voice."
    )
    command.add_argument(
        "model", type=Path, help="a patch: the folder that diffapf fit acid wrote, or a YAML file in it"
    )
    command.add_argument("midi", type=Path, help="a MIDI file; overlapping notes slide")
    command.add_argument("output", type=Path, help="a .wav or .flac file")
    command.add_argument("--sample-rate", type=int, help="in Hz (the patch's)")
    command.add_argument("--transpose", type=float, default=0.0, help="semitones up (0)")
    command.add_argument(
        "--free-running", action="store_true", help="let the oscillator run on through rests, as the instrument does"
    )
    command.set_defaults(run=_play)


def _check(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "check",
        help="what is wrong with a dry and a wet recording",
        description="Makes every check on a pair of recordings, or on a folder of pairs, before a model is made of them.",
    )
    command.add_argument("dry", type=Path, nargs="?", help="what went in: an audio file; or a folder of pairs")
    command.add_argument("wet", type=Path, nargs="?", help="what came out, recorded together with it")
    command.add_argument("-o", "--output", type=Path, help="a folder for a page with the alignment")
    command.add_argument(
        "--write-test-signal", type=Path, metavar="FILE", help="write a signal to record the effect with: .wav or .flac"
    )
    command.add_argument("--sample-rate", type=int, default=48_000, help="of the test signal, in Hz (48000)")
    command.set_defaults(run=_check_recordings)


def _process(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "process",
        help="play a recording through a model",
        description="Plays a recording of any length and sample rate through a model, in constant memory.",
    )
    command.add_argument("model", type=Path, help="a preset, or the folder that diffapf fit or train.py wrote")
    command.add_argument("input", type=Path, help="a mono or stereo audio file")
    command.add_argument("output", type=Path, help="a .wav file (32-bit float) or a .flac file (24 bits)")
    _settings(command)
    command.set_defaults(run=_play_through)


def _export(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "export",
        help="make a plugin, a web page or source code of a model",
        description="Exports a model, sample-exact, as a plugin for this system or others, a web page, C or Faust.",
    )
    command.add_argument("model", type=Path, help="a preset, or the folder that diffapf fit or train.py wrote")
    command.add_argument(
        "--format", choices=FORMATS, action="append", required=True, dest="formats", help="may be repeated"
    )
    command.add_argument("--target", choices=TARGETS, default=NATIVE, help=f"the system ({NATIVE}: this one)")
    command.add_argument("-o", "--output", type=Path, required=True, help="a folder for what is made")
    command.add_argument("--name", help="what the plugin is called (the kind of effect)")
    command.add_argument("--channels", type=int, choices=(1, 2), default=2, help="of an effect (2)")
    command.add_argument("--dpf", type=Path, metavar="FOLDER", help="where DPF is, for vst3 and clap ($DPF_PATH)")
    _settings(command)
    command.set_defaults(run=_make_plugins)


def _info(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "info", help="what a model is, and its parameters", description="Shows what a preset holds, in real units."
    )
    command.add_argument("model", type=Path, help="a preset, or the folder that diffapf fit or train.py wrote")
    command.set_defaults(run=_show)


def _cite(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "cite", help="what to cite for a model", description="Prints the papers behind a model's parts, as BibTeX."
    )
    command.add_argument("model", type=Path, help="a preset, or the folder that diffapf fit or train.py wrote")
    command.set_defaults(run=_show_citations)


def _settings(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        dest="settings",
        metavar="NAME=VALUE",
        help="a parameter's value in its unit, in place of the preset's; may be repeated (diffapf info lists them)",
    )


def _setting(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        if not (name and equals):
            raise ValueError
        return name.strip(), float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, as mix=0.5, got {text!r}") from None


def _fitted(effects: argparse._SubParsersAction, effect: str, summary: str, words: str) -> argparse.ArgumentParser:
    """The command that fits an effect, with what all of these take."""
    command = effects.add_parser(effect, help=summary, description=words)
    command.add_argument("dry", type=Path, help="what went in: an audio file; or a folder of pairs")
    command.add_argument("wet", type=Path, nargs="?", help="what came out, recorded together with it")
    command.add_argument("-o", "--output", type=Path, required=True, help="a folder for preset, metrics and report")
    command.add_argument(
        "--train", type=_span, help="the part to fit to, START:STOP in seconds (the first three quarters)"
    )
    command.add_argument("--test", type=_span, help="the part to test on, which nothing is fitted to (what follows)")
    command.add_argument("--restart", action="store_true", help="do not go on where an earlier run was stopped")
    command.set_defaults(run=_fit, effect=effect)
    return command


def _span(text: str) -> tuple[float, float]:
    return _two_numbers(text, "START:STOP in seconds, as 0:16")


def _range_ms(text: str) -> tuple[float, float]:
    return _two_numbers(text, "FROM:TO in milliseconds, as 100:1000")


def _two_numbers(text: str, what: str) -> tuple[float, float]:
    start, _, stop = text.partition(":")
    try:
        return float(start or 0.0), float(stop)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {what}, got {text!r}") from None


def _check_recordings(options: argparse.Namespace) -> int:
    if options.write_test_signal is not None:
        return _write_test_signal(options)
    if options.dry is None:
        raise ValueError("give a dry and a wet recording, a folder of pairs, or --write-test-signal FILE")
    pairs = _pairs(options)
    worst = 0
    for files in pairs:
        began = time.perf_counter()
        checked = check_pair(files.dry, files.wet)
        print("\n".join([*([f"{files.title}"] if len(pairs) > 1 else []), check_summary(checked)]))
        if options.output is not None:
            folder = options.output / files.wet.stem if len(pairs) > 1 else options.output
            title = f"Checked: {files.title}"
            print(f"report  {write_check_page(folder, checked, title, options.command, began)}")
        worst = worst if checked.pair is not None else WRONG_INPUT
    return worst


def _write_test_signal(options: argparse.Namespace) -> int:
    _check_positive(options.sample_rate, "--sample-rate", 8000)
    signal = capture_signal(options.sample_rate)
    audio.write(options.write_test_signal, signal, options.sample_rate)
    print(
        f"{options.write_test_signal}: {len(signal) / options.sample_rate:.0f} s. Play it through the effect, record what "
        f"comes out, then: diffapf check {options.write_test_signal} RECORDED"
    )
    return 0


def _pairs(options: argparse.Namespace) -> list[PairFiles]:
    """Those of a folder, or the two files."""
    if options.dry.is_dir():
        return find_pairs(options.dry)
    if options.wet is None:
        raise ValueError(f"{options.dry} is what went in; give what came out as well, or a folder of pairs")
    return [PairFiles(options.dry, options.wet)]


def _fit(options: argparse.Namespace) -> int:
    _check_folder(options.output)
    pairs = _pairs(options)
    if not options.dry.is_dir():
        return INTERRUPTED if _fit_pair(pairs[0], options.output, options) else 0
    found = fit_takes(
        pairs,
        options.output,
        lambda files, folder: _fit_pair(files, folder, options),
        title=f"{TITLES[options.effect]} fitted to {options.dry.name}",
        command=options.command,
        restart=options.restart,
        say=lambda sentence: print(sentence, flush=True),
    )
    print(f"report  {found.page}")
    return INTERRUPTED if found.interrupted else 0


def _fit_pair(files: PairFiles, folder: Path, options: argparse.Namespace) -> bool:
    """Whether Ctrl-C ended it."""
    checked = check_pair(files.dry, files.wet)
    pair = checked.usable() if KINDS[options.effect].late else checked.aligned()
    train, test = _parts(options, pair)
    of_effect = {name: given for name in options.of_effect if (given := getattr(options, name)) is not None}
    console = Console(stderr=True)
    with _bar(console) as bar:
        task = bar.add_task("reading", total=1.0)
        try:
            found = fit_recordings(
                pair,
                folder,
                train,
                test,
                title=f"{TITLES[options.effect]} fitted to {files.wet.name}",
                command=options.command,
                restart=options.restart,
                say=lambda sentence: console.print(sentence, markup=False),
                progress=lambda stage, done: bar.update(task, description=stage, completed=done),
                effect=options.effect,
                checked=checked,
                **of_effect,
            )
        except (NotIdentifiedError, NotACompressorError, NoDelayError) as error:
            raise ValueError(f"{files.wet} was not fitted: {error}") from None
    print(f"{found.summary}\nmodel   {folder / 'model.yaml'}\nreport  {found.page}")
    return found.fit.interrupted


def _fit_acid(options: argparse.Namespace) -> int:
    _check_folder(options.output)
    _check_positive(options.steps, "--steps", 1)
    _check_positive(options.knots, "--knots", 2)
    model = None if options.model is None else load_start(options.model)
    notes = read_notes(options.notes, options.labels)
    console = Console(stderr=True)
    for remark in notes.remarks:
        console.print(remark, markup=False)
    with _bar(console) as bar:
        task = bar.add_task("fitting", total=1.0)
        found = fit_notes(
            notes,
            options.output,
            title=f"Acid synth fitted to {', '.join(path.name for path in options.notes[:3])}",
            command=options.command,
            filter=options.filter,
            knots=options.knots,
            steps=options.steps,
            model=model,
            progress=lambda words, done: bar.update(task, description=words, completed=done),
        )
    print(f"{found.summary}\nmodel   {options.output / 'model.yaml'}\nreport  {found.page}")
    return INTERRUPTED if found.fit.interrupted else 0


def _fit_plate(options: argparse.Namespace) -> int:
    _check_folder(options.output)
    recording = audio.read(options.response)
    with _bar(Console(stderr=True)) as bar:
        task = bar.add_task("reading", total=1.0)
        found = fit_response(
            recording,
            options.output,
            title=f"Plate fitted to {options.response.name}",
            command=options.command,
            progress=lambda stage, done: bar.update(task, description=stage, completed=done),
            modes=options.modes,
        )
    print(f"{found.summary}\nmodel   {options.output / 'model.yaml'}\nreport  {found.page}")
    return 0


def _fit_voice(options: argparse.Namespace) -> int:
    _check_folder(options.output)
    _check_positive(options.steps, "--steps", 1)
    recording = audio.read(options.recording)
    with _bar(Console(stderr=True)) as bar:
        task = bar.add_task("hearing", total=options.steps)
        found = fit_recording(
            recording,
            options.output,
            title=f"{options.model} fitted to {options.recording.name}",
            command=options.command,
            model=options.model,
            steps=options.steps,
            progress=lambda step, loss: bar.update(task, description=f"MSS {loss:.3f}", completed=step),
        )
    print(f"{found.summary}\nmodel   {options.output / 'model.yaml'}\nreport  {found.page}")
    return INTERRUPTED if found.fit.interrupted else 0


def _resing(options: argparse.Namespace) -> int:
    patch = load_model(options.model)
    if not isinstance(patch, VoicePatch):
        raise ValueError(
            f"{options.model} is a preset of {type(patch).__name__}, no voice: diffapf fit voice makes one"
        )
    patch.set_parameters(dict(options.set))
    sound = patch(options.seed)
    subtype = "FLOAT" if options.output.suffix.lower() == ".wav" else "PCM_24"
    audio.write(options.output, sound[None], round(patch.sample_rate), subtype, clip=subtype != "FLOAT")
    print(f"{options.output}: {len(sound) / patch.sample_rate:.1f} s")
    return 0


def _analyse(options: argparse.Namespace) -> int:
    _check_folder(options.output)
    dry = None if options.dry is None else audio.read(options.dry)
    with _bar(Console(stderr=True)) as bar:
        task = bar.add_task("reading", total=1.0)
        found = analyse_presets(
            options.presets,
            options.output,
            title=f"Vocal chains of {options.presets.name}",
            command=options.command,
            dry=dry,
            progress=lambda stage, done: bar.update(task, description=stage, completed=done),
        )
        bar.update(task, description="done", completed=1.0)
    print(f"{found.summary}\nmodel   {options.output / 'model.yaml'}\nreport  {found.page}")
    return 0


def _play(options: argparse.Namespace) -> int:
    patch = load_model(options.model)
    if not isinstance(patch, AcidPatch):
        raise ValueError(f"{options.model} is a preset of {type(patch).__name__}, no patch: diffapf fit acid makes one")
    events = read_midi(options.midi, options.transpose)
    if options.sample_rate is not None:
        patch = patch.at_sample_rate(options.sample_rate)
    sound = Player(patch, events, options.free_running).render()
    peak = float(sound.abs().max())
    audio.write(options.output, sound / max(peak, 1.0), patch.sample_rate)
    turned_down = f", turned down by {20 * math.log10(peak):.1f} dB to fit full scale" if peak > 1 else ""
    notes = "1 note" if len(events) == 1 else f"{len(events)} notes"
    print(f"{notes}, {len(sound) / patch.sample_rate:.1f} s{turned_down}: {options.output}")
    return 0


def _play_through(options: argparse.Namespace) -> int:
    with _bar(Console(stderr=True)) as bar:
        task = bar.add_task(options.input.name, total=1.0)
        process_recording(
            options.model,
            options.input,
            options.output,
            dict(options.settings),
            progress=lambda done: bar.update(task, completed=done),
        )
    print(options.output)
    return 0


def _make_plugins(options: argparse.Namespace) -> int:
    model = load_model(options.model)
    model.set_parameters(dict(options.settings))
    description = describe(model, options.channels, options.name)
    console = Console(stderr=True)
    remarks = [*description.remarks]
    if options.target != NATIVE or "wasm" in options.formats:
        remarks.append(
            "The first build for a system compiles its library, which takes up to a minute; later ones take seconds."
        )
    for remark in remarks:
        console.print(remark, markup=False)
    with _bar(console) as bar:
        task = bar.add_task("building", total=1.0)
        made = export(
            description,
            options.output,
            options.formats,
            options.target,
            options.dpf,
            progress=lambda what, done: bar.update(task, description=what, completed=done),
        )
    print("\n".join(str(path) for path in made))
    return 0


def _show(options: argparse.Namespace) -> int:
    model = load_model(options.model)
    console = Console()
    console.print(f"{type(model).__name__}, {model.sample_rate:g} Hz", markup=False)
    for name, value in model.configuration().items():
        console.print(f"  {name}: {value}", markup=False, highlight=False)
    table = Table("parameter", "value", "unit", "from", "to", "taper")
    for spec in model.parameters_spec():
        limits = ("" if limit is None else f"{limit:g}" for limit in (spec.minimum, spec.maximum))
        table.add_row(spec.name, f"{spec.value:.6g}", spec.unit, *limits, spec.taper)
    console.print(table)
    return 0


def _show_citations(options: argparse.Namespace) -> int:
    keys = citations(load_model(options.model))
    print("\n\n".join(bibtex(key, version("diffapf")) for key in keys))
    return 0


def _check_positive(value: int | None, name: str, least: int) -> None:
    if value is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def _bar(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)


def _parts(options: argparse.Namespace, pair: audio.Pair) -> tuple[tuple[float, float], tuple[float, float]]:
    """(train, test) in seconds."""
    usual = audio.default_parts(pair.duration)
    train = options.train or (0.0, usual["validation"][1])
    test = options.test or ((train[1], pair.duration) if train[1] < pair.duration else usual["test"])
    for name, span in (("--train", train), ("--test", test)):
        audio.part_slice(span, pair.sample_rate, pair.wet.shape[-1], name)
    return pair.of_covered(*train), pair.of_covered(*test)


def _check_folder(folder: Path) -> None:
    """Before minutes of work: the folder can be written to, and nothing in it would be lost."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; --output needs a folder")
    ours = (folder / name for name in ("model.yaml", "stages", TAKES))
    if folder.is_dir() and any(folder.iterdir()) and not any(file.exists() for file in ours):
        raise ValueError(f"{folder} has other files in it; --output needs a new folder, or that of an earlier fit")
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not os.access(nearest, os.W_OK):
        raise ValueError(f"{nearest} cannot be written to")


if __name__ == "__main__":
    command()
