/* What LADSPA and LV2 have in common: a kernel behind numbered ports, first the audio, then the knobs, the latency, and the keys of
 * an instrument. */
#include <stdlib.h>

#include "model.h"

enum { FIRST_OUTPUT = INPUTS, FIRST_KNOB = INPUTS + OUTPUTS, LATENCY = FIRST_KNOB + KNOBS, KEYS };

#ifdef INSTRUMENT
#define PORTS (KEYS + 1)
#else
#define PORTS KEYS
#endif

typedef struct {
    Kernel *kernel;
    float *port[PORTS];
} Plugin;

static Plugin *plugin_new(double sample_rate) {
    Plugin *plugin = calloc(1, sizeof *plugin);
    if (plugin && !(plugin->kernel = kernel_new(sample_rate))) {
        free(plugin);
        plugin = NULL;
    }
    return plugin;
}

static void plugin_connect(void *handle, unsigned port, float *data) {
    if (port < PORTS) ((Plugin *)handle)->port[port] = data;
}

static void plugin_activate(void *handle) { kernel_reset(((Plugin *)handle)->kernel); }

static void plugin_turn(Plugin *plugin) {
    for (int i = 0; i < KNOBS; i++) {
        const float *value = plugin->port[FIRST_KNOB + i];
        if (value) kernel_set(plugin->kernel, i, *value == (float)knobs[i].initial ? knobs[i].initial : *value);
    }
    if (plugin->port[LATENCY]) *plugin->port[LATENCY] = (float)kernel_latency(plugin->kernel);
}

/* The samples from `first` to before `last` of a block. */
static void plugin_play(Plugin *plugin, unsigned first, unsigned last) {
    const float *from[INPUTS + 1] = {0};
    float *to[OUTPUTS];
    for (int c = 0; c < INPUTS; c++) from[c] = plugin->port[c] + first;
    for (int c = 0; c < OUTPUTS; c++) to[c] = plugin->port[FIRST_OUTPUT + c] + first;
    kernel_process(plugin->kernel, from, to, (int)(last - first));
}

static void plugin_free(void *handle) {
    kernel_free(((Plugin *)handle)->kernel);
    free(handle);
}

#if defined _WIN32
#define EXPORTED __declspec(dllexport)
#else
#define EXPORTED __attribute__((visibility("default")))
#endif
