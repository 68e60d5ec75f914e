"use strict";

/* The page around the kernel: a sound to play, knobs, and a switch to the dry sound, which is late by the kernel's latency. */

const model = JSON.parse(document.getElementById("model").textContent);
const bytes = Uint8Array.from(atob(model.wasm), (letter) => letter.charCodeAt(0));
const values = model.knobs.map((knob) => knob.value);
const SWITCH_SECONDS = 0.008; // time constant of a switch: fast, and slow enough not to click
const STEPS = 1000; // of a slider

// ---- The audio graph. Nothing here knows about the page, so that it can be rendered offline too.

/** The kernel as a node; keys: {frame, pitch, velocity} that are known before. */
async function kernelNode(context, keys = []) {
  const source = document.getElementById("worklet").textContent;
  await context.audioWorklet.addModule(`data:text/javascript;charset=utf-8,${encodeURIComponent(source)}`);
  return new AudioWorkletNode(context, "kernel", {
    numberOfInputs: model.inputs ? 1 : 0,
    numberOfOutputs: 1,
    outputChannelCount: [model.outputs],
    channelCount: Math.max(model.inputs, 1),
    channelCountMode: "explicit",
    processorOptions: { bytes, inputs: model.inputs, outputs: model.outputs, values: [...values], keys },
  });
}

/** What the kernel makes of channels (Float32Array each), with the knobs as they are; of keys where it is an instrument. */
async function renderOffline(channels, rate, length = channels[0].length, keys = []) {
  const context = new OfflineAudioContext(model.outputs, length, rate);
  const node = await kernelNode(context, keys);
  if (model.inputs) {
    const source = new AudioBufferSourceNode(context, { buffer: bufferOf(channels, rate) });
    source.connect(node);
    source.start();
  }
  node.connect(context.destination);
  const rendered = await context.startRendering();
  return Array.from({ length: model.outputs }, (_, channel) => rendered.getChannelData(channel));
}

function bufferOf(channels, rate) {
  const buffer = new AudioBuffer({ numberOfChannels: channels.length, length: channels[0].length, sampleRate: rate });
  channels.forEach((samples, channel) => buffer.copyToChannel(samples, channel));
  return buffer;
}

/** A loop to begin with: plucked strings over a beat of noise, two bars. */
function builtInLoop(rate) {
  const beat = Math.round(rate / 4), length = 16 * beat;
  const sound = new Float32Array(length);
  const pitches = [45, 57, 60, 52, 64, 57, 60, 48];
  let noise = 1;
  const random = () => ((noise = (noise * 16807) % 2147483647) / 1073741824 - 1);
  for (let step = 0; step < 16; step++) {
    const period = Math.round(rate / (440 * 2 ** ((pitches[step % 8] - 69) / 12)));
    const string = Float32Array.from({ length: period }, random);
    for (let n = 0; n < 3 * beat; n++) {
      const place = n % period;
      string[place] = 0.497 * (string[place] + string[(place + 1) % period]);
      sound[(step * beat + n) % length] += 0.35 * string[place];
    }
    const decay = step % 4 === 2 ? 0.06 : 0.012;
    for (let n = 0; n < beat; n++) sound[step * beat + n] += 0.12 * random() * Math.exp(-n / (decay * rate));
  }
  return bufferOf([sound], rate);
}

// ---- Playing

const player = { context: null, node: null, wet: null, dry: null, source: null, recording: null, wetHeard: true, timer: 0 };

async function graph() {
  if (player.context) return;
  const context = new AudioContext();
  player.node = await kernelNode(context);
  player.wet = new GainNode(context, { gain: 1 });
  player.dry = new GainNode(context, { gain: 0 });
  player.node.connect(player.wet).connect(context.destination);
  if (model.inputs) {
    const late = new DelayNode(context, { delayTime: latency(context.sampleRate) / context.sampleRate });
    player.toDry = late;
    late.connect(player.dry).connect(context.destination);
  }
  player.context = context;
}

/** In samples, asked of a kernel of our own. */
function latency(rate) {
  const kernel = new WebAssembly.Instance(new WebAssembly.Module(bytes), {}).exports;
  kernel._initialize();
  kernel.start(rate);
  return kernel.latency();
}

async function play() {
  await graph();
  await player.context.resume();
  if (model.instrument) startPattern();
  else {
    const buffer = player.recording ?? builtInLoop(player.context.sampleRate);
    player.source = new AudioBufferSourceNode(player.context, { buffer, loop: true });
    player.source.connect(player.node);
    player.source.connect(player.toDry);
    player.source.start();
  }
  document.getElementById("play").textContent = "Stop";
}

function stop() {
  player.source?.stop();
  player.source = null;
  clearInterval(player.timer);
  player.timer = 0;
  if (model.instrument && player.node) model.pattern.forEach(({ pitch }) => press(pitch, 0));
  document.getElementById("play").textContent = "Play";
}

const isPlaying = () => player.source !== null || player.timer !== 0;

async function toggle() {
  try {
    if (isPlaying()) stop();
    else await play();
  } catch (error) {
    say(error.message, true);
  }
}

function switchTo(wet) {
  player.wetHeard = wet;
  document.getElementById("wet").setAttribute("aria-pressed", wet);
  document.getElementById("dry").setAttribute("aria-pressed", !wet);
  if (!player.context) return;
  player.wet.gain.setTargetAtTime(wet ? 1 : 0, player.context.currentTime, SWITCH_SECONDS);
  player.dry.gain.setTargetAtTime(wet ? 0 : 1, player.context.currentTime, SWITCH_SECONDS);
}

async function load(file) {
  try {
    const decoder = player.context ?? new OfflineAudioContext(1, 1, 44100);
    player.recording = await decoder.decodeAudioData(await file.arrayBuffer());
    say(`${file.name}, ${player.recording.duration.toFixed(1)} s`);
    if (isPlaying()) stop();
    await play();
  } catch (error) {
    say(`${file.name} cannot be read as audio`, true);
  }
}

function say(words, wrong = false) {
  const status = document.getElementById("status");
  status.textContent = words;
  status.classList.toggle("wrong", wrong);
}

// ---- Keys, of an instrument

function press(pitch, velocity, frame = 0) {
  player.node?.port.postMessage({ frame, pitch, velocity });
}

/** A bar that comes round; each key is sent a little before its time, with its frame. */
function startPattern() {
  const rate = player.context.sampleRate;
  const step = 0.125 * rate;
  let next = 0;
  const begin = player.context.currentTime * rate + 0.05 * rate;
  const send = () => {
    while (begin + next * step < (player.context.currentTime + 0.2) * rate) {
      const { pitch, velocity, slide } = model.pattern[next % model.pattern.length];
      const frame = Math.round(begin + next * step);
      press(pitch, velocity, frame);
      press(pitch, 0, Math.round(frame + step * (slide ? 1.05 : 0.6)));
      next++;
    }
  };
  send();
  player.timer = setInterval(send, 50);
}

const ROW = "awsedftgyhujk"; // two rows of a keyboard as a piano's octave
async function key(event, velocity) {
  const place = ROW.indexOf(event.key.toLowerCase());
  if (place < 0 || event.repeat || event.ctrlKey || event.metaKey) return;
  await graph();
  await player.context.resume();
  press(45 + place, velocity);
}

// ---- Knobs

const toValue = (knob, position) =>
  knob.logarithmic ? knob.minimum * (knob.maximum / knob.minimum) ** position : knob.minimum + position * (knob.maximum - knob.minimum);
const toPosition = (knob, value) =>
  knob.logarithmic ? Math.log(value / knob.minimum) / Math.log(knob.maximum / knob.minimum) : (value - knob.minimum) / (knob.maximum - knob.minimum);
const written = (knob, value) => `${Number(value.toPrecision(4))}${knob.unit && ` ${knob.unit}`}`;

function turn(index, value) {
  values[index] = value;
  player.node?.port.postMessage({ knob: index, value });
}

function addKnob(knob, index) {
  const label = document.createElement("label");
  const [name, output, slider] = ["span", "output", "input"].map((kind) => document.createElement(kind));
  name.textContent = knob.name;
  Object.assign(slider, { type: "range", min: 0, max: STEPS, step: 1, id: knob.symbol });
  const show = () => (output.textContent = written(knob, values[index]));
  const reset = () => {
    slider.value = STEPS * toPosition(knob, knob.value);
    turn(index, knob.value);
    show();
  };
  slider.addEventListener("input", () => {
    turn(index, toValue(knob, slider.value / STEPS));
    show();
  });
  slider.addEventListener("dblclick", reset);
  label.append(name, output, slider);
  document.getElementById("knobs").append(label);
  reset();
}

model.knobs.forEach(addKnob);
document.getElementById("play").addEventListener("click", toggle);
if (model.instrument) {
  document.addEventListener("keydown", (event) => key(event, 0.8));
  document.addEventListener("keyup", (event) => key(event, 0));
} else {
  document.getElementById("wet").addEventListener("click", () => switchTo(true));
  document.getElementById("dry").addEventListener("click", () => switchTo(false));
  document.getElementById("file").addEventListener("change", ({ target }) => target.files[0] && load(target.files[0]));
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, button")) return;
    if (event.key === " ") toggle();
    if (event.key.toLowerCase() === "d") switchTo(!player.wetHeard);
  });
  for (const kind of ["dragover", "drop", "dragleave"])
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      document.body.classList.toggle("dropping", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files[0]) load(event.dataTransfer.files[0]);
    });
}
