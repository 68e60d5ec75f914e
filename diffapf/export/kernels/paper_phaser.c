/* The published phaser: one filter of order FILTER_ORDER + STAGES, whose coefficients are interpolated between control frames.
 *
 *     Y/X = BQ (g1 (A - g2 B) + B) / (A - g2 B),  A = (1 - p z^-1)^STAGES, B its reverse; the FIR part first, then the poles
 */
#include "model.h"

#include "filters.h"
#include "sweep.h"

#define ORDER (FILTER_TAPS - 1 + STAGES)

typedef struct {
    int latency;
    Control control;
    double b[FILTER_TAPS], a[FILTER_TAPS];
} Design;

typedef struct {
    double b[ORDER + 1], a[ORDER + 1];
} Frame;

typedef struct {
    Clock clock;
    int offset;
    Frame now, next;
    double x[CHANNELS][ORDER], y[CHANNELS][ORDER]; /* newest first */
} Memory;

static int designed(Design *d, const double *knob, double sample_rate) {
    d->latency = 0;
    d->control = control_at(knob, sample_rate);
    design_filter(input_b, input_a, sample_rate, d->b, d->a);
    return 1;
}

static void next_coefficients(const Design *d, Memory *m) {
    double p = tanh(next_frame(&m->clock, &d->control));
    double a[STAGES + 1], b[STAGES + 1], numerator[STAGES + 1], term = 1;
    for (int i = 0; i <= STAGES; i++) {
        a[i] = term;
        term *= -p * (STAGES - i) / (i + 1);
    }
    for (int i = 0; i <= STAGES; i++) b[i] = (STAGES % 2 ? -1 : 1) * a[STAGES - i];
    double scale = 1 / (a[0] - d->control.knob[KNOB_FEEDBACK] * b[0]);
    for (int i = 0; i <= STAGES; i++) {
        a[i] -= d->control.knob[KNOB_FEEDBACK] * b[i];
        numerator[i] = d->control.knob[KNOB_THROUGH] * a[i] + b[i];
    }
    for (int i = 0; i <= ORDER; i++) m->next.b[i] = m->next.a[i] = 0;
    add_product(m->next.b, scale, d->b, FILTER_TAPS, numerator, STAGES + 1);
    add_product(m->next.a, scale, d->a, FILTER_TAPS, a, STAGES + 1);
}

static void rest(const Design *d, Memory *m) {
    start_clock(&m->clock, d->control.knob[KNOB_RATE_HZ]);
    next_coefficients(d, m);
}

static double tick(const Frame *f, double *x, double *y, double in) {
    double sum = f->b[0] * in;
    for (int i = 1; i <= ORDER; i++) sum += f->b[i] * x[i - 1];
    for (int i = 1; i <= ORDER; i++) sum -= f->a[i] * y[i - 1];
    for (int i = ORDER - 1; i > 0; i--) x[i] = x[i - 1], y[i] = y[i - 1];
    x[0] = in;
    y[0] = settled(sum);
    return sum;
}

static void run(const Design *d, Memory *m, const float *const *in, float *const *out, int frames) {
    for (int n = 0; n < frames; n++) {
        if (m->offset == 0) {
            m->now = m->next;
            next_coefficients(d, m);
        }
        double weight = (double)m->offset / d->control.hop;
        Frame f;
        for (int i = 0; i <= ORDER; i++) {
            f.b[i] = m->now.b[i] + weight * (m->next.b[i] - m->now.b[i]);
            f.a[i] = m->now.a[i] + weight * (m->next.a[i] - m->now.a[i]);
        }
        m->offset = m->offset + 1 == d->control.hop ? 0 : m->offset + 1;
        for (int c = 0; c < CHANNELS; c++) out[c][n] = (float)tick(&f, m->x[c], m->y[c], in[c][n]);
    }
}

#include "instance.h"
