"""Print requirements of setup.cfg for pip: `python .ci/requirements.py [--oldest] [EXTRA ...]`.

Those of the named extras; or, with --oldest, what pip's constraints need for the oldest releases that are allowed: the
lower bound of every requirement of the package and of the extras as the one release that fits.
"""

import configparser
import sys
from pathlib import Path

oldest = "--oldest" in sys.argv
extras = [name for name in sys.argv[1:] if name != "--oldest"]
config = configparser.ConfigParser()
config.read(Path(__file__).parent.parent / "setup.cfg", encoding="utf-8")
groups = [config["options.extras_require"][name] for name in extras]
if oldest:
    groups.append(config["options"]["install_requires"])
for line in sorted({line for group in groups for line in group.split("\n") if line}):
    print(line.replace(">=", "==") if oldest else line)
