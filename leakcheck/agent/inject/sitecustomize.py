"""Starts the agent in this Python process, then is the sitecustomize that there would have been without it.

Found by PYTHONPATH, so every Python reads it, also ones far too old for the agent: no syntax that Python 2.7 lacks.
Nothing is done without LEAKCHECK_AGENT, and nothing that fails here is told: the program comes first.

Does not see: processes started with -I, -E or -S, or without this environment.
"""

# ruff: noqa: INP001, PTH100, PTH112, PTH120 - stands alone, and Python 2.7 has no pathlib
import os
import sys

_usable = os.path.isdir(os.environ.get("LEAKCHECK_AGENT", ""))  # compiling would make one that is not there
if _usable and sys.version_info >= (3, 8) and "_leakcheck_agent" not in sys.modules:
    # Compiled once for all processes of a target, in its own folder: compiling costs more than all that is done.
    _kept = sys.pycache_prefix, sys.dont_write_bytecode
    try:
        _blocks = sys.getallocatedblocks()
        _package = type(sys)("_leakcheck_agent")
        _package.__path__ = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
        sys.modules["_leakcheck_agent"] = _package
        sys.pycache_prefix, sys.dont_write_bytecode = os.environ["LEAKCHECK_AGENT"], False
        __import__("_leakcheck_agent.core", None, None, ["start"]).start(os.environ["LEAKCHECK_AGENT"], _blocks)
    except Exception:  # noqa: BLE001, S110 - a target without an agent is looked at from outside
        pass
    finally:
        sys.pycache_prefix, sys.dont_write_bytecode = _kept

if __name__ == "sitecustomize":
    # The next one on the path, or the error that there is none, which `site` expects, as it expects any other.
    _mine = sys.modules.pop("sitecustomize", None)  # held: Python 2.7 empties a module that nobody holds
    _folder = os.path.dirname(__file__)
    _at = sys.path.index(_folder) if _folder in sys.path else -1
    sys.path[:] = [_entry for _entry in sys.path if _entry != _folder]
    try:
        __import__("sitecustomize")
    finally:
        if _at >= 0:
            sys.path.insert(_at, _folder)
