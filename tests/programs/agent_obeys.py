"""Runs each line of stdin as Python and says `ok`, or `failed` and why; ends with EOF. For Python 3.8 and later."""

# ruff: noqa: BLE001, T201 - whatever goes wrong is told to the test
import sys

for line in sys.stdin:
    try:
        exec(line, globals())
    except Exception as error:
        print("failed", type(error).__name__, error, flush=True)
    else:
        print("ok", flush=True)
