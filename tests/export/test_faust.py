"""Faust text equals the Python model, through Faust's C back end in double precision; what it cannot say is refused."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

from diffapf.effects.effect import Effect
from diffapf.export import NotExportableError, describe, export
from tests.export.models import AMPLIFIERS, EQUALIZERS, PARITY_DB, PHASERS, RATE, error_db, phaser, played, sound
from tests.export.test_plugins import needs

SAID = {f"phaser: {name}": PHASERS[name] for name in ("any curve", "even curve")} | {
    f"equalizer: {name}": make for name, make in EQUALIZERS.items()
}
CURVE = {"rate_hz": 7.0, "cosines": [0.8, 0.2], "sines": [0.1, -0.2], "origin": -0.3}
SAID |= {
    "phaser: dry filter, high-pass": lambda: phaser(
        lfo=CURVE,
        stages=6,
        filter_order=3,
        dry_filter=True,
        feedback_highpass_hz=130.0,
        feedback_floor=0.2,
        delay_us=60.0,
    ),
    "phaser: high-pass": lambda: phaser(lfo=CURVE, feedback_highpass_hz=130.0),
    "phaser: loop delay": lambda: phaser(lfo=CURVE, loop_delay=1, feedback_highpass_hz=130.0),
}
# What Faust's C declares and does not define; sound in double precision, as sliders are.
GLUE = """
#include <math.h>
#include <stdlib.h>
#define FAUSTFLOAT double
typedef struct {{ int none; }} Soundfile;
typedef struct {{ void (*declare)(void *, const char *, const char *); void *metaInterface; }} MetaGlue;
typedef struct {{
    void *uiInterface;
    void (*openVerticalBox)(void *, const char *), (*openHorizontalBox)(void *, const char *), (*closeBox)(void *);
    void (*addHorizontalSlider)(void *, const char *, double *, double, double, double, double);
    void (*declare)(void *, double *, const char *, const char *);
}} UIGlue;
#include "{0}"
void play(int rate, int frames, double **in, double **out) {{
    mydsp *dsp = newmydsp();
    initmydsp(dsp, rate);
    computemydsp(dsp, frames, in, out);
    deletemydsp(dsp);
}}
"""


def run(model: Effect, folder: Path, rate: int, x: np.ndarray) -> np.ndarray:
    (source,) = export(describe(model), folder / "made", ["faust"])
    generated, glue, library = folder / "dsp.c", folder / "glue.c", folder / "dsp.so"
    subprocess.run(["faust", "-lang", "c", "-double", str(source), "-o", str(generated)], check=True)
    glue.write_text(GLUE.format(generated))
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", str(glue), "-o", str(library), "-lm"], check=True)
    signals = x.astype(np.float64), np.empty(x.shape)
    pointers = [(ctypes.c_void_p * 2)(*[channel.ctypes.data for channel in signal]) for signal in signals]
    ctypes.CDLL(str(library)).play(rate, x.shape[1], *pointers)
    return signals[1]


@needs("faust")
@pytest.mark.parametrize("make", SAID.values(), ids=SAID)
def test_it_equals_the_model(make, tmp_path):
    model, x = make(), sound()
    assert error_db(run(model, tmp_path, RATE, x), played(model, x)) < PARITY_DB


@needs("faust")
def test_at_another_rate_it_equals_the_model_there(tmp_path):
    model, x = SAID["phaser: dry filter, high-pass"](), sound(sample_rate=48_000)
    y = run(model, tmp_path, 48_000, x)
    assert error_db(y, played(model.at_sample_rate(48_000), x)) < PARITY_DB


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (PHASERS["drift"], "an LFO that drifts"),
        (PHASERS["published shape"], "a network"),
        (PHASERS["paper core"], "cannot be exported as faust"),
        (AMPLIFIERS["parallel"], "cannot be exported as faust"),
    ],
)
def test_what_it_cannot_say_is_refused(make, why, tmp_path):
    with pytest.raises(NotExportableError, match=why):
        export(describe(make()), tmp_path, ["faust"])
    assert not any(tmp_path.iterdir())
