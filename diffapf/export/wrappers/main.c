/* The kernel as a program: interleaved 32-bit floats in, the same out.
 *
 *     ./NAME 44100 < in.raw > out.raw
 */
#include <stdio.h>
#include <stdlib.h>

#include "model.h"
#if defined _WIN32
#include <fcntl.h>
#include <io.h>
#endif

#define BLOCK 512

int main(int count, char **arguments) {
    static float in[CHANNELS][BLOCK], out[CHANNELS][BLOCK];
    const float *from[CHANNELS];
    float *to[CHANNELS], frame[CHANNELS];
    Kernel *kernel = count == 2 ? kernel_new(atof(arguments[1])) : NULL;
    if (!kernel) {
        fprintf(stderr, "usage: %s SAMPLE_RATE < in.raw > out.raw, interleaved 32-bit floats\n", arguments[0]);
        return 2;
    }
#if defined _WIN32
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
#endif
    for (int c = 0; c < CHANNELS; c++) from[c] = in[c], to[c] = out[c];
    for (int frames = BLOCK; frames == BLOCK;) {
        for (frames = 0; frames < BLOCK && fread(frame, sizeof frame, 1, stdin) == 1; frames++)
            for (int c = 0; c < CHANNELS; c++) in[c][frames] = frame[c];
        kernel_process(kernel, from, to, frames);
        for (int n = 0; n < frames; n++) {
            for (int c = 0; c < CHANNELS; c++) frame[c] = out[c][n];
            fwrite(frame, sizeof frame, 1, stdout);
        }
    }
    kernel_free(kernel);
    return 0;
}
