/* The kernel as a plugin of DPF, which makes VST3 and CLAP of it. */
#if !defined __cpp_exceptions
/* DPF's few handlers catch what cannot be thrown then; the library's own headers come first. */
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>
#define try if (true)
#define catch(...) if (false)
#endif

#include <DistrhoPlugin.hpp>

#if defined __linux__
/* Zig links no code that ends a library: without it, what is to run then would run at the host's end, when it is unloaded. */
extern "C" void __cxa_finalize(void *);
extern "C" __attribute__((visibility("hidden"))) void *__dso_handle;
__attribute__((destructor)) static void finalize() { __cxa_finalize(&__dso_handle); }
#endif

START_NAMESPACE_DISTRHO

class KernelPlugin : public Plugin {
public:
    KernelPlugin() : Plugin(KNOBS, 0, 0) {
        for (int i = 0; i < KNOBS; i++) values[i] = static_cast<float>(knobs[i].initial);
        start();
    }

    ~KernelPlugin() override { kernel_free(kernel); }

protected:
    const char *getLabel() const override { return MODEL_SYMBOL; }
    const char *getMaker() const override { return "diffapf"; }
    const char *getLicense() const override { return "MIT"; }
    uint32_t getVersion() const override { return d_version(1, 0, 0); }
    int64_t getUniqueId() const override { return MODEL_ID; }

    void initParameter(uint32_t i, Parameter &parameter) override {
        parameter.hints = kParameterIsAutomatable | (knobs[i].logarithmic ? kParameterIsLogarithmic : 0);
        parameter.name = knobs[i].name;
        parameter.symbol = knobs[i].symbol;
        parameter.unit = knobs[i].unit;
        parameter.ranges.min = static_cast<float>(knobs[i].minimum);
        parameter.ranges.max = static_cast<float>(knobs[i].maximum);
        parameter.ranges.def = values[i];
    }

    float getParameterValue(uint32_t i) const override { return values[i]; }

    void setParameterValue(uint32_t i, float value) override {
        values[i] = value;
        turn(i);
    }

    void activate() override {
        if (kernel) kernel_reset(kernel);
    }

    void sampleRateChanged(double) override { start(); }

#ifdef INSTRUMENT
    void run(const float **, float **outputs, uint32_t frames, const MidiEvent *events, uint32_t count) override {
        uint32_t done = 0;
        for (uint32_t i = 0; i < count; i++) {
            play(nullptr, outputs, done, events[i].frame);
            done = events[i].frame > done ? events[i].frame : done;
            press(events[i]);
        }
        play(nullptr, outputs, done, frames);
    }
#else
    void run(const float **inputs, float **outputs, uint32_t frames) override { play(inputs, outputs, 0, frames); }
#endif

private:
    Kernel *kernel = nullptr;
    float values[KNOBS];

    /* At a rate that is out of the kernel's reach there is none, and silence. */
    void start() {
        kernel_free(kernel);
        kernel = kernel_new(getSampleRate());
        for (uint32_t i = 0; i < KNOBS; i++) turn(i);
        if (!kernel) return;
        kernel_reset(kernel);
#ifdef LATENT
        setLatency(static_cast<uint32_t>(kernel_latency(kernel)));
#endif
    }

    /* The model's own value comes through floats as it is. */
    void turn(uint32_t i) {
        if (!kernel) return;
        const bool own = values[i] == static_cast<float>(knobs[i].initial);
        kernel_set(kernel, static_cast<int>(i), own ? knobs[i].initial : values[i]);
    }

    void play(const float **inputs, float **outputs, uint32_t first, uint32_t last) {
        if (last <= first) return;
        const float *from[INPUTS + 1] = {};
        float *to[OUTPUTS];
        for (int c = 0; c < INPUTS; c++) from[c] = inputs[c] + first;
        for (int c = 0; c < OUTPUTS; c++) to[c] = outputs[c] + first;
        if (kernel)
            kernel_process(kernel, from, to, static_cast<int>(last - first));
        else
            for (int c = 0; c < OUTPUTS; c++) std::memset(to[c], 0, sizeof(float) * (last - first));
    }

#ifdef INSTRUMENT
    void press(const MidiEvent &event) {
        if (!kernel || event.size < 3) return;
        const int kind = event.data[0] & 0xF0;
        if (kind == 0x90) kernel_note(kernel, event.data[1], event.data[2] / 127.0);
        if (kind == 0x80) kernel_note(kernel, event.data[1], 0);
    }
#endif
};

Plugin *createPlugin() { return new KernelPlugin(); }

END_NAMESPACE_DISTRHO
