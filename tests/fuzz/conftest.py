"""The driver is a program of its own: its files are found by their names, and are no tests."""

import sys
from pathlib import Path

collect_ignore = ["fuzz_files.py", "kinds.py", "mutations.py"]
sys.path.insert(0, str(Path(__file__).parent))
