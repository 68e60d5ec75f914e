/* A parametric equaliser: the cookbook's second-order sections in series.
 *
 * Source: Bristow-Johnson, "Audio EQ Cookbook" (W3C note, 2021).
 */
#include "model.h"

#include "filters.h"

enum { PEAK, LOW_SHELF, HIGH_SHELF, LOWPASS, HIGHPASS, BANDPASS, NOTCH, ALLPASS };
enum { SHAPE, FREQUENCY, Q, GAIN, FIXED_Q, COLUMNS }; /* of the table `bands`: knobs, -1 for none */
#define HIGHEST_OF_NYQUIST 0.95 /* where a band would lie above at this rate */

typedef struct {
    double b[3], a[3];
} Section;

typedef struct {
    int latency;
    Section section[BANDS];
} Design;

typedef struct {
    double memory[CHANNELS][BANDS][2];
} Memory;

static Section normalised(double b0, double b1, double b2, double a0, double a1, double a2) {
    Section s = {{b0 / a0, b1 / a0, b2 / a0}, {1, a1 / a0, a2 / a0}};
    return s;
}

/* The high shelf is the low one mirrored in frequency: the cosine's sign, and that of every odd coefficient. */
static Section shelf(double cosine, double alpha, double gain, int side) {
    double more = gain + 1, less = gain - 1, slope = 2 * sqrt(gain) * alpha;
    cosine *= side;
    return normalised(gain * (more - less * cosine + slope), side * 2 * gain * (less - more * cosine),
                      gain * (more - less * cosine - slope), more + less * cosine + slope,
                      side * -2 * (less + more * cosine), more + less * cosine - slope);
}

static Section band(int shape, double hz, double q, double gain_db, double sample_rate) {
    double omega = 2 * PI * hz / sample_rate, c = cos(omega), alpha = sin(omega) / (2 * q), gain = pow(10, gain_db / 40);
    switch (shape) {
    case PEAK: return normalised(1 + alpha * gain, -2 * c, 1 - alpha * gain, 1 + alpha / gain, -2 * c, 1 - alpha / gain);
    case LOW_SHELF: return shelf(c, alpha, gain, 1);
    case HIGH_SHELF: return shelf(c, alpha, gain, -1);
    case LOWPASS: return normalised((1 - c) / 2, 1 - c, (1 - c) / 2, 1 + alpha, -2 * c, 1 - alpha);
    case HIGHPASS: return normalised((1 + c) / 2, -1 - c, (1 + c) / 2, 1 + alpha, -2 * c, 1 - alpha);
    case BANDPASS: return normalised(alpha, 0, -alpha, 1 + alpha, -2 * c, 1 - alpha);
    case NOTCH: return normalised(1, -2 * c, 1, 1 + alpha, -2 * c, 1 - alpha);
    default: return normalised(1 - alpha, -2 * c, 1 + alpha, 1 + alpha, -2 * c, 1 - alpha);
    }
}

static int designed(Design *d, const double *knob, double sample_rate) {
    d->latency = 0;
    for (int i = 0; i < BANDS; i++) {
        const double *row = bands + i * COLUMNS;
        double hz = knob[(int)row[FREQUENCY]], q = row[Q] < 0 ? row[FIXED_Q] : knob[(int)row[Q]];
        if (hz >= sample_rate / 2) hz = HIGHEST_OF_NYQUIST * sample_rate / 2;
        d->section[i] = band((int)row[SHAPE], hz, q, row[GAIN] < 0 ? 0 : knob[(int)row[GAIN]], sample_rate);
    }
#ifdef KNOB_GAIN_DB
    for (int k = 0; k < 3; k++) d->section[BANDS - 1].b[k] *= amplitude(knob[KNOB_GAIN_DB]);
#endif
    return 1;
}

static void rest(const Design *d, Memory *m) { (void)d, (void)m; }

static void run(const Design *d, Memory *m, const float *const *in, float *const *out, int frames) {
    for (int c = 0; c < CHANNELS; c++) {
        for (int n = 0; n < frames; n++) {
            double y = in[c][n];
            for (int i = 0; i < BANDS; i++) y = filtered(d->section[i].b, d->section[i].a, 3, m->memory[c][i], y);
            out[c][n] = (float)y;
        }
        for (int i = 0; i < BANDS; i++)
            for (int k = 0; k < 2; k++) m->memory[c][i][k] = settled(m->memory[c][i][k]);
    }
}

#include "instance.h"
