"""`python -m leakcheck`: the unambiguous form of the command."""

from leakcheck.cli import main

main()
