"""The recurrences of `reference.py` in Numba: same names, same arguments, contiguous tensors.

What makes them fast, each measured:

- A filter's past lives in a tuple, whose length is a compile-time constant: registers, and unrolled loops, for any order.
- Eight samples at once, where a recursion can be written so that it waits once for eight (`fixed_allpole.py`,
  `first_order.py`, `high_order.py`), or all but the recursion is done in vectors, and that of four rows in vectors of their
  samples (`second_order.py`; vectors that find no register are aligned, or each is two accesses). Elsewhere four rows
  advance together: a recursion is a chain of dependent operations, and four chains fill the time that one waits.
- `fastmath={"contract"}` and nothing more: fused multiply-adds; re-association would double the chain and break NaN.
- The newest output enters a sum last: all else is ready before it.
- Gradients of coefficients that many samples share are summed while the samples are in the nearest cache.
- Fixed cascades stay in the nearest cache from section to section, eight samples at once, and are computed again rather than
  kept for the adjoint (`fixed_sos.py`); a filter alone has all that its adjoint reads (`fixed_direct_form.py`). Moving ones
  go on a block of samples at a time, as their coefficients come from memory (`moving_sos.py`), or from frame to frame
  (`framed_sos.py`).
- Large gradients are written past the caches, which would read each line of them first (`vectors.py`).
- A call costs 6 µs, and 1 µs where it is an earlier one's launch again; a second thread 2 µs (`launch.py`).
- Long rows of coefficients are asked of memory 8 kB before they are read (`high_order.py`).
- Few long rows are cut into segments in time, which advance together (`segments.py`).
"""

from diffapf.kernels.cpu.allpass import (
    allpass,
    allpass_output,
    allpass_output_adjoint,
    allpass_output_tangent,
    allpass_transpose,
)
from diffapf.kernels.cpu.allpole import allpole, allpole_adjoint
from diffapf.kernels.cpu.apply_gain import apply_gain, apply_gain_adjoint, apply_gain_tangent
from diffapf.kernels.cpu.ballistics import ballistics, ballistics_adjoint, ballistics_tangent
from diffapf.kernels.cpu.delay_network import delay_network, network_response
from diffapf.kernels.cpu.fir import fir, fir_outer, fir_transpose
from diffapf.kernels.cpu.fixed_sos import fixed_sos_cascade, fixed_sos_cascade_adjoint
from diffapf.kernels.cpu.gain_curve import gain_curve, gain_curve_adjoint, gain_curve_tangent
from diffapf.kernels.cpu.harmonic_sum import harmonic_sum, harmonic_sum_adjoint
from diffapf.kernels.cpu.iir import (
    direct_form_1,
    direct_form_1_adjoint,
    direct_form_2,
    direct_form_2_adjoint,
    transposed_direct_form_1,
    transposed_direct_form_1_adjoint,
    transposed_direct_form_2,
    transposed_direct_form_2_adjoint,
)
from diffapf.kernels.cpu.moving_sos import moving_sos_cascade, moving_sos_cascade_adjoint
from diffapf.kernels.cpu.optical_cell import optical_cell, optical_cell_adjoint, optical_cell_tangent
from diffapf.kernels.cpu.sos import sos_cascade, sos_cascade_adjoint
from diffapf.kernels.cpu.state_space import dense_recurrence, dense_recurrence_adjoint
from diffapf.kernels.cpu.step_up import step_up, step_up_adjoint
from diffapf.kernels.cpu.tanh_of_frames import tanh_of_frames, tanh_of_frames_adjoint, tanh_of_frames_tangent

__all__ = [
    "allpass",
    "allpass_output",
    "allpass_output_adjoint",
    "allpass_output_tangent",
    "allpass_transpose",
    "allpole",
    "allpole_adjoint",
    "apply_gain",
    "apply_gain_adjoint",
    "apply_gain_tangent",
    "ballistics",
    "ballistics_adjoint",
    "ballistics_tangent",
    "delay_network",
    "dense_recurrence",
    "dense_recurrence_adjoint",
    "direct_form_1",
    "direct_form_1_adjoint",
    "direct_form_2",
    "direct_form_2_adjoint",
    "fir",
    "fir_outer",
    "fir_transpose",
    "fixed_sos_cascade",
    "fixed_sos_cascade_adjoint",
    "gain_curve",
    "gain_curve_adjoint",
    "gain_curve_tangent",
    "harmonic_sum",
    "harmonic_sum_adjoint",
    "moving_sos_cascade",
    "moving_sos_cascade_adjoint",
    "network_response",
    "optical_cell",
    "optical_cell_adjoint",
    "optical_cell_tangent",
    "sos_cascade",
    "sos_cascade_adjoint",
    "step_up",
    "step_up_adjoint",
    "tanh_of_frames",
    "tanh_of_frames_adjoint",
    "tanh_of_frames_tangent",
    "transposed_direct_form_1",
    "transposed_direct_form_1_adjoint",
    "transposed_direct_form_2",
    "transposed_direct_form_2_adjoint",
]
