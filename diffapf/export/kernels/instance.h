/* The calls of kernel.h around a model, included at the end of its file, which defines:
 *
 *     Design      what follows from the knobs and the sample rate, with `int latency`
 *     Memory      what the past of the signal leaves behind
 *     designed    fills a Design; 0: the sample rate is out of reach
 *     rest        Memory, all zeros, as it is in silence
 *     run         the next samples
 *     note        of instruments: a key
 */
#include <stdlib.h>
#include <string.h>

#define GLIDE_SECONDS 0.02
#define GLIDE_SAMPLES 8 /* between designs, while a knob moves */

struct Kernel {
    double sample_rate;
    double wanted[KNOBS + 1], value[KNOBS + 1], origin[KNOBS + 1];
    double glide; /* the share of the way from origin to wanted that is left */
    int turned, running;
    Design design;
    Memory memory;
};

static void arrive(Kernel *k) {
    memcpy(k->value, k->wanted, sizeof k->value);
    k->turned = 0;
    k->glide = 0;
    designed(&k->design, k->value, k->sample_rate);
}

Kernel *kernel_new(double sample_rate) {
    Kernel *k = calloc(1, sizeof *k);
    if (!k) return NULL;
    k->sample_rate = sample_rate;
    for (int i = 0; i < KNOBS; i++) k->value[i] = k->wanted[i] = knobs[i].initial;
    if (!(sample_rate > 0) || !designed(&k->design, k->value, sample_rate)) {
        free(k);
        return NULL;
    }
    kernel_reset(k);
    return k;
}

void kernel_free(Kernel *k) { free(k); }

int kernel_latency(const Kernel *k) { return k->design.latency; }

void kernel_set(Kernel *k, int i, double value) {
    if (i < 0 || i >= KNOBS || !(value == value)) return;
    value = value < knobs[i].minimum ? knobs[i].minimum : value > knobs[i].maximum ? knobs[i].maximum : value;
    if (value == k->wanted[i]) return;
    k->wanted[i] = value;
    k->turned = 1;
}

void kernel_reset(Kernel *k) {
    arrive(k);
    k->running = 0;
    memset(&k->memory, 0, sizeof k->memory);
    rest(&k->design, &k->memory);
}

/* Knobs move evenly, by ratios where the knob is logarithmic, and end exactly where they were turned to. */
static void move(Kernel *k, int frames) {
    if (k->turned) {
        memcpy(k->origin, k->value, sizeof k->origin);
        k->turned = 0;
        k->glide = 1;
    }
    k->glide -= frames / (GLIDE_SECONDS * k->sample_rate);
    if (!(k->glide > 0)) {
        arrive(k);
        return;
    }
    for (int i = 0; i < KNOBS; i++) {
        double from = k->origin[i], to = k->wanted[i];
        k->value[i] = knobs[i].logarithmic ? to * pow(from / to, k->glide) : to + (from - to) * k->glide;
    }
    designed(&k->design, k->value, k->sample_rate);
}

void kernel_process(Kernel *k, const float *const *in, float *const *out, int frames) {
    if (k->turned && !k->running) kernel_reset(k);
    k->running = k->running || frames > 0;
    for (int done = 0; done < frames;) {
        int moving = k->turned || k->glide > 0;
        int count = moving && frames - done > GLIDE_SAMPLES ? GLIDE_SAMPLES : frames - done;
        const float *from[INPUTS + 1] = {0};
        float *to[OUTPUTS];
        for (int c = 0; c < INPUTS; c++) from[c] = in[c] + done;
        for (int c = 0; c < OUTPUTS; c++) to[c] = out[c] + done;
        if (moving) move(k, count);
        run(&k->design, &k->memory, from, to, count);
        done += count;
    }
}

void kernel_note(Kernel *k, int pitch, double velocity) {
#ifdef INSTRUMENT
    if (k->turned && !k->running) kernel_reset(k);
    k->running = 1;
    note(&k->design, &k->memory, pitch, velocity);
#else
    (void)k, (void)pitch, (void)velocity;
#endif
}
