"""A web page that plays the model: one file, which opens without a network; the kernel in it is WebAssembly."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from diffapf.export.compilers import WASM, build
from diffapf.export.description import Description
from diffapf.export.files import WRAPPERS, write_sources
from diffapf.export.formats.job import Format, Job

FLAGS = ("-mexec-model=reactor",)
PATTERN = ((33, 1.0), (33, 0.6), (45, 0.9, True), (36, 0.7), (33, 0.8), (40, 0.6, True), (43, 1.0), (45, 0.6))


def make(job: Job) -> list[Path]:
    page = job.result / f"{job.description.symbol}.html"
    page.write_text(render(job.description, compiled(job)), encoding="utf-8")
    return [page]


def compiled(job: Job) -> bytes:
    """The module: no imports, one kernel."""
    module = job.work / f"{job.description.symbol}.wasm"
    build([write_sources(job.description, job.work), WRAPPERS / "wasm.c"], module, (WASM,), [job.work], FLAGS)
    return module.read_bytes()


def render(description: Description, module: bytes) -> str:
    environment = Environment(
        loader=FileSystemLoader(WRAPPERS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    model = {
        "name": description.name,
        "knobs": [vars(knob) for knob in description.knobs],
        "inputs": description.inputs,
        "outputs": description.channels,
        "instrument": description.instrument,
        "pattern": [dict(zip(("pitch", "velocity", "slide"), step, strict=False)) for step in PATTERN],
        "wasm": base64.b64encode(module).decode("ascii"),
    }
    parts = {name: (WRAPPERS / file).read_text(encoding="utf-8") for name, file in PARTS.items()}
    data = json.dumps(model).replace("</", "<\\/")
    return environment.get_template("page.html").render(model=model, data=data, **parts)


PARTS = {"style": "page.css", "worklet": "worklet.js", "script": "page.js"}


WASM_PAGE = Format("wasm", make, everywhere=True)
