"""A skill as small as one can be: JSON lines in, JSON lines out, one answer per request, until stdin ends.

Run by path in a bare interpreter (`python -I -S echo.py`); imports the standard library only.
"""

import json
import sys


def _answer(request: dict[str, object]) -> dict[str, object]:
    match request:
        case {"id": number, "tool": "echo", "arguments": {"text": str() as text}}:
            return {"id": number, "result": {"text": text}}
        case {"id": number}:
            return {"id": number, "error": "this skill has one tool, echo, with one argument, text"}
        case _:
            return {"id": None, "error": "a request needs an id"}


def main() -> None:
    """Answer until stdin ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
