"""`python -m dlc` is the command `dlc`."""

from dlc.runtime.cli import main

main()
