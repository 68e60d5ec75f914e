/* The kernel as a LADSPA plugin. Declared here is the part of LADSPA's binary interface, version 1.1, that it uses. */
#include <math.h>
#include <stdio.h>

#include "ports.h"

enum { IS_INPUT = 1, IS_OUTPUT = 2, IS_CONTROL = 4, IS_AUDIO = 8 };
enum { HAS_MINIMUM = 1, HAS_MAXIMUM = 2, IS_LOGARITHMIC = 16 };
enum { AT_MINIMUM = 0x40, AT_LOW = 0x80, AT_MIDDLE = 0xC0, AT_HIGH = 0x100, AT_MAXIMUM = 0x140 };
enum { HARD_RT_CAPABLE = 4 };

typedef struct {
    int hints;
    float lower, upper;
} Range;

typedef struct Descriptor {
    unsigned long unique_id;
    const char *label;
    int properties;
    const char *name, *maker, *copyright;
    unsigned long port_count;
    const int *port_kinds;
    const char *const *port_names;
    const Range *ranges;
    void *data;
    void *(*instantiate)(const struct Descriptor *, unsigned long);
    void (*connect_port)(void *, unsigned long, float *);
    void (*activate)(void *);
    void (*run)(void *, unsigned long);
    void (*run_adding)(void *, unsigned long);
    void (*set_run_adding_gain)(void *, float);
    void (*deactivate)(void *);
    void (*cleanup)(void *);
} Descriptor;

/* A default can only lie at an end of its range, or at a quarter, half or three quarters of it (of its logarithm): one end
 * comes nearer, as little as can be, until the model's own value lies there. */
static Range range_of(const Knob *knob) {
    double low = knob->minimum, high = knob->maximum, value = knob->initial, widest = 0;
    if (knob->logarithmic) low = log(low), high = log(high), value = log(value);
    double from = low, to = high;
    int hint = value <= low ? AT_MINIMUM : AT_MAXIMUM;
    for (int quarter = 1; value > low && value < high && quarter < 4; quarter++) {
        double part = quarter / 4.0, top = low + (value - low) / part, bottom = high - (high - value) / (1 - part);
        int fits_low = top <= high;
        double width = fits_low ? top - low : high - bottom;
        if (width > widest) {
            widest = width;
            from = fits_low ? low : bottom;
            to = fits_low ? top : high;
            hint = quarter == 1 ? AT_LOW : quarter == 2 ? AT_MIDDLE : AT_HIGH;
        }
    }
    if (knob->logarithmic) from = exp(from), to = exp(to);
    Range range = {HAS_MINIMUM | HAS_MAXIMUM | hint | (knob->logarithmic ? IS_LOGARITHMIC : 0), (float)from, (float)to};
    return range;
}

static void *instantiate(const Descriptor *descriptor, unsigned long rate) {
    (void)descriptor;
    return plugin_new((double)rate);
}

static void connect_port(void *handle, unsigned long port, float *data) { plugin_connect(handle, (unsigned)port, data); }

static void run(void *handle, unsigned long frames) {
    plugin_turn(handle);
    plugin_play(handle, 0, (unsigned)frames);
}

static int port_kinds[PORTS];
static const char *port_names[PORTS];
static char knob_names[KNOBS + 1][96];
static Range ranges[PORTS];

static Descriptor descriptor = {
    .unique_id = MODEL_ID & 0xFFFFFF,
    .label = MODEL_SYMBOL,
    .properties = HARD_RT_CAPABLE,
    .name = MODEL_NAME,
    .maker = "diffapf",
    .copyright = "",
    .port_count = PORTS,
    .port_kinds = port_kinds,
    .port_names = port_names,
    .ranges = ranges,
    .instantiate = instantiate,
    .connect_port = connect_port,
    .activate = plugin_activate,
    .run = run,
    .cleanup = plugin_free,
};

static const char *const INPUT_NAMES[] = {"Input", "Input right"}, *const OUTPUT_NAMES[] = {"Output", "Output right"};

static void describe(void) {
    for (int c = 0; c < INPUTS; c++) port_kinds[c] = IS_INPUT | IS_AUDIO, port_names[c] = INPUT_NAMES[c];
    for (int c = 0; c < OUTPUTS; c++) {
        port_kinds[FIRST_OUTPUT + c] = IS_OUTPUT | IS_AUDIO;
        port_names[FIRST_OUTPUT + c] = OUTPUT_NAMES[c];
    }
    for (int i = 0; i < KNOBS; i++) {
        port_kinds[FIRST_KNOB + i] = IS_INPUT | IS_CONTROL;
        port_names[FIRST_KNOB + i] = knobs[i].name;
        if (*knobs[i].unit) {
            snprintf(knob_names[i], sizeof knob_names[i], "%s (%s)", knobs[i].name, knobs[i].unit);
            port_names[FIRST_KNOB + i] = knob_names[i];
        }
        ranges[FIRST_KNOB + i] = range_of(&knobs[i]);
    }
    port_kinds[LATENCY] = IS_OUTPUT | IS_CONTROL;
    port_names[LATENCY] = "latency";
}

EXPORTED const Descriptor *ladspa_descriptor(unsigned long index) {
    if (index != 0) return NULL;
    describe();
    return &descriptor;
}
