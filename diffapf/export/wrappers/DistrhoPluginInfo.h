/* What DPF asks of a plugin, from the model's. */
#ifndef DISTRHO_PLUGIN_INFO_H_INCLUDED
#define DISTRHO_PLUGIN_INFO_H_INCLUDED
#include "model.h"

#define DISTRHO_PLUGIN_BRAND "diffapf"
#define DISTRHO_PLUGIN_NAME MODEL_NAME
#define DISTRHO_PLUGIN_URI "urn:diffapf:" MODEL_SYMBOL
#define DISTRHO_PLUGIN_CLAP_ID "diffapf." MODEL_SYMBOL
#define DISTRHO_PLUGIN_HAS_UI 0
#define DISTRHO_PLUGIN_IS_RT_SAFE 1
#define DISTRHO_PLUGIN_NUM_INPUTS INPUTS
#define DISTRHO_PLUGIN_NUM_OUTPUTS OUTPUTS
#ifdef LATENT
#define DISTRHO_PLUGIN_WANT_LATENCY 1 /* which adds a parameter */
#endif
#ifdef INSTRUMENT
#define DISTRHO_PLUGIN_IS_SYNTH 1
#define DISTRHO_PLUGIN_VST3_CATEGORIES "Instrument|Synth"
#define DISTRHO_PLUGIN_CLAP_FEATURES "instrument", "synthesizer"
#else
#define DISTRHO_PLUGIN_VST3_CATEGORIES "Fx"
#define DISTRHO_PLUGIN_CLAP_FEATURES "audio-effect"
#endif

#endif
