"use strict";

/* The audio thread: the kernel on blocks of 128 samples. Keys come with the frame that they are for. */
class KernelProcessor extends AudioWorkletProcessor {
  constructor({ processorOptions: { bytes, inputs, outputs, values, keys } }) {
    super();
    this.kernel = new WebAssembly.Instance(new WebAssembly.Module(bytes), {}).exports;
    this.kernel._initialize();
    if (!this.kernel.start(sampleRate)) throw new Error(`the model does not play at ${sampleRate} Hz`);
    values.forEach((value, knob) => this.kernel.turn(knob, value));
    const view = (pointer) => new Float32Array(this.kernel.memory.buffer, pointer, 128);
    this.inputs = Array.from({ length: inputs }, (_, channel) => view(this.kernel.input(channel)));
    this.outputs = Array.from({ length: outputs }, (_, channel) => view(this.kernel.output(channel)));
    this.keys = keys;
    this.port.onmessage = ({ data }) => {
      if (data.knob !== undefined) this.kernel.turn(data.knob, data.value);
      else this.keys = [...this.keys, data].sort((one, other) => one.frame - other.frame);
    };
  }

  process([input], [output]) {
    this.inputs.forEach((block, channel) => {
      const source = input[Math.min(channel, input.length - 1)];
      if (source) block.set(source);
      else block.fill(0);
    });
    let done = 0;
    while (this.keys.length && this.keys[0].frame < currentFrame + 128) {
      const key = this.keys.shift();
      done = this.part(output, done, Math.max(done, key.frame - currentFrame));
      this.kernel.press(key.pitch, key.velocity);
    }
    this.part(output, done, 128);
    return true;
  }

  /* The kernel always fills from the start of its block. Only instruments, without input, are cut by keys. */
  part(output, first, last) {
    if (last > first) this.kernel.process(last - first);
    output.forEach((block, channel) => {
      const made = this.outputs[Math.min(channel, this.outputs.length - 1)];
      block.set(made.subarray(0, last - first), first);
    });
    return last;
  }
}

registerProcessor("kernel", KernelProcessor);
