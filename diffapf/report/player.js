"use strict";

/* The players. All tracks of a part play all the time, started at the same instant with the same loop; what is heard is
   chosen by gains. So a switch is in place to the sample, and as quick as the gains are. */

const SWITCH_SECONDS = 0.008; // time constant of a switch: fast, and slow enough not to click
const START_DELAY = 0.03; // from the command to the first sample: time to set up all sources for one instant
const SHORTEST_LOOP = 0.02; // seconds
const DRAG_PIXELS = 6; // a pointer that moved less was a click

// ---- The audio graph: one gain per track. Nothing here knows about the page, so that it can be rendered offline too.

/** Connect one gain per buffer to `destination`; all are silent. */
function connectTracks(context, buffers, destination) {
  return buffers.map(() => {
    const gain = new GainNode(context, { gain: 0 });
    gain.connect(destination);
    return gain;
  });
}

/** Start all buffers at the time `when`, from `offset` seconds on, looping from `loop[0]` to `loop[1]`. */
function startTracks(context, buffers, gains, when, offset, loop) {
  return buffers.map((buffer, index) => {
    const source = new AudioBufferSourceNode(context, { buffer, loop: true, loopStart: loop[0], loopEnd: loop[1] });
    source.connect(gains[index]);
    source.start(when, offset);
    return source;
  });
}

/** Let only track `selected` be heard, at its level, from the time `when` on. */
function switchTracks(gains, levels, selected, when) {
  gains.forEach((gain, index) => {
    gain.gain.setTargetAtTime(index === selected ? levels[index] : 0, when, SWITCH_SECONDS);
  });
}

/** Decode base64 FLAC at its own rate. An offline context needs no click of the user, as one that sounds does. */
function decode(base64, rate) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes.buffer);
}

let sharedContext = null;

/** The page's only audible context, made at the first click on play. */
function audioContext(rate) {
  if (!sharedContext) {
    try {
      sharedContext = new AudioContext({ sampleRate: rate });
    } catch {
      sharedContext = new AudioContext(); // a rate that this browser does not play: it resamples
    }
  }
  sharedContext.resume();
  return sharedContext;
}

// ---- The waveform.

/** Lowest and highest sample under each of `count` columns, over all channels. */
function minMaxBins(buffer, count) {
  const low = new Float32Array(count).fill(Infinity);
  const high = new Float32Array(count).fill(-Infinity);
  for (let channel = 0; channel < buffer.numberOfChannels; channel += 1) {
    const samples = buffer.getChannelData(channel);
    for (let column = 0; column < count; column += 1) {
      const start = Math.floor((column * samples.length) / count);
      const end = Math.max(start + 1, Math.floor(((column + 1) * samples.length) / count));
      for (let i = start; i < end && i < samples.length; i += 1) {
        if (samples[i] < low[column]) low[column] = samples[i];
        if (samples[i] > high[column]) high[column] = samples[i];
      }
    }
  }
  return { low, high };
}

/** Fill the area between the bins, `scale` times as high, in one colour. */
function drawWaveform(canvas, bins, scale, colour) {
  const drawing = canvas.getContext("2d");
  const { width, height } = canvas;
  const middle = height / 2;
  const reach = middle - 1;
  const y = (value) => middle - Math.max(-1, Math.min(1, value * scale)) * reach;
  drawing.clearRect(0, 0, width, height);
  drawing.fillStyle = colour;
  for (let x = 0; x < width; x += 1) {
    const top = y(bins.high[x]);
    drawing.fillRect(x, top, 1, Math.max(1, y(bins.low[x]) - top)); // silence is a line
  }
}

// ---- A player: one part of the data.

class Player {
  constructor(root) {
    this.root = root;
    this.rate = Number(root.dataset.rate);
    this.seconds = Number(root.dataset.seconds);
    this.lanes = [...root.querySelectorAll(".lane")].map((element) => ({
      element,
      gain: Number(element.dataset.gain),
      peak: Number(element.dataset.peak),
      isDifference: "difference" in element.dataset,
      canvas: element.querySelector("canvas"),
    }));
    this.buffers = null;
    this.sources = [];
    this.playing = false;
    this.offset = 0; // seconds into the part at the time `this.when`, or where it pauses
    this.loop = null; // null: all of it
    this.boost = 1;
    this.selected = 0;
    this.listen();
    // Music first: what the model makes, where there is one.
    this.select(Math.max(0, this.names().indexOf("prediction")));
    this.showPosition();
  }

  names() {
    return this.lanes.map((lane) => lane.element.querySelector(".name").textContent);
  }

  /** Decode the tracks and draw them; the first call does it, later ones wait for it. */
  load() {
    this.loading ??= Promise.all(
      this.lanes.map((lane) => decode(lane.element.querySelector(".flac").textContent, this.rate)),
    ).then(
      (buffers) => {
        this.buffers = buffers;
        this.draw();
      },
      (error) => this.fail(error),
    );
    return this.loading;
  }

  fail(error) {
    const message = this.root.querySelector(".failure");
    message.textContent = `The audio cannot be played here: ${error.message}`;
    message.hidden = false;
  }

  // -- Levels.

  /** The gain of each track. Boosted differences stop short of full scale: a surprise of 40 dB is no fun. */
  levels() {
    return this.lanes.map((lane) => lane.gain * (lane.isDifference ? this.boostApplied() : 1));
  }

  boostApplied() {
    const peak = Math.max(...this.lanes.filter((lane) => lane.isDifference).map((lane) => lane.peak));
    return Math.min(this.boost, 1 / Math.max(peak, 1e-9));
  }

  setBoost(decibels) {
    this.boost = 10 ** (decibels / 20);
    for (const button of this.root.querySelectorAll(".boost button")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.db) === decibels));
    }
    const applied = this.boostApplied();
    const limited = `limited to ${(20 * Math.log10(applied)).toFixed(1).replace("-", "−")} dB: full scale`;
    this.root.querySelector(".boost .limit").textContent = applied < this.boost ? limited : "";
    this.draw();
    this.applyLevels();
  }

  select(index) {
    if (index >= this.lanes.length) return;
    this.selected = index;
    for (const element of this.root.querySelectorAll("[data-track]")) {
      element.classList.toggle("selected", Number(element.dataset.track) === index);
    }
    this.lanes.forEach((lane, i) => {
      lane.element.querySelector(".track").setAttribute("aria-pressed", String(i === index));
    });
    this.applyLevels();
  }

  applyLevels() {
    if (this.playing) switchTracks(this.gains, this.levels(), this.selected, sharedContext.currentTime);
  }

  // -- Time.

  /** Seconds into the part that are heard now. */
  position() {
    if (!this.playing) return this.offset;
    const [start, end] = this.loop ?? [0, this.seconds];
    const position = this.offset + Math.max(0, sharedContext.currentTime - this.when);
    return position < end ? position : start + ((position - start) % (end - start));
  }

  async play() {
    await this.load();
    if (!this.buffers || this.playing || this.root.hidden) return;
    for (const player of players) player.pause();
    const context = audioContext(this.rate);
    if (!this.output) {
      this.output = new GainNode(context, { gain: 0 });
      this.output.connect(context.destination);
      this.gains = connectTracks(context, this.buffers, this.output);
    }
    this.start();
  }

  /** Start all sources together at `this.offset`, and end those that play: at a seek, the output dips in between. */
  start() {
    const now = sharedContext.currentTime;
    this.when = now + START_DELAY;
    this.sources.forEach((source) => source.stop(this.when));
    this.output.gain.setTargetAtTime(0, now, START_DELAY / 5);
    this.output.gain.setTargetAtTime(1, this.when, SWITCH_SECONDS);
    const loop = this.loop ?? [0, this.seconds];
    this.sources = startTracks(sharedContext, this.buffers, this.gains, this.when, this.offset, loop);
    this.playing = true;
    this.applyLevels();
    this.showPlaying();
    this.follow();
  }

  pause() {
    if (!this.playing) return;
    this.offset = this.position();
    this.playing = false;
    const end = sharedContext.currentTime + START_DELAY;
    this.output.gain.cancelScheduledValues(0);
    this.output.gain.setTargetAtTime(0, sharedContext.currentTime, START_DELAY / 5);
    this.sources.forEach((source) => source.stop(end));
    this.sources = [];
    this.showPlaying();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  seek(seconds) {
    if (this.loop && (seconds < this.loop[0] || seconds >= this.loop[1])) this.setLoop(null);
    this.offset = seconds;
    if (this.playing) this.start();
    this.showPosition();
  }

  /** Loop between two times, or all of it. */
  setLoop(range) {
    const position = this.position();
    const frames = (seconds) => Math.round(seconds * this.rate) / this.rate; // loops between samples interpolate
    this.loop = range && range.map(frames);
    this.offset = range && (position < range[0] || position >= range[1]) ? this.loop[0] : position;
    if (this.playing) this.start();
    this.showLoop();
    this.showPosition();
  }

  // -- What is shown.

  showPlaying() {
    const button = this.root.querySelector(".play");
    button.classList.toggle("playing", this.playing);
    button.setAttribute("aria-label", this.playing ? "Pause" : "Play");
  }

  showPosition() {
    const position = this.position();
    this.root.style.setProperty("--position", position / this.seconds);
    this.root.querySelector(".now").textContent = position.toFixed(1);
  }

  showLoop(range = this.loop) {
    const [start, end] = range ?? [0, 0];
    this.root.classList.toggle("looping", range !== null);
    this.root.style.setProperty("--loop-start", start / this.seconds);
    this.root.style.setProperty("--loop-end", end / this.seconds);
    const button = this.root.querySelector(".clear-loop");
    button.hidden = range === null;
    button.textContent = `Loop ${start.toFixed(2)}–${end.toFixed(2)} s ✕`;
  }

  follow() {
    cancelAnimationFrame(this.frame);
    if (!this.playing) return;
    this.showPosition();
    this.frame = requestAnimationFrame(() => this.follow());
  }

  /** Draw all waveforms on one scale; a boosted difference fills its lane and no more, for it does not clip. */
  draw() {
    if (!this.buffers || this.root.hidden) return;
    const audible = this.lanes.filter((lane) => !lane.isDifference).map((lane) => lane.peak);
    const scale = 1 / Math.max(...audible, 1e-9);
    const levels = this.levels();
    this.lanes.forEach((lane, index) => {
      const { canvas } = lane;
      const width = Math.round(canvas.clientWidth * devicePixelRatio);
      if (lane.bins?.low.length !== width) lane.bins = minMaxBins(this.buffers[index], width);
      canvas.width = width;
      canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
      const colour = getComputedStyle(lane.element).getPropertyValue("--colour");
      const largest = lane.gain / Math.max(lane.peak, 1e-9); // the scale at which this track fills its lane
      drawWaveform(canvas, lane.bins, Math.min(scale * levels[index], largest), colour);
    });
  }

  // -- What the user does.

  listen() {
    const on = (selector, action) => {
      for (const element of this.root.querySelectorAll(selector)) element.addEventListener("click", () => action(element));
    };
    on(".play", () => this.toggle());
    on(".clear-loop", () => this.setLoop(null));
    on(".boost button", (button) => this.setBoost(Number(button.dataset.db)));
    on(".track", (button) => this.select(Number(button.closest("[data-track]").dataset.track)));
    for (const timeline of this.root.querySelectorAll(".timeline")) this.listenTo(timeline);
    new ResizeObserver(() => this.draw()).observe(this.root);
  }

  /** A click goes there and selects that track, a drag sets the loop, a double click clears it. */
  listenTo(timeline) {
    const time = (event) => {
      const { left, width } = timeline.getBoundingClientRect();
      return Math.max(0, Math.min(1, (event.clientX - left) / width)) * this.seconds;
    };
    let pressed = null; // where the pointer went down
    let range = null; // what it has been dragged over
    timeline.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      pressed = { x: event.clientX, time: time(event) };
      range = null;
      timeline.setPointerCapture(event.pointerId);
    });
    timeline.addEventListener("pointermove", (event) => {
      if (!pressed || (!range && Math.abs(event.clientX - pressed.x) < DRAG_PIXELS)) return;
      range = [pressed.time, time(event)].sort((a, b) => a - b);
      this.showLoop(range);
    });
    timeline.addEventListener("pointerup", (event) => {
      if (!pressed) return;
      pressed = null;
      if (range && range[1] - range[0] >= SHORTEST_LOOP) {
        this.setLoop(range);
      } else {
        this.showLoop();
        this.select(Number(timeline.closest("[data-track]").dataset.track));
        this.seek(Math.min(time(event), this.seconds - SHORTEST_LOOP));
      }
    });
    timeline.addEventListener("pointercancel", () => {
      pressed = null; // the page scrolls instead
      this.showLoop();
    });
    timeline.addEventListener("dblclick", () => this.setLoop(null));
  }
}

// ---- The page: parts are tabs; the keys speak to the part that is shown.

const players = [...document.querySelectorAll(".part")].map((root) => new Player(root));
const tabs = [...document.querySelectorAll(".tabs button")];
let shown = players[0];

function showPart(index) {
  shown.pause();
  shown = players[index];
  players.forEach((player) => (player.root.hidden = player !== shown));
  tabs.forEach((tab, i) => tab.setAttribute("aria-pressed", String(i === index)));
  return shown.load().then(() => shown.draw());
}

tabs.forEach((tab, index) => tab.addEventListener("click", () => showPart(index)));

document.addEventListener("keydown", (event) => {
  if (!shown || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("summary, input, a")) return;
  if (event.key === " ") {
    event.preventDefault();
    shown.toggle();
  } else if (/^[1-9]$/.test(event.key)) {
    shown.select(Number(event.key) - 1);
  }
});
// A button that was clicked keeps the focus: the space bar is for play all the same, and Enter presses the button.
document.addEventListener("keyup", (event) => {
  if (event.key === " " && event.target.closest("button")) event.preventDefault();
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => players.forEach((player) => player.draw()));
if (shown) showPart(0);
