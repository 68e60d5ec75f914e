"""LV2: a bundle of a shared library and what describes it, in Turtle."""

from __future__ import annotations

from pathlib import Path

from diffapf.export.description import Description, Knob
from diffapf.export.files import WRAPPERS, write_sources
from diffapf.export.formats.job import Format, Job

PREFIXES = """\
@prefix atom: <http://lv2plug.in/ns/ext/atom#> .
@prefix doap: <http://usefulinc.com/ns/doap#> .
@prefix lv2: <http://lv2plug.in/ns/lv2core#> .
@prefix midi: <http://lv2plug.in/ns/ext/midi#> .
@prefix pprops: <http://lv2plug.in/ns/ext/port-props#> .
@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix units: <http://lv2plug.in/ns/extensions/units#> .
@prefix urid: <http://lv2plug.in/ns/ext/urid#> .
"""
UNITS = {"Hz": "units:hz", "dB": "units:db", "ms": "units:ms", "octaves": "units:oct"}
CHANNELS = {1: ("",), 2: (" left", " right")}


def make(job: Job) -> list[Path]:
    description = job.description
    bundle = job.result / f"{description.symbol}.lv2"
    bundle.mkdir()
    binary = bundle / f"{description.symbol}{job.target.extension}"
    job.library([write_sources(description, job.work), WRAPPERS / "lv2.c"], binary)
    (bundle / "manifest.ttl").write_text(manifest(description, binary.name), encoding="utf-8")
    (bundle / f"{description.symbol}.ttl").write_text(plugin(description), encoding="utf-8")
    return [bundle]


def uri(description: Description) -> str:
    return f"urn:diffapf:{description.symbol}"


def manifest(description: Description, binary: str) -> str:
    return f"""{PREFIXES}
<{uri(description)}>
    a lv2:Plugin ;
    lv2:binary <{binary}> ;
    rdfs:seeAlso <{description.symbol}.ttl> .
"""


def plugin(description: Description) -> str:
    """The plugin's ports, in the order of wrappers/ports.h."""
    ports = [_audio("Input", "in", i, description.inputs) for i in range(description.inputs)]
    ports += [_audio("Output", "out", i, description.channels) for i in range(description.channels)]
    ports += map(_control, description.knobs)
    ports.append(
        'a lv2:OutputPort , lv2:ControlPort ; lv2:symbol "latency" ; lv2:name "Latency" ; lv2:designation lv2:latency ; '
        "lv2:portProperty lv2:reportsLatency , lv2:integer ; lv2:minimum 0 ; lv2:maximum 1000000"
    )
    if description.instrument:
        ports.append(
            "a lv2:InputPort , atom:AtomPort ; atom:bufferType atom:Sequence ; atom:supports midi:MidiEvent ; "
            'lv2:symbol "keys" ; lv2:name "Keys" ; lv2:designation lv2:control'
        )
    needed = "    lv2:requiredFeature urid:map ;\n" if description.instrument else ""
    listed = " ,\n".join(f"        [ {port} ; lv2:index {i} ]" for i, port in enumerate(ports))
    return f"""{PREFIXES}
<{uri(description)}>
    a lv2:Plugin , lv2:{"InstrumentPlugin" if description.instrument else "FilterPlugin"} ;
    doap:name "{description.name}" ;
    doap:license <http://opensource.org/licenses/mit> ;
    lv2:minorVersion 1 ;
    lv2:microVersion 0 ;
    lv2:optionalFeature lv2:hardRTCapable ;
{needed}    lv2:port
{listed} .
"""


def _audio(name: str, symbol: str, channel: int, channels: int) -> str:
    direction = f"lv2:{name}Port"
    return (
        f'a {direction} , lv2:AudioPort ; lv2:symbol "{symbol}_{channel + 1}" ; '
        f'lv2:name "{name}{CHANNELS[channels][channel]}"'
    )


def _control(knob: Knob) -> str:
    port = (
        f'a lv2:InputPort , lv2:ControlPort ; lv2:symbol "{knob.symbol}" ; lv2:name "{knob.name}" ; '
        f"lv2:default {_decimal(knob.value)} ; lv2:minimum {_decimal(knob.minimum)} ; lv2:maximum {_decimal(knob.maximum)}"
    )
    if knob.unit in UNITS:
        port += f" ; units:unit {UNITS[knob.unit]}"
    return port + (" ; lv2:portProperty pprops:logarithmic" if knob.logarithmic else "")


def _decimal(value: float) -> str:
    """A decimal with a point, and no exponent, which not every reader takes."""
    return f"{value:.17f}".rstrip("0") + "0"


LV2 = Format("lv2", make)
