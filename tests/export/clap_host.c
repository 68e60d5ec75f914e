/* A host of CLAP plugins: raw interleaved floats through one, with parameters set before the first sample; or, where keys are
 * pressed (velocity 0: let go), through an instrument, which hears nothing of them.
 *
 *     clap_host PLUGIN SAMPLE_RATE CHANNELS IN OUT [INDEX=VALUE ...] [FRAME:PITCH:VELOCITY ...]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clap/entry.h"
#include "clap/events.h"
#include "clap/ext/latency.h"
#include "clap/ext/params.h"
#include "clap/host.h"
#include "clap/plugin-factory.h"
#include "clap/plugin.h"
#include "clap/process.h"
#if defined _WIN32
#include <windows.h>
#define LOAD(path) LoadLibraryA(path)
#define FIND(library, name) GetProcAddress(library, name)
typedef HMODULE Library;
#else
#include <dlfcn.h>
#define LOAD(path) dlopen(path, RTLD_NOW)
#define FIND(library, name) dlsym(library, name)
typedef void *Library;
#endif

enum { BLOCK = 512, CHANNELS = 2, EVENTS = 64 };

static clap_event_param_value_t settings[EVENTS];
static clap_event_note_t keys[EVENTS];
static uint32_t key_frames[EVENTS], setting_count, key_count;

/* Those of a block: settings all in the first, keys where they belong, `first_key` on. */
static uint32_t first_key, keys_now, settings_now;

static uint32_t size(const clap_input_events_t *list) { return (void)list, settings_now + keys_now; }
static const clap_event_header_t *get(const clap_input_events_t *list, uint32_t i) {
    return (void)list, i < settings_now ? &settings[i].header : &keys[first_key + i - settings_now].header;
}
static bool push(const clap_output_events_t *list, const clap_event_header_t *event) { return (void)list, (void)event, true; }
static void nothing(const clap_host_t *host) { (void)host; }
static const clap_host_latency_t latency = {nothing};
static const void *extension(const clap_host_t *host, const char *id) {
    return (void)host, strcmp(id, CLAP_EXT_LATENCY) ? NULL : &latency;
}

static void choose_events(uint32_t start, uint32_t frames) {
    settings_now = start ? 0 : setting_count;
    first_key += keys_now;
    for (keys_now = 0; first_key + keys_now < key_count && key_frames[first_key + keys_now] < start + frames; keys_now++)
        keys[first_key + keys_now].header.time = key_frames[first_key + keys_now] - start;
}

static void add_key(const char *text) {
    unsigned frame, pitch;
    double velocity;
    if (key_count == EVENTS || sscanf(text, "%u:%u:%lf", &frame, &pitch, &velocity) != 3) return;
    uint16_t kind = velocity > 0 ? CLAP_EVENT_NOTE_ON : CLAP_EVENT_NOTE_OFF;
    clap_event_note_t key = {{sizeof key, 0, CLAP_CORE_EVENT_SPACE_ID, kind, 0}, -1, 0, 0, (int16_t)pitch, velocity};
    key_frames[key_count] = frame;
    keys[key_count++] = key;
}

static int fail(const char *what) {
    fprintf(stderr, "clap_host: %s\n", what);
    return 1;
}

int main(int count, char **arguments) {
    if (count < 6) return fail("PLUGIN SAMPLE_RATE CHANNELS IN OUT [INDEX=VALUE ...]");
    double rate = atof(arguments[2]);
    uint32_t channels = (uint32_t)atoi(arguments[3]);
    Library library = LOAD(arguments[1]);
    if (!library || channels < 1 || channels > CHANNELS) return fail("the plugin cannot be loaded");
    const clap_plugin_entry_t *entry = (const clap_plugin_entry_t *)FIND(library, "clap_entry");
    if (!entry || !entry->init(arguments[1])) return fail("no entry");
    const clap_plugin_factory_t *factory = entry->get_factory(CLAP_PLUGIN_FACTORY_ID);
    if (!factory || factory->get_plugin_count(factory) != 1) return fail("no factory of one plugin");
    clap_host_t host = {CLAP_VERSION, NULL, "test", "diffapf", "", "1", extension, nothing, nothing, nothing};
    const clap_plugin_t *plugin = factory->create_plugin(factory, &host, factory->get_plugin_descriptor(factory, 0)->id);
    if (!plugin || !plugin->init(plugin)) return fail("no plugin");
    const clap_plugin_params_t *parameters = plugin->get_extension(plugin, CLAP_EXT_PARAMS);
    for (int i = 6; i < count && setting_count < EVENTS; i++) {
        clap_param_info_t info;
        if (strchr(arguments[i], ':')) {
            add_key(arguments[i]);
            continue;
        }
        if (!parameters || !parameters->get_info(plugin, (uint32_t)atoi(arguments[i]), &info)) return fail("no such parameter");
        clap_event_param_value_t *event = &settings[setting_count++];
        event->header = (clap_event_header_t){sizeof *event, 0, CLAP_CORE_EVENT_SPACE_ID, CLAP_EVENT_PARAM_VALUE, 0};
        event->param_id = info.id;
        event->note_id = -1, event->port_index = -1, event->channel = -1, event->key = -1;
        event->value = atof(strchr(arguments[i], '=') + 1);
    }
    if (!plugin->activate(plugin, rate, 1, BLOCK) || !plugin->start_processing(plugin)) return fail("not activated");
    FILE *in = fopen(arguments[4], "rb"), *out = fopen(arguments[5], "wb");
    if (!in || !out) return fail("files");
    static float from[CHANNELS][BLOCK], to[CHANNELS][BLOCK];
    float *inputs[CHANNELS] = {from[0], from[1]}, *outputs[CHANNELS] = {to[0], to[1]}, frame[CHANNELS];
    clap_audio_buffer_t input = {.data32 = inputs, .channel_count = channels};
    clap_audio_buffer_t output = {.data32 = outputs, .channel_count = channels};
    clap_input_events_t sent = {NULL, size, get};
    clap_output_events_t received = {NULL, push};
    uint32_t start = 0;
    for (uint32_t frames = BLOCK; frames == BLOCK; start += frames) {
        for (frames = 0; frames < BLOCK && fread(frame, sizeof(float), channels, in) == channels; frames++)
            for (uint32_t c = 0; c < channels; c++) from[c][frames] = frame[c];
        choose_events(start, frames);
        clap_process_t process = {-1, frames, NULL, key_count ? NULL : &input, &output, !key_count, 1, &sent, &received};
        if (frames && plugin->process(plugin, &process) == CLAP_PROCESS_ERROR) return fail("process");
        for (uint32_t n = 0; n < frames; n++)
            for (uint32_t c = 0; c < channels; c++) fwrite(&to[c][n], sizeof(float), 1, out);
    }
    fclose(in), fclose(out);
    plugin->stop_processing(plugin);
    plugin->deactivate(plugin);
    plugin->destroy(plugin);
    entry->deinit();
    return 0;
}
