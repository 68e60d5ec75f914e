/* A subtractive synth of one voice: oscillator, level, a filter that moves, distortion, two taps, noise, gate.
 *
 * Of several keys that are held the one struck last sounds; where it overlaps with the one before, it is glided to without a
 * new start, as to one that is still held when it is let go.
 */
#include "model.h"

#include "filters.h"

#define KEYS 128
#define GLIDE_SECONDS_OF_PITCH 0.06
#define PARTIALS_BELOW 12000.0
#define MARGIN 1e-3 /* off the edge of stability */
#define PUBLISHED_RATE 48000.0

#define LOWPASS 0
#define LADDER 1
#define COEFFICIENTS 2
#define SECTIONS (FILTER == LADDER ? 2 : 1)

typedef struct {
    double b[3], a[3];
} Section;

typedef struct {
    Section section[2];
    double level;
} Frame;

typedef struct {
    int latency;
    double sample_rate, knob[KNOBS], highest_hz, noise;
} Design;

typedef struct {
    int order[KEYS], orders; /* when a key was pressed; 0: it is not */
    int key, open;
    double from, to, since, velocity; /* pitch is glided, from a sample of the phrase on */
    double sample, frame, phase;
    int offset;
    Frame now, next;
    double filter[2][2], last;
    unsigned noise_at;
} Memory;

static int designed(Design *d, const double *knob, double sample_rate) {
    d->latency = 0;
    d->sample_rate = sample_rate;
    for (int i = 0; i < KNOBS; i++) d->knob[i] = knob[i];
    d->highest_hz = sample_rate == SAMPLE_RATE ? HIGHEST_HZ : at_most(HIGHEST_HZ, 0.49 * sample_rate);
    d->noise = 0;
#ifdef KNOB_NOISE_DB
    d->noise = amplitude(knob[KNOB_NOISE_DB]);
#endif
    return 1;
}

static void rest(const Design *d, Memory *m) { (void)d, (void)m; }

/* Knots, `spacing` seconds apart, at a time: linear between them, the last is held. */
static double trajectory(const double *knots, int count, double spacing, double seconds) {
    double position = at_most(seconds / spacing, count - 1);
    int left = (int)position;
    double way = position - left;
    return left + 1 < count ? knots[left] + way * (knots[left + 1] - knots[left]) : knots[count - 1];
}

#if FILTER != COEFFICIENTS
static Section lowpass(double hz, double q, double sample_rate) {
    double omega = 2 * PI * hz / sample_rate, c = cos(omega), alpha = sin(omega) / (2 * q), a0 = 1 + alpha;
    double damping = 1 - at_most(MARGIN * (PUBLISHED_RATE / sample_rate) * (PUBLISHED_RATE / sample_rate), 0.1);
    Section s = {{(1 - c) / 2 / a0, (1 - c) / a0, (1 - c) / 2 / a0}, {1, -2 * c / a0 * damping, (1 - alpha) / a0 * damping}};
    return s;
}
#endif

static void design_filter(const Design *d, double seconds, Section *section) {
#if FILTER == COEFFICIENTS
    double logit[5];
    for (int i = 0; i < 5; i++)
        logit[i] = trajectory(logits + i * LOGITS_KNOTS, LOGITS_KNOTS, LOGITS_SPACING, seconds);
    double a1 = 2 * (1 - MARGIN) * tanh(logit[0] + START_1);
    double a2 = ((2 - fabs(a1)) * (1 - MARGIN) * tanh(logit[1] + START_2) + fabs(a1)) / 2;
    double scale = NORMALISED ? 1 + a1 + a2 : 1;
    static const double start[3] = {NORMALISED * 0.25, NORMALISED * 0.5, NORMALISED * 0.25};
    for (int k = 0; k < 3; k++) section->b[k] = (logit[2 + k] + start[k]) * scale;
    section->a[0] = 1, section->a[1] = a1, section->a[2] = a2;
    (void)d;
#else
    double octaves = trajectory(cutoff, CUTOFF_KNOTS, CUTOFF_SPACING, seconds) + d->knob[KNOB_CUTOFF];
    double hz = at_most(at_least(1000 * exp2(octaves), LOWEST_HZ), d->highest_hz);
#if FILTER == LOWPASS
    *section = lowpass(hz, d->knob[KNOB_Q], d->sample_rate);
#else
    double offset = pow(at_least(d->knob[KNOB_RESONANCE], 1e-6), 0.25) / sqrt(2);
    for (int pair = 0; pair < 2; pair++) {
        double real = pair ? 1 + offset : 1 - offset, radius = hypot(real, offset);
        section[pair] = lowpass(at_most(hz * radius, 0.49 * d->sample_rate), radius / (2 * real), d->sample_rate);
    }
#endif
#endif
}

static void next_frame(const Design *d, Memory *m) {
    double seconds = m->frame * HOP / d->sample_rate;
    design_filter(d, seconds, m->next.section);
    m->next.level = amplitude(trajectory(gain_db, GAIN_KNOTS, GAIN_SPACING, seconds));
    m->frame += 1;
}

static double pitch_at(const Design *d, const Memory *m) {
    double way = (m->sample - m->since) / (GLIDE_SECONDS_OF_PITCH * d->sample_rate);
    return m->from + at_most(way, 1) * (m->to - m->from);
}

static void start(const Design *d, Memory *m, int pitch, double velocity) {
    m->open = 1;
    m->from = m->to = pitch;
    m->velocity = velocity;
    m->since = m->sample = m->frame = 0;
    m->offset = 0;
    m->phase = PHASE;
    m->last = 0;
    for (int i = 0; i < 2; i++) m->filter[i][0] = m->filter[i][1] = 0;
    next_frame(d, m);
}

static void glide_to(const Design *d, Memory *m, int pitch) {
    m->from = pitch_at(d, m);
    m->to = pitch;
    m->since = m->sample;
}

static int last_key(const Memory *m) {
    int found = -1;
    for (int i = 0; i < KEYS; i++)
        if (m->order[i] && (found < 0 || m->order[i] > m->order[found])) found = i;
    return found;
}

static void note(const Design *d, Memory *m, int pitch, double velocity) {
    if (pitch < 0 || pitch >= KEYS) return;
    m->order[pitch] = 0;
    int others = last_key(m) >= 0;
    if (velocity > 0) {
        m->order[pitch] = ++m->orders;
        if (others && m->open)
            glide_to(d, m, pitch);
        else
            start(d, m, pitch, velocity);
        m->key = pitch;
    } else if (m->open && pitch == m->key) {
        m->open = others;
        m->key = last_key(m);
        if (others) glide_to(d, m, m->key);
    }
}

static double oscillator(const Design *d, Memory *m) {
    double hz = at_most(440 * exp2((pitch_at(d, m) - 69) / 12), 0.49 * d->sample_rate);
    m->phase += 2 * PI / d->sample_rate * hz;
    if (m->phase > 2 * PI) m->phase -= 2 * PI;
    double width = 0, shape = d->knob[KNOB_OSC_SHAPE];
#ifdef KNOB_OSC_WIDTH
    width = d->knob[KNOB_OSC_WIDTH];
#endif
    double sharpness = PI / 2 * PARTIALS_BELOW / (hz * log10(hz)) * exp(OSC_EDGE);
    double square = tanh(sharpness * (sin(m->phase) + width)), mean = 1 - shape / 2;
    return square * (mean + mean * shape * cos(m->phase)) + OSC_DC;
}

static double between(double left, double right, double way) { return left + way * (right - left); }

/* The poles first, then the zeros, with the coefficients of this sample. */
static double moving_filter(const Section *now, const Section *next, double way, double *memory, double x) {
    double v = x - between(now->a[1], next->a[1], way) * memory[0] - between(now->a[2], next->a[2], way) * memory[1];
    double y = between(now->b[0], next->b[0], way) * v + between(now->b[1], next->b[1], way) * memory[0] +
               between(now->b[2], next->b[2], way) * memory[1];
    memory[1] = memory[0];
    memory[0] = v;
    return y;
}

static double tick(const Design *d, Memory *m) {
    if (m->offset == 0) {
        m->now = m->next;
        next_frame(d, m);
    }
    double way = (double)m->offset / HOP;
    double x = oscillator(d, m) * d->knob[KNOB_OSC_GAIN] * between(m->now.level, m->next.level, way);
    for (int i = 0; i < SECTIONS; i++) x = moving_filter(&m->now.section[i], &m->next.section[i], way, m->filter[i], x);
    double bent = tanh(d->knob[KNOB_DIST_GAIN] * x), y = bent + TILT * m->last;
    m->last = bent;
#ifdef KNOB_NOISE_DB
    y += d->noise * noise[m->noise_at];
#endif
    m->offset = m->offset + 1 == HOP ? 0 : m->offset + 1;
    m->sample += 1;
    return y * d->knob[KNOB_LEVEL] * m->velocity;
}

static void run(const Design *d, Memory *m, const float *const *in, float *const *out, int frames) {
    (void)in;
    for (int n = 0; n < frames; n++) {
        float y = m->open ? (float)tick(d, m) : 0;
        for (int c = 0; c < CHANNELS; c++) out[c][n] = y;
        m->noise_at = (m->noise_at + 1) % NOISE_LENGTH;
    }
}

#include "instance.h"
