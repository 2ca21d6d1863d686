"""The part of leakcheck that runs inside a Python target: standard library only, Python 3.8 and later.

A target never imports `leakcheck`, which may not be installed for its Python: `inject/sitecustomize.py`, found by
PYTHONPATH, makes a bare package `_leakcheck_agent` of this folder instead. So nothing may stand in this file that the
other files need, and they import each other relatively.
"""
