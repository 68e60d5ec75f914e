/* Filters that several models are made of. */
#include <math.h>

#define PI 3.14159265358979323846
#define SMALLEST 1e-38 /* memories below are silence: what is too small for normal numbers is slow, here and behind */

static inline double at_least(double x, double least) { return x < least ? least : x; }
static inline double at_most(double x, double most) { return x > most ? most : x; }
static inline double settled(double x) { return fabs(x) < SMALLEST ? 0 : x; }
static inline double amplitude(double decibels) { return pow(10, decibels / 20); }

/* b and a, a[0] = 1, in the transposed direct form II; memory: taps - 1 numbers. */
static inline double filtered(const double *b, const double *a, int taps, double *memory, double x) {
    double y = taps > 1 ? b[0] * x + memory[0] : b[0] * x;
    for (int i = 1; i < taps - 1; i++) memory[i - 1] = b[i] * x - a[i] * y + memory[i];
    if (taps > 1) memory[taps - 2] = b[taps - 1] * x - a[taps - 1] * y;
    return y;
}

/* to += factor * left * right; `to` has room for all of it. */
static inline void add_product(double *to, double factor, const double *left, int nl, const double *right, int nr) {
    for (int i = 0; i < nl; i++)
        for (int j = 0; j < nr; j++) to[i + j] += factor * left[i] * right[j];
}

#define MOST_TAPS 32

/* The same analogue filter at `ratio` times the rate: z^-1 becomes ((1 - r) + (1 + r) z^-1) / ((1 + r) + (1 - r) z^-1). */
static inline void change_sample_rate(double *polynomial, int order, double ratio) {
    double numerator[2] = {1 - ratio, 1 + ratio}, denominator[2] = {1 + ratio, 1 - ratio}, sum[MOST_TAPS] = {0};
    for (int i = 0; i <= order; i++) {
        double term[MOST_TAPS] = {0}, next[MOST_TAPS];
        term[0] = polynomial[i];
        for (int j = 0; j < order; j++) {
            for (int k = 0; k <= order; k++) next[k] = 0;
            add_product(next, 1, term, j + 1, j < i ? numerator : denominator, 2);
            for (int k = 0; k <= order; k++) term[k] = next[k];
        }
        for (int k = 0; k <= order; k++) sum[k] += term[k];
    }
    for (int k = 0; k <= order; k++) polynomial[k] = sum[k];
}

/* (b, a) as it was fitted at one rate, at `ratio` times that. */
static inline void at_rate(const double *b, const double *a, int order, double ratio, double *to_b, double *to_a) {
    for (int k = 0; k <= order; k++) to_b[k] = b[k], to_a[k] = a[k];
    if (ratio == 1) return;
    change_sample_rate(to_b, order, ratio);
    change_sample_rate(to_a, order, ratio);
    double scale = 1 / to_a[0];
    for (int k = 0; k <= order; k++) to_b[k] *= scale, to_a[k] *= scale;
}

/* The share of the way that a one-pole goes in a sample, for a time in ms. */
static inline double smoothing_rate(double ms, double sample_rate, double convention) {
    return -expm1(-1000 * convention / (ms * sample_rate));
}
