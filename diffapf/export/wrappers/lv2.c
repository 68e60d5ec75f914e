/* The kernel as an LV2 plugin that needs no features. Declared here is the part of LV2's binary interface that it uses. */
#include <stdint.h>

#include "ports.h"

typedef struct Descriptor {
    const char *uri;
    void *(*instantiate)(const struct Descriptor *, double, const char *, const void *const *);
    void (*connect_port)(void *, uint32_t, void *);
    void (*activate)(void *);
    void (*run)(void *, uint32_t);
    void (*deactivate)(void *);
    void (*cleanup)(void *);
    const void *(*extension_data)(const char *);
} Descriptor;

static void *instantiate(const Descriptor *descriptor, double rate, const char *bundle, const void *const *features) {
    (void)descriptor, (void)bundle, (void)features;
    return plugin_new(rate);
}

static void connect_port(void *handle, uint32_t port, void *data) { plugin_connect(handle, port, data); }

static void run(void *handle, uint32_t frames) { plugin_run(handle, frames); }

static const Descriptor descriptor = {
    .uri = "urn:diffapf:" MODEL_SYMBOL,
    .instantiate = instantiate,
    .connect_port = connect_port,
    .activate = plugin_activate,
    .run = run,
    .cleanup = plugin_free,
};

EXPORTED const Descriptor *lv2_descriptor(uint32_t index) { return index ? NULL : &descriptor; }
