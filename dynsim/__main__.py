"""`python -m dynsim` is `dynsim`."""

from dynsim.cli import main

main()
