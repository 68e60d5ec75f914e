/* A feed-forward compressor, limiter and expander.
 *
 *     x --+------------------------- delay -- x -- (mix) -- y
 *         |                                   |
 *         +-- level -- curve -- attack, release -- make-up       SMOOTHED: a gain, after the curve; or a level, before it
 *
 * model.h says of which parts: RECTIFIER, LINK, AVERAGE, SMOOTHED, BALLISTICS and, by its knobs, release, knee and expander.
 */
#include "model.h"

#include <float.h>

#include "filters.h"

enum { SQUARE, ABSOLUTE, HALF_WAVE, SIGNED };
enum { NO_LINK, MAXIMUM, MEAN };
enum { NO_AVERAGE, ONE_POLE, BOXCAR };
enum { GAIN, GAIN_DB, AMPLITUDE, POWER, LEVEL_DB };
enum { BRANCHING, DECOUPLED };

#define LEVELS (LINK == NO_LINK ? CHANNELS : 1)
#define OF_GAIN (SMOOTHED == GAIN || SMOOTHED == GAIN_DB)
#define RESTING (SMOOTHED == GAIN ? 1.0 : SMOOTHED == LEVEL_DB ? FLOOR_DB : 0.0)
#define GAIN_RESTING (SMOOTHED == GAIN_DB ? 0.0 : 1.0)
#define DECIBELS_OF_E (20 / log(10))
#define REACH 8 /* samples on either side that the look-ahead's interpolation reads */
#define LINE (LONGEST_LOOK_AHEAD + 2 * REACH + 1)

typedef struct {
    int latency, boxcar, whole;
    double floor, average, attack, release, threshold, slope, knee, expander_threshold, expansion, dry, wet;
    double taps[2 * REACH];
} Design;

typedef struct {
    double average, peak, smoothed;
    int place; /* in the pieces below */
    double piece[LONGEST_BOXCAR + 1], after[LONGEST_BOXCAR + 2], so_far;
    double gains[LINE];
} Level;

typedef struct {
    Level level[LEVELS];
    double audio[CHANNELS][LINE];
    int at; /* in the lines of the look-ahead */
} Memory;

static int designed(Design *d, const double *knob, double sample_rate) {
    if (sample_rate > HIGHEST_RATE) return 0;
    d->floor = pow(10, FLOOR_DB / (RECTIFIER == SQUARE ? 10.0 : 20.0));
    d->boxcar = (int)at_least(nearbyint(BOXCAR_MS * sample_rate / 1000), 1);
    d->average = 1;
#ifdef KNOB_AVERAGE_MS
    d->average = smoothing_rate(knob[KNOB_AVERAGE_MS], sample_rate, TIME_CONVENTION);
#endif
    d->attack = d->release = smoothing_rate(knob[KNOB_ATTACK_MS], sample_rate, TIME_CONVENTION);
#ifdef KNOB_RELEASE_MS
    d->release = smoothing_rate(knob[KNOB_RELEASE_MS], sample_rate, TIME_CONVENTION);
#endif
    d->threshold = knob[KNOB_THRESHOLD_DB];
    d->slope = 1;
#ifdef KNOB_RATIO
    d->slope = 1 - 1 / knob[KNOB_RATIO];
#endif
    d->knee = d->expansion = d->expander_threshold = 0;
#ifdef KNOB_KNEE_DB
    d->knee = knob[KNOB_KNEE_DB];
#endif
#ifdef KNOB_EXPANDER_RATIO
    d->expander_threshold = knob[KNOB_EXPANDER_THRESHOLD_DB];
    d->expansion = 1 / knob[KNOB_EXPANDER_RATIO] - 1;
#endif
    d->dry = 0;
    d->wet = amplitude(knob[KNOB_MAKEUP_DB]);
#ifdef KNOB_MIX
    d->dry = 1 - knob[KNOB_MIX];
    d->wet *= knob[KNOB_MIX];
#endif
    d->latency = 0;
#ifdef KNOB_LOOK_AHEAD_MS
    d->latency = (int)ceil(LONGEST_LOOK_AHEAD_MS * sample_rate / 1000) + REACH;
    double delay = d->latency - at_most(knob[KNOB_LOOK_AHEAD_MS], LONGEST_LOOK_AHEAD_MS) * sample_rate / 1000, sum = 0;
    d->whole = (int)floor(delay);
    for (int k = 0; k < 2 * REACH; k++) {
        double t = k + 1 - REACH - (delay - d->whole), window = cos(PI / 2 * t / (REACH + 1));
        d->taps[k] = (fabs(t) < 1e-9 ? 1 : sin(PI * t) / (PI * t)) * window * window;
        sum += d->taps[k];
    }
    for (int k = 0; k < 2 * REACH; k++) d->taps[k] /= sum;
#endif
    return 1;
}

static void rest(const Design *d, Memory *m) {
    (void)d;
    for (int i = 0; i < LEVELS; i++) {
        m->level[i].peak = m->level[i].smoothed = RESTING;
        for (int n = 0; n < LINE; n++) m->level[i].gains[n] = GAIN_RESTING;
    }
}

static double rectified(const Design *d, double x) {
    if (RECTIFIER == SQUARE) return at_least(x * x, d->floor);
    if (RECTIFIER == SIGNED) return x;
    return at_least(RECTIFIER == ABSOLUTE ? fabs(x) : x, d->floor);
}

/* The mean of the last `length`: sums within pieces of that length, from both ends, so that no error grows as in a running sum. */
static double moving_mean(Level *l, int length, double x) {
    l->piece[l->place] = x;
    l->so_far += x;
    double sum = l->so_far + l->after[l->place + 1];
    if (++l->place == length) {
        l->place = 0;
        l->so_far = 0;
        l->after[length] = 0;
        for (int i = length - 1; i >= 0; i--) l->after[i] = l->after[i + 1] + l->piece[i];
    }
    return sum / length;
}

static double averaged(const Design *d, Level *l, double level) {
    if (AVERAGE == ONE_POLE) return l->average = d->average * level + (1 - d->average) * l->average;
    return AVERAGE == BOXCAR ? moving_mean(l, d->boxcar, level) : level;
}

/* 0 below -W/2, u above W/2, a parabola between. */
static double ramp(double u, double width) {
    if (u >= width / 2) return u;
    if (u <= -width / 2) return 0;
    return (u + width / 2) * (u + width / 2) / (2 * width);
}

/* The gain in dB that is wanted at a level in dB. */
static double curve(const Design *d, double level) {
    return -d->slope * ramp(level - d->threshold, d->knee) - d->expansion * ramp(d->expander_threshold - level, d->knee);
}

static double in_decibels(double level, int of_power) {
    return (of_power ? 0.5 : 1.0) * DECIBELS_OF_E * log(at_least(level, DBL_MIN));
}

static double followed(double *past, double x, double falling, double rising) {
    double rate = x < *past ? falling : rising;
    return *past = rate * x + (1 - rate) * *past;
}

static double smoothed(const Design *d, Level *l, double x) {
#ifndef KNOB_RELEASE_MS
    return followed(&l->smoothed, x, d->attack, d->attack);
#else
    double attack = BALLISTICS == DECOUPLED ? 1 : d->attack;
    double *past = BALLISTICS == DECOUPLED ? &l->peak : &l->smoothed;
    double y = OF_GAIN ? followed(past, x, attack, d->release) : followed(past, x, d->release, attack);
    return BALLISTICS == DECOUPLED ? followed(&l->smoothed, y, d->attack, d->attack) : y;
#endif
}

/* From a level that is averaged to the gain, linear, or in dB where that is smoothed. */
static double gain_of(const Design *d, Level *l, double level) {
    int of_power = RECTIFIER == SQUARE;
    if (OF_GAIN) {
        double gain = curve(d, in_decibels(level, of_power));
        return smoothed(d, l, SMOOTHED == GAIN_DB ? gain : exp(gain / DECIBELS_OF_E));
    }
    if (SMOOTHED == LEVEL_DB) {
        level = smoothed(d, l, (of_power ? 10 : 20) * log10(at_least(level, d->floor)));
        return exp(curve(d, level) / DECIBELS_OF_E);
    }
    if (SMOOTHED == POWER && !of_power) level *= level;
    if (SMOOTHED == AMPLITUDE && of_power) level = sqrt(at_least(level, DBL_MIN));
    return exp(curve(d, in_decibels(smoothed(d, l, level), SMOOTHED == POWER)) / DECIBELS_OF_E);
}

static double ago(const double *line, int at, int samples) { return line[(at + LINE - samples) % LINE]; }

#ifdef KNOB_LOOK_AHEAD_MS
static double interpolated(const Design *d, const double *line, int at) {
    double sum = 0;
    for (int k = 0; k < 2 * REACH; k++) sum += d->taps[k] * ago(line, at, d->whole + 1 - REACH + k);
    return sum;
}
#endif

static void run(const Design *d, Memory *m, const float *const *in, float *const *out, int frames) {
    for (int n = 0; n < frames; n++) {
        double level[CHANNELS], gain[CHANNELS], linked = LINK == MAXIMUM ? -HUGE_VAL : 0;
        for (int c = 0; c < CHANNELS; c++) {
            m->audio[c][m->at] = in[c][n];
            level[c] = rectified(d, in[c][n]);
            linked = LINK == MAXIMUM ? at_least(level[c], linked) : linked + level[c] / CHANNELS;
        }
        for (int i = 0; i < LEVELS; i++) {
            Level *l = &m->level[i];
            gain[i] = gain_of(d, l, averaged(d, l, LINK == NO_LINK ? level[i] : linked));
#ifdef KNOB_LOOK_AHEAD_MS
            l->gains[m->at] = gain[i];
            gain[i] = interpolated(d, l->gains, m->at);
#endif
            if (SMOOTHED == GAIN_DB) gain[i] = amplitude(gain[i]);
        }
        for (int c = 0; c < CHANNELS; c++) {
            double x = ago(m->audio[c], m->at, d->latency);
            out[c][n] = (float)(x * (d->dry + d->wet * gain[LINK == NO_LINK ? c : 0]));
        }
        m->at = (m->at + 1) % LINE;
    }
    for (int i = 0; i < LEVELS; i++) m->level[i].average = settled(m->level[i].average);
}

#include "instance.h"
