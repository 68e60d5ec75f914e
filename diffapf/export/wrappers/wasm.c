/* The kernel as WebAssembly without imports: one kernel, and blocks that the page writes into and reads. */
#include "model.h"

#define BLOCK 128
#define EXPORTED(name) __attribute__((export_name(name)))

static Kernel *kernel;
static float in[INPUTS + 1][BLOCK], out[OUTPUTS][BLOCK];

EXPORTED("start") int start(double sample_rate) {
    kernel_free(kernel);
    kernel = kernel_new(sample_rate);
    return kernel != 0;
}

EXPORTED("input") float *input(int channel) { return in[channel]; }

EXPORTED("output") float *output(int channel) { return out[channel]; }

EXPORTED("turn") void turn(int knob, double value) { kernel_set(kernel, knob, value); }

EXPORTED("press") void press(int pitch, double velocity) { kernel_note(kernel, pitch, velocity); }

EXPORTED("latency") int latency(void) { return kernel_latency(kernel); }

EXPORTED("process") void process(int frames) {
    const float *from[INPUTS + 1];
    float *to[OUTPUTS];
    for (int c = 0; c <= INPUTS; c++) from[c] = in[c];
    for (int c = 0; c < OUTPUTS; c++) to[c] = out[c];
    kernel_process(kernel, from, to, frames);
}
