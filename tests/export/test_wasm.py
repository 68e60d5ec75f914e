"""The web page: its WebAssembly equals the Python model under wasmtime, and in headless Chromium."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from diffapf import audio
from diffapf.export import describe, export
from tests.export.models import KINDS, PARITY_DB, RATE, changed, error_db, played, sound, turned

if importlib.util.find_spec("ziglang") is None:
    pytest.skip("ziglang, which compiles to WebAssembly, is not installed", allow_module_level=True)

BLOCK = 128


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def page(request, tmp_path_factory):
    """(the model, its description, its page)"""
    model = request.param()
    description = describe(model)
    (page,) = export(description, tmp_path_factory.mktemp("page"), ["wasm"])
    return model, description, page


def module_of(page: Path) -> bytes:
    text = page.read_text(encoding="utf-8")
    data = re.search(r'<script id="model" type="application/json">(.*?)</script>', text, re.DOTALL)
    return base64.b64decode(json.loads(data[1])["wasm"])


def test_the_module_equals_the_model(page):
    """Without imports: the mathematics is inside."""
    wasmtime = pytest.importorskip("wasmtime", reason="wasmtime is not installed")
    model, description, path = page
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, module_of(path))
    assert not module.imports
    kernel = wasmtime.Instance(store, module, []).exports(store)
    kernel["_initialize"](store)
    assert kernel["start"](store, float(RATE))
    values, x = turned(description.knobs), sound(seconds=0.3)[:, : 100 * BLOCK]
    for index, value in enumerate(values.values()):
        kernel["turn"](store, index, value)
    memory, blocks = kernel["memory"], []
    for block in np.split(x, x.shape[1] // BLOCK, axis=1):
        for channel, samples in enumerate(block):
            memory.write(store, samples.tobytes(), kernel["input"](store, channel))
        kernel["process"](store, BLOCK)
        places = [kernel["output"](store, channel) for channel in range(2)]
        blocks.append([np.frombuffer(memory.read(store, place, place + 4 * BLOCK), np.float32) for place in places])
    with changed(model, description, values):
        assert error_db(np.concatenate(blocks, 1), played(model, x)) < PARITY_DB
    assert kernel["latency"](store) == model.latency


# ------------------------------------------------------------------------------------------------------ in a browser


@pytest.fixture
def opened(browser, page) -> Iterator:
    """The page in a tab, which must say nothing and ask for nothing."""
    tab, heard = browser.new_page(), []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("request", lambda request: heard.append(request.url) if not request.url.startswith("data:") else None)
    tab.goto(page[2].as_uri())
    yield tab
    assert heard == [page[2].as_uri()]
    tab.close()


RENDER = """async ([channels, rate]) => {
    const floats = channels.map((text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer));
    const made = await renderOffline(floats, rate);
    return made.map((samples) => {
        const bytes = new Uint8Array(samples.slice().buffer);
        let text = "";
        for (const byte of bytes) text += String.fromCharCode(byte);
        return btoa(text);
    });
}"""


def rendered(tab, x: np.ndarray) -> np.ndarray:
    made = tab.evaluate(RENDER, [[base64.b64encode(channel.tobytes()).decode() for channel in x], RATE])
    return np.stack([np.frombuffer(base64.b64decode(text), np.float32) for text in made])


def test_the_page_equals_the_model(opened, page):
    """As it opens, and after a slider has been moved."""
    model, description, _ = page
    x = sound(seconds=0.3)
    assert error_db(rendered(opened, x), played(model, x)) < PARITY_DB
    knob = description.knobs[-1]
    slider = opened.locator(f"#{knob.symbol}")
    slider.fill("650")
    values = {each.symbol: each.value for each in description.knobs}
    values[knob.symbol] = opened.evaluate("values.at(-1)")
    assert values[knob.symbol] != knob.value
    with changed(model, description, values):
        assert error_db(rendered(opened, x), played(model, x)) < PARITY_DB
    slider.dblclick()
    assert opened.evaluate("values.at(-1)") == knob.value


def test_it_plays_and_switches_to_a_recording(opened, page, tmp_path):
    audio.write(tmp_path / "mine.wav", sound(1)[0], RATE)
    opened.click("#play")
    opened.wait_for_timeout(200)
    assert opened.evaluate("isPlaying() && player.context.state === 'running' && player.context.currentTime > 0")
    opened.click("#dry")
    assert opened.get_attribute("#dry", "aria-pressed") == "true"
    opened.wait_for_timeout(200)
    assert opened.evaluate("[player.wet.gain.value < 0.01, player.dry.gain.value > 0.99]") == [True, True]
    opened.set_input_files("#file", tmp_path / "mine.wav")
    opened.locator("#status", has_text="mine.wav").wait_for()
    opened.click("#play")
    assert opened.inner_text("#play") == "Play"
    opened.set_input_files("#file", __file__)
    opened.locator("#status.wrong").wait_for()
