"""The page in Chromium, opened from disk: it plays, switches, loops, and its tracks are aligned to the sample."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffapf.report import write_report
from diffapf.report.audio import embed, read_parts

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@dataclass
class Opened:
    """A page that is open, and what it said and asked for."""

    page: sync_api.Page
    folder: Path
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def until(self, condition: str) -> None:
        """Wait for a condition; Playwright's own wait_for_function needs the eval that the page's policy forbids."""
        for _ in range(200):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(20)
        pytest.fail(f"never came true: {condition}")

    def position(self) -> float:
        return self.page.evaluate("shown.position()")

    def selected(self) -> str:
        return self.page.inner_text(".lane.selected .name >> visible=true")


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(shared_results_folder: Path) -> Path:
    return write_report(shared_results_folder)


@pytest.fixture
def opened(browser: sync_api.Browser, report: Path) -> Iterator[Opened]:
    page = browser.new_page()
    opened = Opened(page, report.parent)
    page.on("console", lambda message: opened.messages.append(message.text))
    page.on("pageerror", lambda error: opened.messages.append(str(error)))
    page.on("request", lambda request: opened.requests.append(request.url))
    page.goto(report.as_uri())
    opened.until("shown.buffers !== null")
    yield opened
    page.close()


def test_it_opens_without_errors_or_requests(opened: Opened):
    assert opened.messages == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [opened.page.url]
    for width in (1280, 390):
        opened.page.set_viewport_size({"width": width, "height": 800})
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def test_space_plays_and_keys_switch(opened: Opened):
    page = opened.page
    assert opened.selected() == "prediction"
    page.keyboard.press(" ")
    opened.until("shown.position() > 0.2")
    for key, name in (("1", "dry"), ("4", "difference"), ("2", "target")):
        page.keyboard.press(key)
        assert opened.selected() == name
    opened.until("shown.gains[1].gain.value > 0.99 && shown.gains[3].gain.value < 0.01")
    page.keyboard.press("9")
    assert opened.selected() == "target"
    # The button that was clicked last has the focus: the space bar pauses all the same, once.
    page.click(".boost button[data-db='20'] >> visible=true")
    page.keyboard.press(" ")
    assert not page.evaluate("shown.playing")
    position = opened.position()
    page.wait_for_timeout(100)
    assert opened.position() == position
    assert opened.messages == []


def test_a_click_seeks_a_drag_loops_and_a_double_click_clears(opened: Opened):
    page = opened.page
    box = page.locator(".lane .timeline >> visible=true").nth(1).bounding_box()
    assert box is not None

    def at(fraction: float) -> tuple[float, float]:
        return box["x"] + fraction * box["width"], box["y"] + box["height"] / 2

    page.mouse.click(*at(0.5))
    assert opened.position() == pytest.approx(0.75, abs=0.02)
    assert opened.selected() == "target"
    page.mouse.move(*at(0.6))
    page.mouse.down()
    page.mouse.move(*at(0.8), steps=3)
    page.mouse.up()
    assert page.evaluate("shown.loop") == pytest.approx([0.9, 1.2], abs=0.02)
    page.keyboard.press(" ")
    page.wait_for_timeout(700)
    assert 0.88 < opened.position() < 1.22
    page.mouse.dblclick(*at(0.1))
    assert page.evaluate("shown.loop") is None


def test_a_boosted_difference_stops_at_full_scale(opened: Opened):
    page = opened.page
    page.click(".boost button[data-db='40'] >> visible=true")
    levels, peaks = page.evaluate("[shown.levels(), shown.lanes.map((lane) => lane.peak / lane.gain)]")
    assert levels[3] * peaks[3] == pytest.approx(1.0)
    assert "full scale" in page.inner_text(".boost .limit >> visible=true")


def test_another_part_is_another_player_and_one_plays_at_a_time(opened: Opened):
    page = opened.page
    page.keyboard.press(" ")
    opened.until("shown.position() > 0.05")
    page.click("text=Training")
    assert page.locator(".part >> visible=true").count() == 1
    page.keyboard.press(" ")
    opened.until("shown.playing")
    assert page.evaluate("players.map((player) => player.playing)") == [False, True]
    assert opened.messages == []


RENDER = """async ([selections, loop, seconds]) => {
  const { buffers, rate } = shown;
  const context = new OfflineAudioContext(1, seconds * rate, rate);
  const gains = connectTracks(context, buffers, context.destination);
  for (const [track, when] of selections) switchTracks(gains, shown.levels(), track, when);
  startTracks(context, buffers, gains, 0, loop[0], loop);
  return [...(await context.startRendering()).getChannelData(0)];
}"""


def test_tracks_are_aligned_to_the_sample_through_switches_and_loops(opened: Opened):
    """The page's own graph, rendered offline, against the same sum of the embedded tracks in NumPy."""
    selections, loop, seconds = [(2, 0.0), (0, 0.31), (3, 0.62), (1, 0.93)], (0.1, 0.6), 1.2
    rendered = np.array(opened.page.evaluate(RENDER, [selections, loop, seconds]))
    part = read_parts(opened.folder / "audio")[0]
    time = np.arange(len(rendered)) / part.rate
    start, end = (round(edge * part.rate) for edge in loop)
    looped = start + np.arange(len(rendered)) % (end - start)
    expected = np.zeros(len(rendered))
    for index, track in enumerate(part.tracks):
        embedded = embed(part, track)
        samples, _ = soundfile.read(io.BytesIO(base64.b64decode(embedded.flac)))
        expected += embedded.gain * samples[looped] * _gain(time, [when for _, when in selections], index, selections)
    # A track that is one sample off would be wrong by as much as the noise itself.
    np.testing.assert_allclose(rendered, expected, atol=2e-4)


def _gain(time: np.ndarray, times: list[float], index: int, selections: list[tuple[int, float]]) -> np.ndarray:
    """The gain of one track: after each switch it approaches 1 or 0 with the time constant of 8 ms."""
    gain = np.zeros(len(time))
    for (track, when), until in zip(selections, [*times[1:], np.inf], strict=True):
        now = (time >= when) & (time < until)
        before = gain[time < when][-1] if when > 0 else 0.0
        aim = 1.0 if track == index else 0.0
        gain[now] = aim + (before - aim) * np.exp(-(time[now] - when) / 0.008)
    return gain
