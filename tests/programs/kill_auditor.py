"""Kills the auditor at random instants and says what is left: one JSON line for each time.

    kill_auditor.py --times N --seed S --within SECONDS --folder FOLDER -- ARGUMENTS OF `leakcheck audit`

Each audit starts anew, with a folder of its own, and gets SIGKILL after a random part of SECONDS. The line says after
how many seconds it was killed, how many processes there were, how long the last of them lived on (null: one is still
there after 10 s), how many whole lines the journal holds, and the exit code of `leakcheck report` (with what it said).
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

PATIENCE_SECONDS = 10.0


def stat_of(pid):
    """State, parent and start time; None when there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0].decode(), int(fields[1]), int(fields[19])


def alive():
    """Return {pid: (parent, start time)} of all that has not ended."""
    found = {}
    for pid in (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()):
        stat = stat_of(pid)
        if stat is not None and stat[0] not in "ZX":
            found[pid] = stat[1:]
    return found


def marked(token):
    """Identities of the processes with the token in their environment."""
    found = set()
    for pid, (_, started) in alive().items():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if token.encode() in environment:
            found.add((pid, started))
    return found


def below(root):
    """Identities of the processes below `root`."""
    processes = alive()
    family = [root]
    for pid in family:
        family += [child for child, (parent, _) in processes.items() if parent == pid]
    return {(pid, processes[pid][1]) for pid in family[1:]}


def kill_once(arguments, folder, seconds):
    """Start an audit, kill it after so many seconds, and return what was left."""
    token = f"leakcheck-kill-{uuid.uuid4().hex}"
    command = ["leakcheck", "audit", "--out", str(folder), *arguments]
    environment = {**os.environ, "KILL_TOKEN": token}
    auditor = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        auditor.wait(seconds)
    family = below(auditor.pid) | marked(token)
    family.discard((auditor.pid, (stat_of(auditor.pid) or ("", 0, 0))[2]))
    auditor.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    code = auditor.wait()
    pause = 0.005
    while left := marked(token) | {one for one in family if (stat := stat_of(one[0])) and stat[2] == one[1]}:
        if time.monotonic() - killed > PATIENCE_SECONDS:
            break
        time.sleep(pause)
        pause = min(2 * pause, 0.1)
    lived_on = None if left else time.monotonic() - killed
    for pid, _ in left:
        os.kill(pid, signal.SIGKILL)
    journal = folder / "journal.jsonl"
    lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
    report = subprocess.run(["leakcheck", "report", str(folder)], capture_output=True, text=True, check=False)
    return {
        "after_seconds": round(seconds, 3),
        "ended_with": code,
        "processes": len(family),
        "lived_on_seconds": None if lived_on is None else round(lived_on, 3),
        "journal_lines": lines,
        "report_code": report.returncode,
        "report_said": (report.stderr or report.stdout).strip().partition("\n")[0],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--within", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("arguments", nargs="+")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    for number in range(options.times):
        told = kill_once(options.arguments, options.folder / f"killed-{number}", draw.uniform(0.1, options.within))
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
