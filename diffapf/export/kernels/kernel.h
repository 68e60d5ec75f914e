/* What every kernel offers to whatever hosts it: the only thing that wrappers know of a model.
 *
 * model.h, which `diffapf export` writes, holds what this model is: its name, INPUTS and OUTPUTS, KNOBS and the table
 * `knobs`, and the numbers that were fitted. Signals are float, everything inside is double.
 */
#ifndef DIFFAPF_KERNEL_H
#define DIFFAPF_KERNEL_H

#ifdef __cplusplus
extern "C" {
#endif

/* A parameter that a player turns, in its own unit. */
typedef struct {
    const char *symbol, *name, *unit;
    double minimum, maximum, initial;
    int logarithmic;
} Knob;

typedef struct Kernel Kernel;

/* Ready to play from silence, with the knobs where the model has them. NULL: no memory, or a sample rate (in Hz) out of reach.
 * The only call that allocates; every coefficient is derived from physical numbers for this rate. */
Kernel *kernel_new(double sample_rate);
void kernel_free(Kernel *);

/* Turns a knob to a value in its unit, held within its range. While sound runs it gets there in 20 ms. */
void kernel_set(Kernel *, int knob, double value);

/* Back to silence and to the LFO's start; knobs stay, and are where they were turned to. */
void kernel_reset(Kernel *);

/* The next `frames` samples, in blocks of any sizes; `out` may be `in`. */
void kernel_process(Kernel *, const float *const *in, float *const *out, int frames);

/* Samples that the output comes late. */
int kernel_latency(const Kernel *);

/* Of instruments: a key of MIDI pitch is pressed with a velocity above 0 to 1, or let go, velocity 0, before the next sample. */
void kernel_note(Kernel *, int pitch, double velocity);

#ifdef __cplusplus
}
#endif

#endif
