"""A load process that plays nothing: `load_fake.py RECORD SCRIPT` answers as SCRIPT (JSON) says, and notes each line.

discover: its answers in turn, the last one for ever · problems: by an input's words, what its attempt says ·
took: likewise, its seconds · failed: by kind, failures of each play · breaks: garbage, dies, hangs or gone, at a play ·
noise: bytes printed on stderr before each answer · stays: seconds that it outlives its stdin
"""

import json
import sys
import time
from pathlib import Path

record, script = Path(sys.argv[1]), json.loads(sys.argv[2])
plan = {}


def play(doses):
    match script.get("breaks"):
        case "dies":
            sys.exit("Traceback (most recent call last):\nOSError: token=hunter2hunter2 no luck")
        case "hangs":
            time.sleep(60)
    failed = {kind: count for kind, count in script.get("failed", {}).items() if kind in doses}
    return {
        "done": doses,
        "failed": failed,
        "seconds": dict.fromkeys(doses, 0.5),
        "problem": f"{next(iter(failed))}: password=hunter2hunter2" if failed else None,
        "gone": script.get("breaks") == "gone",
        "cpu_seconds": 0.25,
    }


def answer(asked):
    match asked:
        case {"discover": _}:
            answers = script["discover"]
            return answers.pop(0) if len(answers) > 1 else answers[0]
        case {"plan": given}:
            plan.clear()
            plan.update(given)
            return {"planned": True}
        case {"attempt": {"kind": kind, "index": index}}:
            words = plan[kind][index]["words"]
            gone = script.get("breaks") == "gone"
            problem = script.get("problems", {}).get(words)
            return {
                "problem": problem and f"{words}: {problem}",
                "took": script.get("took", {}).get(words, 0.01),
                "gone": gone,
            }
        case {"play": doses}:
            return play(doses)


for number, line in enumerate(sys.stdin):
    with record.open("a") as file:
        file.write(line)
    if number == 0:
        continue
    asked = json.loads(line)
    reply = json.dumps(answer(asked))
    sys.stderr.write("x" * script.get("noise", 0))
    sys.stderr.flush()
    sys.stdout.write("not JSON at all\n" if "play" in asked and script.get("breaks") == "garbage" else f"{reply}\n")
    sys.stdout.flush()
sys.stderr.write("x" * script.get("noise", 0))
time.sleep(script.get("stays", 0))
