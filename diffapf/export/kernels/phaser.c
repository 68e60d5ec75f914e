/* A phaser: first-order all-passes swept by an LFO, in a feedback loop, mixed with the signal itself.
 *
 *     x -- filter -- u -- (+) -- e -- all-pass x STAGES, coefficient p -- w -- (+) -- y
 *                    |     |                                              |     |
 *                    |     +-------------- loop filter <------------------+     |
 *                    +--------------------- through g1 -------------------------+
 *
 *     y_k[n] = p (y_k-1[n] + y_k[n-1]) - y_k-1[n-1],  e = u + f,  f[n] = c0 w[n-d] + c1 w[n-1-d] + a f[n-1],  d = LOOP_DELAY
 *
 * The loop without delay is solved at each sample: w = p^STAGES e + S, S from the past alone.
 */
#include "model.h"

#include "filters.h"
#include "sweep.h"

typedef struct {
    int latency;
    Control control;
    double b[FILTER_TAPS], a[FILTER_TAPS], dry_b[FILTER_TAPS], dry_a[FILTER_TAPS];
    double through, c0, c1, pole;
} Design;

typedef struct {
    double filter[FILTER_TAPS], dry[FILTER_TAPS];
    double e, stage[STAGES], f, older_w;
} Channel;

typedef struct {
    Clock clock;
    int offset; /* samples into the present frame */
    double v;   /* of the next frame */
    double power, ratio; /* exp(2 v) between frames, by equal ratios: tanh v = (power - 1) / (power + 1) */
    Channel channel[CHANNELS];
} Memory;

static int designed(Design *d, const double *knob, double sample_rate) {
    d->latency = 0;
    d->control = control_at(knob, sample_rate);
    design_filter(input_b, input_a, sample_rate, d->b, d->a);
#if DRY_FILTER
    design_filter(dry_b, dry_a, sample_rate, d->dry_b, d->dry_a);
    d->through = 0;
#else
    d->through = knob[KNOB_THROUGH];
#endif
    double b0 = 1, b1 = 0;
    d->pole = 0;
#ifdef KNOB_FEEDBACK_HIGHPASS_HZ
    double t = tan(PI * knob[KNOB_FEEDBACK_HIGHPASS_HZ] / sample_rate);
    b0 = 1 / (1 + t);
    b1 = -b0;
    d->pole = (1 - t) / (1 + t);
#ifdef KNOB_FEEDBACK_FLOOR
    b0 += knob[KNOB_FEEDBACK_FLOOR] * (1 - b0);
    b1 -= knob[KNOB_FEEDBACK_FLOOR] * (d->pole + b1);
#endif
#endif
    d->c0 = knob[KNOB_FEEDBACK] * b0;
    d->c1 = knob[KNOB_FEEDBACK] * b1;
    return 1;
}

static void rest(const Design *d, Memory *m) {
    start_clock(&m->clock, d->control.knob[KNOB_RATE_HZ]);
    m->v = next_frame(&m->clock, &d->control);
}

static double coefficient(const Design *d, Memory *m) {
    if (m->offset == 0) {
        double v = m->v;
        m->v = next_frame(&m->clock, &d->control);
        m->power = exp(2 * v);
        m->ratio = exp(2 * (m->v - v) / d->control.hop);
    }
    double p = (m->power - 1) / (m->power + 1);
    m->power *= m->ratio;
    m->offset = m->offset + 1 == d->control.hop ? 0 : m->offset + 1;
    return p;
}

/* The stages after e, with p; their memory is theirs before this sample. Returns w. */
static inline double through_stages(const Channel *c, double p, double e, double after[STAGES]) {
    double in = e, before = c->e;
    for (int k = 0; k < STAGES; k++) {
        after[k] = p * (in + c->stage[k]) - before;
        in = after[k];
        before = c->stage[k];
    }
    return in;
}

static inline double tick(const Design *d, Channel *c, double p, double scale, double x) {
    double u = filtered(d->b, d->a, FILTER_TAPS, c->filter, x), after[STAGES], last = c->stage[STAGES - 1], e, w;
#if LOOP_DELAY
    (void)scale;
    c->f = d->c0 * last + d->c1 * c->older_w + d->pole * c->f;
    e = u + c->f;
    w = through_stages(c, p, e, after);
#else
    double past = through_stages(c, p, 0, after), loop = d->c1 * last + d->pole * c->f;
    e = (u + loop + d->c0 * past) * scale;
    w = through_stages(c, p, e, after);
    c->f = d->c0 * w + loop;
#endif
    c->older_w = last;
    c->e = e;
    for (int k = 0; k < STAGES; k++) c->stage[k] = after[k];
#if DRY_FILTER
    return w + filtered(d->dry_b, d->dry_a, FILTER_TAPS, c->dry, x);
#else
    return w + d->through * u;
#endif
}

static void settle(Channel *c) {
    for (int k = 0; k < FILTER_TAPS; k++) c->filter[k] = settled(c->filter[k]), c->dry[k] = settled(c->dry[k]);
    for (int k = 0; k < STAGES; k++) c->stage[k] = settled(c->stage[k]);
    c->e = settled(c->e);
    c->f = settled(c->f);
    c->older_w = settled(c->older_w);
}

static void run(const Design *d, Memory *m, const float *const *in, float *const *out, int frames) {
    for (int n = 0; n < frames; n++) {
        double p = coefficient(d, m), chain = 1;
        for (int k = 0; k < STAGES; k++) chain *= p;
        double scale = 1 / (1 - d->c0 * chain);
        for (int c = 0; c < CHANNELS; c++) out[c][n] = (float)tick(d, &m->channel[c], p, scale, in[c][n]);
    }
    for (int c = 0; c < CHANNELS; c++) settle(&m->channel[c]);
}

#include "instance.h"
