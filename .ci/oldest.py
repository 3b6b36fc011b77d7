"""Print pip's constraints for the oldest releases that setup.cfg allows: `python .ci/oldest.py test > oldest.txt`.

The lower bound of every requirement, and of those of the extras that are named, becomes the one release that fits.
"""

import configparser
import sys
from pathlib import Path

config = configparser.ConfigParser()
config.read(Path(__file__).parent.parent / "setup.cfg", encoding="utf-8")
groups = [config["options"]["install_requires"], *(config["options.extras_require"][name] for name in sys.argv[1:])]
for line in sorted({line for group in groups for line in group.split("\n") if line}):
    print(line.replace(">=", "=="))
