"""Opens a file each 50 ms and forgets to close it."""

import time

held = []
while True:
    held.append(open(__file__))  # noqa: PTH123, SIM115 - the fault
    time.sleep(0.05)
