/* A levelling amplifier: a lamp and a photocell in a feedback loop, then an output stage.
 *
 *     c = (1 - w) c1 + w c2,  gain = 1 / (1 + c^q),  u = |x| gain^phi / T, the gain of the sample before
 *     light: u^p, or B exp(-1 / sqrt u);  c1 follows the light, c2 the light, c1, or fills as traps
 *     y = make-up (v - tau v' + sigma v'' + sum h_i L_i v + sum k_j v^j),  v = x gain, L_i one-pole low-passes
 */
#include "model.h"

#include "filters.h"

enum { PARALLEL, MEMORY, TRAPS };
#define DARK 1e-12
#define SILENT 1e-10

typedef struct {
    int latency;
    double log_threshold, lamp, feedback, curve, attack, release, speed, share, slow_attack, slow_release;
    double makeup, delay, smear, rates[POLES + 1];
} Design;

typedef struct {
    double fast, held, before, present, low[POLES + 1];
} Channel;

typedef struct {
    Channel channel[CHANNELS];
} Memory;

static int designed(Design *d, const double *knob, double sample_rate) {
    d->latency = WITH_DELAY;
    d->log_threshold = log(amplitude(knob[KNOB_THRESHOLD_DB]));
#ifdef KNOB_EXPONENT
    d->lamp = knob[KNOB_EXPONENT];
#else
    d->lamp = log(knob[KNOB_BRIGHTNESS]);
#endif
    d->feedback = knob[KNOB_FEEDBACK];
    d->curve = knob[KNOB_CURVE];
    d->attack = smoothing_rate(knob[KNOB_ATTACK_MS], sample_rate, 1);
    d->release = smoothing_rate(knob[KNOB_RELEASE_MS], sample_rate, 1);
    d->speed = d->share = d->slow_attack = d->slow_release = 0;
#ifdef KNOB_SPEED
    d->speed = knob[KNOB_SPEED];
#endif
#ifdef KNOB_SHARE
    d->share = knob[KNOB_SHARE];
    d->slow_attack = smoothing_rate(knob[KNOB_SLOW_ATTACK_MS], sample_rate, 1);
    d->slow_release = smoothing_rate(knob[KNOB_SLOW_RELEASE_MS], sample_rate, 1);
#endif
    d->makeup = amplitude(knob[KNOB_MAKEUP_DB]);
    d->delay = DELAY_US * 1e-6 * sample_rate / 2;
    d->smear = SMEAR_US2 * 1e-12 * sample_rate * sample_rate;
    for (int i = 0; i < POLES; i++) d->rates[i] = -expm1(-2 * PI * corners_hz[i] / sample_rate);
    return 1;
}

static void rest(const Design *d, Memory *m) { (void)d, (void)m; }

/* q log c of the cell's carriers. */
static double log_power(const Design *d, const Channel *c) {
    return d->curve * log(at_least((1 - d->share) * c->fast + d->share * c->held, DARK));
}

/* The gain after this sample's light. */
static double cell(const Design *d, Channel *c, double x) {
    double log_gain = -log1p(exp(log_power(d, c)));
    double v = log(at_least(fabs(x), SILENT)) + d->feedback * log_gain - d->log_threshold;
#ifdef KNOB_EXPONENT
    double light = exp(d->lamp * v);
#else
    double light = exp(d->lamp - exp(-v / 2));
#endif
    double rate = light > c->fast ? d->attack : d->release;
    c->fast += rate * (1 + d->speed * c->fast) / (1 + rate * d->speed * c->fast) * (light - c->fast);
    if (SLOW == TRAPS) {
        c->held = (c->held + d->slow_attack * c->fast) / (1 + d->slow_attack * c->fast + d->slow_release);
    } else {
        double drive = SLOW == MEMORY ? c->fast : light;
        c->held += (drive > c->held ? d->slow_attack : d->slow_release) * (drive - c->held);
    }
    return 1 / (1 + exp(log_power(d, c)));
}

static double output_stage(const Design *d, Channel *c, double newest) {
    double v = WITH_DELAY ? c->present : newest, sum = v;
    if (WITH_DELAY) sum += d->delay * (c->before - newest) + d->smear * (c->before - 2 * v + newest);
    c->before = c->present;
    c->present = newest;
    for (int i = 0; i < POLES; i++) {
        c->low[i] = d->rates[i] * v + (1 - d->rates[i]) * c->low[i];
        sum += pole_weights[i] * c->low[i];
    }
    double power = v;
    for (int i = 0; i < POWERS; i++) sum += saturation[i] * (power *= v);
    return d->makeup * sum;
}

static void run(const Design *d, Memory *m, const float *const *in, float *const *out, int frames) {
    for (int c = 0; c < CHANNELS; c++) {
        Channel *channel = &m->channel[c];
        for (int n = 0; n < frames; n++) {
            double x = in[c][n];
            out[c][n] = (float)output_stage(d, channel, x * cell(d, channel, x));
        }
        channel->fast = settled(channel->fast);
        channel->held = settled(channel->held);
        for (int i = 0; i < POLES; i++) channel->low[i] = settled(channel->low[i]);
    }
}

#include "instance.h"
