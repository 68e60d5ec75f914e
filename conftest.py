"""Puts the repository's root on the path, so that tests import its rooms (`data`, `recipes`) however pytest is called;
has Triton interpret its kernels where there is no GPU.
"""

import importlib.util
import os
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

# Triton asks once, when it is imported: without a GPU its kernels are interpreted on CPU tensors.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
collect_ignore_glob = [] if importlib.util.find_spec("triton") else ["diffapf/kernels/gpu/*"]
