"""Tests of several files begin with the same recipe, which they import."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
