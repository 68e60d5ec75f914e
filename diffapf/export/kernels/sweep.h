/* What moves a phaser: an LFO, its shape, and the break frequency of the all-passes as v = artanh p, at the control rate. */

/* What the control rate knows. */
typedef struct {
    int hop; /* samples a frame; a half is rounded to the even number */
    double sample_rate, frame_seconds, knob[KNOBS];
} Control;

static Control control_at(const double *knob, double sample_rate) {
    Control control = {(int)at_least(nearbyint(HOP_SECONDS * sample_rate), 1), sample_rate, 0, {0}};
    control.frame_seconds = control.hop / sample_rate;
    for (int i = 0; i < KNOBS; i++) control.knob[i] = knob[i];
    return control;
}

/* Where the LFO is: cycles since a frame at which its rate was set, so that turning the rate never makes it jump. */
typedef struct {
    double frame, since, cycles, rate_hz;
} Clock;

static double lfo_cycles(const Clock *clock, double frame_seconds) {
    double seconds = (clock->frame - clock->since) * frame_seconds;
    return clock->cycles + clock->rate_hz * seconds;
}

/* From the start of the stream, at which the LFO's own clock stands at -LFO_ORIGIN. */
static void start_clock(Clock *clock, double rate_hz) {
    clock->frame = clock->since = 0;
    clock->rate_hz = rate_hz;
    clock->cycles = LFO_PHASE_CYCLES - rate_hz * LFO_ORIGIN;
}

#if LFO_DRIFT_KNOTS
static double drift(double seconds) {
    double position = (seconds - LFO_DRIFT_START) / LFO_DRIFT_SPACING;
    double left = at_most(at_least(floor(position), 0), LFO_DRIFT_KNOTS - 2);
    const double *d = lfo_drift + (int)left;
    return d[0] + (position - left) * (d[1] - d[0]);
}
#endif

static double lfo_value(const double *knob, double cycles) {
    double theta = 2 * PI * (cycles - floor(cycles)), s = 0;
#if LFO_HARMONICS
    for (int k = 1; k <= LFO_HARMONICS; k++) s += lfo_cosines[k - 1] * cos(k * theta) + lfo_sines[k - 1] * sin(k * theta);
    return knob[KNOB_DEPTH] * s;
#else
    s = knob[KNOB_AMPLITUDE] * cos(theta);
#if SHAPER_WIDTH
    const double *w = shaper;
    double now[SHAPER_WIDTH], next[SHAPER_WIDTH];
    int inputs = 1;
    now[0] = s;
    for (int layer = 0; layer < SHAPER_HIDDEN; layer++) {
        for (int i = 0; i < SHAPER_WIDTH; i++) {
            next[i] = w[SHAPER_WIDTH * inputs + i];
            for (int j = 0; j < inputs; j++) next[i] += w[i * inputs + j] * now[j];
        }
        w += SHAPER_WIDTH * (inputs + 1);
        inputs = SHAPER_WIDTH;
        for (int i = 0; i < SHAPER_WIDTH; i++) now[i] = tanh(next[i]);
    }
    s = SHAPER_RESIDUAL * s + w[inputs];
    for (int j = 0; j < inputs; j++) s += w[j] * now[j];
#endif
    return s;
#endif
}

static double break_frequency(const double *knob, double s) {
#if defined KNOB_CENTRE_HZ
    return knob[KNOB_CENTRE_HZ] * exp2(s);
#elif defined KNOB_LOW_HZ
    double low = log(knob[KNOB_LOW_HZ]), high = log(knob[KNOB_HIGH_HZ]);
    return exp(low + (high - low) * (0.5 + 0.5 * s));
#else
    double t = tan(knob[KNOB_BIAS] + knob[KNOB_DEPTH] * (1 + s) / 2), v = (1 - t) / (1 + t);
    return SWEEP_RATE / PI * atan(exp(-2 * v));
#endif
}

/* v of the present frame; then the clock goes on to the next. */
static double next_frame(Clock *clock, const Control *control) {
    double rate_hz = control->knob[KNOB_RATE_HZ];
    if (rate_hz != clock->rate_hz) {
        clock->cycles = lfo_cycles(clock, control->frame_seconds);
        clock->since = clock->frame;
        clock->rate_hz = rate_hz;
    }
    double cycles = lfo_cycles(clock, control->frame_seconds);
#if LFO_DRIFT_KNOTS
    cycles += drift(clock->frame * control->frame_seconds);
#endif
    clock->frame += 1;
    double hz = break_frequency(control->knob, lfo_value(control->knob, cycles));
    return -0.5 * log(tan(PI / control->sample_rate * at_most(hz, 0.49 * control->sample_rate)));
}

#if WITH_DELAY
/* A delay by d samples through four points of a polynomial. */
static void delay_taps(double d, double taps[4]) {
    for (int k = 0; k < 4; k++) {
        taps[k] = 1;
        for (int m = 0; m < 4; m++)
            if (m != k) taps[k] *= (d - m) / (k - m);
    }
}
#endif

/* The input filter, or that of the dry path, at this rate, and the delay after it. */
static void design_filter(const double *b, const double *a, double sample_rate, double *to_b, double *to_a) {
    for (int k = 0; k < FILTER_TAPS; k++) to_b[k] = to_a[k] = 0;
#if WITH_DELAY
    double plain[FILTER_TAPS], taps[4];
    at_rate(b, a, FILTER_ORDER, sample_rate / LEARNED_AT, plain, to_a);
    delay_taps(1e-6 * sample_rate * DELAY_US, taps);
    add_product(to_b, 1, plain, FILTER_ORDER + 1, taps, 4);
#else
    at_rate(b, a, FILTER_ORDER, sample_rate / LEARNED_AT, to_b, to_a);
#endif
}
