"""The recurrences of `reference.py` in Triton: same names, same arguments, contiguous tensors on one GPU."""

from diffapf.kernels.gpu.allpole import allpole, allpole_adjoint
from diffapf.kernels.gpu.fir import fir, fir_outer, fir_transpose

__all__ = ["allpole", "allpole_adjoint", "fir", "fir_outer", "fir_transpose"]
