"""Files that a process holds open and nobody can find any more: many of them are one line in a report."""

import os
import subprocess
import sys

import pytest

from leakcheck.probes import Setting
from leakcheck.probes._look import ProcessLook
from leakcheck.probes.fds import Probe, one_of_many

HOLD = """
import os, sys, tempfile
held = [kind() for kind in (tempfile.TemporaryFile, tempfile.NamedTemporaryFile) for _ in range(2)]
for file in held[2:]:
    os.unlink(file.name)
print(flush=True)
sys.stdin.read()
"""


def test_files_without_a_name_are_counted_under_one_and_the_audits_own_folder_is_not_named(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], env={**os.environ, "TMPDIR": str(tmp_path)}, stdin=-1, stdout=-1, text=True
    ) as process:
        process.stdout.readline()
        readings = {
            one.resource: one for one in Probe(Setting(temporary=str(tmp_path))).read_process(ProcessLook(process.pid))
        }
        process.stdin.close()
    held = {holder.name: holder.count for holder in readings["fds.file"].holders}
    assert held.get("$TMPDIR/tmp# (deleted)") == 2
    assert sum(count for name, count in held.items() if name.startswith("$TMPDIR/")) == 4


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/tmp/x/#2269256 (deleted)", "/tmp/x/# (deleted)"),
        ("/tmp/tmpabc_1efg.txt (deleted)", "/tmp/tmp#.txt (deleted)"),
        ("/t/tmpfile (deleted)", "/t/tmpfile (deleted)"),
        ("/log/day-9.log", "/log/day-9.log"),
    ],
)
def test_only_what_is_drawn_anew_for_each_file_is_taken_out_of_a_name(path, name):
    assert one_of_many(path) == name
