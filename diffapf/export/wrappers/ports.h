/* What LADSPA and LV2 have in common: a kernel behind numbered ports, first the audio, then the knobs, then the latency. */
#include <stdlib.h>

#include "model.h"

enum { FIRST_OUTPUT = INPUTS, FIRST_KNOB = INPUTS + OUTPUTS, LATENCY = FIRST_KNOB + KNOBS, PORTS };

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

static void plugin_run(void *handle, unsigned frames) {
    Plugin *plugin = handle;
    for (int i = 0; i < KNOBS; i++) {
        const float *value = plugin->port[FIRST_KNOB + i];
        if (value) kernel_set(plugin->kernel, i, *value == (float)knobs[i].initial ? knobs[i].initial : *value);
    }
    kernel_process(plugin->kernel, (const float *const *)plugin->port, plugin->port + FIRST_OUTPUT, (int)frames);
    if (plugin->port[LATENCY]) *plugin->port[LATENCY] = (float)kernel_latency(plugin->kernel);
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
