"""Puts the repository's root on the path, so that tests import its rooms (`data`, `recipes`) however pytest is called."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
