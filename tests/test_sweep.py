"""`leakcheck sweep` with real small servers: what it measures, keeps, stops, and says of a wrong plan."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import jsonschema
import psutil
import pytest

from leakcheck.commands import sweep as command
from leakcheck.errors import UsageError
from leakcheck.sweep import claimed, parsing
from leakcheck.sweep.parsing import load

pytestmark = pytest.mark.share(3)

GROWER = Path(__file__).parent / "programs" / "grower.py"
SCHEMA = json.loads(resources.files("leakcheck").joinpath("schema/sweep.schema.json").read_text(encoding="utf-8"))
TALK = f"""
[fill]
tool = "store"
arguments = '{{"items": {{items}}}}'
item = '{{"name": "item {{number}}"}}'
batch = 100
[measure]
tool = "search"
[variants.linear]
command = ["{sys.executable}", "{GROWER}", "--stdio", "linear"]
"""
PLAN = f"""
name = "growers"
sizes = [1000, 2000, 4000]
cap = "150 MiB"
quiet_seconds = 0.1
{TALK}
[variants.flat]
command = ["{sys.executable}", "{GROWER}", "--stdio", "flat"]
[variants.square]
command = ["{sys.executable}", "{GROWER}", "--stdio", "square", "2000"]
sizes = [500, 1000, 2000, 4000]
[variants.greedy]
command = ["{sys.executable}", "{GROWER}", "--stdio", "greedy", "1000"]
sizes = [250, 500, 1000, 4000]
measure = {{}}
"""
CLAIMS = """
[[claims]]
quantity = "memory.anon.filled"
variant = "VARIANT"
size = SIZE
low = "LOW MB"
high = "HIGH MB"
source = "a test"
"""


def claim(variant, size, low, high):
    text = CLAIMS.replace("VARIANT", variant).replace("SIZE", str(size))
    return text.replace("LOW", str(low)).replace("HIGH", str(high))


def read(folder):
    found = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, SCHEMA)
    return found


def series(found, variant, quantity):
    (one,) = (one for one in found["series"] if (one["variant"], one["quantity"]) == (variant, quantity))
    return one


@pytest.fixture(scope="module")
def swept(leakcheck_in, tmp_path_factory):
    """Four servers of known growth, swept once."""
    folder = tmp_path_factory.mktemp("sweep")
    claims = [
        claim("linear", 4000, 20, 80),
        claim("linear", 1000, 6, 12),
        claim("flat", 1000, 500, 1000),
        claim("square", 2000, 10, 40),
        claim("square", 4000, 10, 60),
        claim("greedy", 4000, 100, 200),
        claim("greedy", 1000, 50, 200),
    ]
    (folder / "plan.toml").write_text(PLAN + "".join(claims), encoding="utf-8")
    finished = leakcheck_in(folder, "sweep", "plan.toml", "--out", "out", env={"COLUMNS": "80"})
    return finished, folder / "out"


@pytest.fixture(scope="module")
def found(swept):
    """What it concluded."""
    return read(swept[1])


def test_it_ends_with_0_and_leaves_its_files(swept):
    finished, out = swept
    assert finished.returncode == 0, finished.stderr
    assert {path.name for path in out.iterdir()} == {"sweep.json", "sweep.html", "sweep.md", "points", "logs"}


@pytest.mark.parametrize("quantity", ["memory.anon.filled", "memory.anon.peak", "memory.anon.rise"])
def test_a_linear_server_grows_as_its_size(found, quantity):
    growth = series(found, "linear", quantity)["growth"]
    assert growth["exponent"] == pytest.approx(1.0, abs=0.1)
    each = 16_384 if quantity == "memory.anon.peak" else 8_192
    assert growth["per_item"] == pytest.approx(each, rel=0.1)


def test_a_flat_server_is_flat_and_a_square_one_square(found):
    flat = series(found, "flat", "memory.anon.filled")["growth"]
    assert flat["flat"]
    assert abs(flat["exponent"]) < 0.05
    assert series(found, "square", "memory.anon.rise")["growth"]["exponent"] == pytest.approx(2.0, abs=0.15)


def test_the_peak_of_a_single_process_is_the_kernels_however_short_it_was(found):
    filled, peak = (series(found, "linear", f"memory.anon.{name}")["cells"][-1] for name in ("filled", "peak"))
    assert peak["value"] - filled["value"] == pytest.approx(4000 * 8192, rel=0.05)
    assert peak["low"] == peak["high"]


def test_claims_are_confirmed_understated_overstated_or_of_the_wrong_shape(found):
    judged = found["claims"]
    verdicts = [one["verdict"] for one in judged[:5]]
    assert verdicts == ["confirmed", "understated", "overstated", "wrong shape", "wrong shape"]
    assert judged[1]["factor"] == pytest.approx(judged[1]["cell"]["low"] / 12e6)
    assert judged[1]["cell"]["value"] > 1000 * 8192
    assert judged[2]["factor"] > 20


def test_the_cap_stops_a_greedy_server_and_what_is_beyond_it_is_projected(found):
    (stopped,) = (point for point in found["points"] if point["outcome"] == "stopped")
    assert (stopped["variant"], stopped["size"]) == ("greedy", 4000)
    assert "above the cap of 150 MiB" in stopped["reason"]
    assert 1000 < stopped["items"] <= 4000
    cell = series(found, "greedy", "memory.anon.filled")["cells"][-1]
    assert cell["origin"] == "projected"
    base = series(found, "greedy", "memory.anon.filled")["growth"]["base"]
    assert cell["value"] == pytest.approx(4000 * 100_000 + base, rel=0.05)
    assert cell["low"] < cell["value"] < cell["high"]
    assert [one["verdict"] for one in found["claims"][5:]] == ["understated", "wrong shape"]


def test_nothing_of_a_stopped_server_is_left(swept):
    assert running(str(GROWER)) == []


def test_the_page_is_small_whole_and_without_script(swept):
    page = (swept[1] / "sweep.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 300 * 1024
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=|url\(", page)
    assert page.count("<svg") >= 4
    for word in ("linear", "understated", "claimed", "projected", "size^"):
        assert word in page


def test_the_table_fits_80_columns_and_the_markdown_has_the_claims(swept):
    finished, out = swept
    assert max(len(line.rstrip()) for line in finished.stdout.splitlines()) <= 80
    assert "memory filled" in finished.stdout
    text = (out / "sweep.md").read_text(encoding="utf-8")
    assert "| **understated" in text
    assert "a test" in text


def test_what_was_measured_is_kept_and_measured_anew_only_when_it_must(tmp_path, capsys):
    text = f"sizes = [200, 400]\nquiet_seconds = 0.1\nrepeats = 1\n{TALK}"

    def sweep(text, *, again=False):
        (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
        plan = load(tmp_path / "plan.toml", psutil.virtual_memory().total)
        assert command._swept(plan, tmp_path / "out", again=again, print_json=False) == 0
        return [line for line in capsys.readouterr().err.splitlines() if "kept from before" not in line]

    assert len(sweep(text)) == 2
    assert sweep(text) == []
    assert len(sweep(text.replace("[200, 400]", "[200, 400, 600]") + claim("linear", 200, 1, 100))) == 1
    assert len(sweep(text.replace("batch = 100", "batch = 50"))) == 2
    assert len(sweep(text.replace("batch = 100", "batch = 50"), again=True)) == 2
    assert len(sweep(text.replace("batch = 100", "batch = 50").replace("repeats = 1", "repeats = 2"))) == 2
    assert [cell["runs"] for cell in series(read(tmp_path / "out"), "linear", "memory.anon.rest")["cells"]] == [2, 2]


def test_commands_fill_and_measure_a_server_over_http_and_tell_figures(leakcheck, tmp_path):
    measure = """echo '{\\"recall\\": {\\"value\\": 0.9, \\"unit\\": \\"share\\"}}' > {out}"""
    fill = "import sys, urllib.request as u; u.urlopen(sys.argv[1], b'').read()"
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "plan.toml").write_text(
        f"""
        sizes = [1000, 2000]
        quiet_seconds = 0.1
        reopen = true
        [variants.http]
        command = ["{sys.executable}", "{GROWER}", "{{port}}", "linear"]
        [fill]
        command = ["{sys.executable}", "-c", "{fill}", "http://127.0.0.1:{{port}}/store/{{size}}"]
        [measure]
        command = ["sh", "-c", "{measure}"]
        """,
        encoding="utf-8",
    )
    finished = leakcheck("sweep", "plans/plan.toml", "--out", "out", "--json")
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert [cell["value"] for cell in series(found, "http", "recall")["cells"]] == [0.9, 0.9]
    growth = series(found, "http", "memory.anon.filled")["growth"]
    assert growth["exponent"] == pytest.approx(1.0, abs=0.15)
    assert growth["exponent_low"] is None  # two sizes give none
    assert [path.name for path in (tmp_path / "plans").iterdir()] == ["plan.toml"]
    reopened = series(found, "http", "memory.anon.reopened")  # it stores nothing on disk: it is empty again
    assert reopened["growth"]["flat"]
    assert reopened["cells"][0]["value"] == pytest.approx(growth["base"], rel=0.1)


def test_a_fill_that_fails_is_no_figure_and_ends_with_3(leakcheck, tmp_path):
    text = f"""
    sizes = [10]
    [variants.http]
    command = ["{sys.executable}", "{GROWER}", "{{port}}", "linear"]
    [fill]
    command = ["sh", "-c", "echo no disk; exit 7"]
    """
    (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
    finished = leakcheck("sweep", "plan.toml")
    assert finished.returncode == 3
    assert (tmp_path / ".leakcheck/sweep-plan/sweep.json").is_file()
    assert "the command of the fill ended with exit code 7: no disk" in " ".join(finished.stdout.split())


def test_a_server_that_dies_is_told_with_its_last_words(leakcheck, tmp_path):
    text = f"sizes = [10]\n{TALK}".replace('"linear"]', '"no such shape"]')
    (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
    finished = leakcheck("sweep", "plan.toml", "--out", "out")
    assert finished.returncode == 3
    (point,) = read(tmp_path / "out")["points"]
    assert "ended with exit code 1 during the fill" in point["reason"]
    assert "KeyError" in point["reason"]


def running(marker):
    """Processes of ours whose command line holds `marker`."""
    every = psutil.process_iter(["cmdline"])
    return [one.pid for one in every if marker in " ".join(one.info["cmdline"] or ()) and one.pid != os.getpid()]


def test_ctrl_c_leaves_no_process_and_keeps_what_is_done(tmp_path):
    marker = f"sweep-{os.getpid()}"
    text = f"""
    sizes = [100, 200]
    quiet_seconds = 0.1
    [variants.http]
    command = ["{sys.executable}", "{GROWER}", "{{port}}", "linear", "8192", "{marker}"]
    [fill]
    command = ["{sys.executable}", "-c", "import sys, threading; sys.argv[1] == '100' or threading.Event().wait()",
               "{{size}}", "{marker}"]
    """
    (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
    sweep = subprocess.Popen(
        ["leakcheck", "sweep", "plan.toml", "--out", "out"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert "1/2 http 100" in sweep.stderr.readline()
        deadline = time.monotonic() + 20
        while len(running(f"200 {marker}")) < 2:  # the fill that never ends, and its reaper
            assert time.monotonic() < deadline
            assert sweep.poll() is None
        sweep.send_signal(signal.SIGINT)
        out, err = sweep.communicate(timeout=30)
    finally:
        sweep.kill()
        sweep.wait()
    assert sweep.returncode == 130, err
    assert "Interrupted" in out
    assert running(marker) == []
    found = read(tmp_path / "out")
    assert (found["ended"], [point["size"] for point in found["points"]]) == ("interrupted", [100])
    assert list((tmp_path / "out").glob("data-*")) == []


GOOD = f"sizes = [10]\n{TALK}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("sizes = [10]", "sizes = [10, 0]"), "key 'sizes' must be a list of whole numbers"),
        (("sizes = [10]", "sizes = [10, 10]"), "key 'sizes' names a size twice"),
        (("sizes = [10]", ""), "it has no sizes"),
        (("sizes = [10]", "sizes = [10]\nsizs = 3"), "there is no key 'sizs'; known are name, sizes"),
        (("sizes = [10]", "sizes = [10]\ncap = '99%'"), "key 'cap' is '99%'"),
        (("sizes = [10]", "sizes = [10]\ncap = 'much'"), "key 'cap' must be an amount"),
        (("sizes = [10]", "sizes = [10]\nrepeats = 0"), "key 'repeats' must be a whole number of at least 1, not 0"),
        (("sizes = [10]", "sizes = [10]\nquiet_seconds = '1 MB'"), "key 'quiet_seconds' must be seconds"),
        (("sizes = [10]", "sizes = [10"), "cannot be read as TOML"),
        (("[variants.linear]", "[variants.'a/b']"), "the name 'a/b' becomes part of file names"),
        (("command = [", "commands = ["), "there is no key 'commands'; known are command, env"),
        (("command = [", "command = ["), None),
        (('tool = "search"', "times = 2"), "[measure] needs either `command` or `tool`"),
        (('tool = "search"', 'tool = "search"\ncommand = "x"'), "[measure] needs either `command` or `tool`"),
        (("batch = 100", "batch = 100\ntimes = 3"), "`times` is for [measure]"),
        (("item = ", "#"), "`item` and {items} in `arguments` belong together"),
        (('{"items": {items}}', '{"items": {items}'), "key 'arguments' is not JSON"),
        (("[measure]", claim("linear", 10, 1, 2) + "[measure]"), None),
        (("[measure]", claim("other", 10, 1, 2) + "[measure]"), "key 'variant' is 'other'; the plan has linear"),
        (("[measure]", claim("linear", 10, 3, 2) + "[measure]"), "'low' must be above 0 and not above 'high'"),
        (("[measure]", claim("linear", 0, 1, 2) + "[measure]"), "key 'size' must be a whole number"),
    ],
)
def test_a_bad_plan_is_refused_with_key_value_and_what_to_do(tmp_path, change, told):
    path = tmp_path / "plan.toml"
    path.write_text(GOOD.replace(*change, 1), encoding="utf-8")
    if told is None:
        assert load(path, 1e9).variants
        return
    with pytest.raises(UsageError, match=re.escape(told)):
        load(path, 1e9)


def test_a_missing_plan_and_a_missing_command_end_with_2(leakcheck, tmp_path):
    finished = leakcheck("sweep", "no.toml")
    assert finished.returncode == 2
    assert "There is no plan 'no.toml'" in finished.stderr
    (tmp_path / "plan.toml").write_text(GOOD.replace(sys.executable, "no-such-program"), encoding="utf-8")
    finished = leakcheck("sweep", "plan.toml")
    assert finished.returncode == 2
    assert "'no-such-program' was not found on PATH" in finished.stderr


def test_every_key_of_a_plan_stands_in_its_document():
    text = (Path(__file__).parent.parent / "docs" / "sweep.md").read_text(encoding="utf-8")
    table = text.partition("| key |")[2].partition("**A server that fills itself**")[0]
    keys = {*parsing._TOP, *parsing._OF_TOOL, *claimed._KEYS, "command", "env"}
    assert [key for key in sorted(keys) if not re.search(rf"`(?:\[+)?{key}\b", table)] == []


@pytest.mark.parametrize("path", sorted((Path(__file__).parent.parent / "reports" / "plans").glob("*.toml")), ids=str)
def test_the_plans_that_come_along_are_valid(path):
    assert load(path, 24e9).variants
