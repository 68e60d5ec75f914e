/* The kernel as an LV2 plugin; effects need no features. Declared here is the part of LV2's binary interface that it uses. */
#include <stdint.h>
#include <string.h>

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

#ifdef INSTRUMENT
/* Keys come as a sequence of atoms, whose types hosts number. */
typedef struct {
    const char *uri;
    void *data;
} Feature;

typedef struct {
    void *handle;
    uint32_t (*map)(void *handle, const char *uri);
} Map;

typedef struct {
    uint32_t size, type;
} Atom;

typedef struct {
    Atom atom;
    uint32_t unit, padding;
} Sequence;

typedef struct {
    int64_t frame;
    Atom atom;
    uint8_t message[];
} Event;

static uint32_t midi_event; /* the host's number for it, the same for all instances */

static void press(Plugin *plugin, const uint8_t *message) {
    int kind = message[0] & 0xF0;
    if (kind == 0x90) kernel_note(plugin->kernel, message[1], message[2] / 127.0);
    if (kind == 0x80) kernel_note(plugin->kernel, message[1], 0);
}

static void run(void *handle, uint32_t frames) {
    Plugin *plugin = handle;
    const Sequence *sequence = (const void *)plugin->port[KEYS];
    uint32_t done = 0;
    plugin_turn(plugin);
    for (uint32_t at = sizeof *sequence; sequence && at < sizeof(Atom) + sequence->atom.size;) {
        const Event *event = (const void *)((const char *)sequence + at);
        if (event->atom.type == midi_event && event->atom.size >= 3) {
            uint32_t frame = event->frame < frames ? (uint32_t)event->frame : frames;
            if (frame > done) plugin_play(plugin, done, frame), done = frame;
            press(plugin, event->message);
        }
        at += (uint32_t)sizeof *event + ((event->atom.size + 7) & ~7u);
    }
    plugin_play(plugin, done, frames);
}

static void *instantiate(const Descriptor *descriptor, double rate, const char *bundle, const void *const *features) {
    (void)descriptor, (void)bundle;
    const Map *map = NULL;
    for (const Feature *const *f = (const void *)features; f && *f; f++)
        if (!strcmp((*f)->uri, "http://lv2plug.in/ns/ext/urid#map")) map = (*f)->data;
    if (!map) return NULL;
    midi_event = map->map(map->handle, "http://lv2plug.in/ns/ext/midi#MidiEvent");
    return plugin_new(rate);
}
#else
static void run(void *handle, uint32_t frames) {
    plugin_turn(handle);
    plugin_play(handle, 0, frames);
}

static void *instantiate(const Descriptor *descriptor, double rate, const char *bundle, const void *const *features) {
    (void)descriptor, (void)bundle, (void)features;
    return plugin_new(rate);
}
#endif

static void connect_port(void *handle, uint32_t port, void *data) { plugin_connect(handle, port, data); }

static const Descriptor descriptor = {
    .uri = "urn:diffapf:" MODEL_SYMBOL,
    .instantiate = instantiate,
    .connect_port = connect_port,
    .activate = plugin_activate,
    .run = run,
    .cleanup = plugin_free,
};

EXPORTED const Descriptor *lv2_descriptor(uint32_t index) { return index ? NULL : &descriptor; }
