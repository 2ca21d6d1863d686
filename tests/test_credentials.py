"""What looks like a credential appears in no file and on no screen, though the target repeats it everywhere."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from leakcheck.credentials import MASK, Secrets, in_command, in_json, in_url, looks_like_credential
from leakcheck.model.finding import Verdict

ENVIRONMENT = {
    "MY_BEARER": "bearer-3f9a-xyz",
    "HARMLESS": 'odd"quo\\te value',
    "INHERITED_API_KEY": "inherited-7712",
}
"""HARMLESS is secret since --env names it; the last one only by its name."""
OPTIONS = (
    *("--env", "SERVICE_PASSWORD=envpass-4411"),
    *("--env", "PLAIN=$HARMLESS"),
)
ARGUMENTS = (
    *("--token", "argtoken-8822"),
    "--api-key=argkey-9933",
    "https://joe:urlpass-1144@db.example/x?sig=signed-2255",
    "export OTHER_SECRET=inline-3366; true",
)
SECRETS = (
    *("bearer-3f9a-xyz", "inherited-7712", "envpass-4411", "argtoken-8822", "argkey-9933"),
    *("urlpass-1144", "signed-2255", "inline-3366", "specialvalue-5577", "querytoken-6688", "pinned-7799"),
    *('odd"quo', 'odd\\"quo', "odd%22quo"),
)
HTTP = (
    *("--request", "GET http://127.0.0.1:{port}/a?token=querytoken-6688&page=2"),
    *("--metrics", "http://127.0.0.1:{port}/metrics"),
    *("--header", "Authorization: Bearer $MY_BEARER"),
    *("--header", "X-Special: specialvalue-5577"),
)
FEW = ("--rounds", "6", "--operations", "8")


def leaks_in(text):
    return [secret for secret in SECRETS if secret in text]


def check(folder, *processes):
    """Grep every file and every screen."""
    found = {path.name: leaks_in(path.read_bytes().decode(errors="replace")) for path in folder.iterdir()}
    for number, done in enumerate(processes):
        assert "Traceback (most recent call last):\n" not in done.stderr, done.stderr
        found[f"stdout {number}"], found[f"stderr {number}"] = leaks_in(done.stdout), leaks_in(done.stderr)
    assert {name: secrets for name, secrets in found.items() if secrets} == {}


def blabber(programs, kind, *more):
    return ("--", sys.executable, str(programs / "blabber.py"), kind, *more, *ARGUMENTS)


@pytest.mark.parametrize(
    ("kind", "more", "json_wanted"),
    [("stdio", (), False), ("http", ("{port}",), True)],
)
def test_no_credential_is_written_or_shown(kind, more, json_wanted, leakcheck, programs, tmp_path):
    load = HTTP if kind == "http" else ("--mcp", "stdio", "--arguments", 'fine={"password": "pinned-7799"}')
    shown = ("--json",) if json_wanted else ()
    done = leakcheck(
        *("audit", *load, *OPTIONS, *FEW, *shown, "--out", "a", *blabber(programs, kind, *more)), env=ENVIRONMENT
    )
    assert done.returncode in {0, 1, 3}, done.stderr
    assert MASK in (tmp_path / "a/target.log").read_text()
    audit = json.loads((tmp_path / "a/audit.json").read_text())
    failed = [warning for warning in audit["warnings"] if "First failed operation" in warning]
    assert failed, "the target's own words must have had their chance"
    again = leakcheck("report", "a")
    from_journal = leakcheck("report", "a/journal.jsonl", "--json")
    assert again.returncode == from_journal.returncode == 0
    check(tmp_path / "a", done, again, from_journal)
    assert "INHERITED_API_KEY" not in json.dumps(audit["plan"])


@pytest.mark.parametrize(
    ("load", "kind"),
    [
        (("--mcp", "stdio"), "exit"),
        (("--request", "GET http://127.0.0.1:{port}/?token=querytoken-6688", "--ready-timeout", "1s"), "exit"),
        (("--mcp", "stdio", "--tool", "nope"), "stdio"),
        (("--drive", "sh -c 'echo $SERVICE_PASSWORD --token argtoken-8822; false'", "--ready-timeout", "1s"), "exit"),
    ],
    ids=["stdio", "http", "tool", "drive"],
)
def test_no_credential_is_shown_when_the_audit_cannot_begin(load, kind, leakcheck, programs, tmp_path):
    done = leakcheck("audit", *load, *OPTIONS, "--out", "a", *blabber(programs, kind), env=ENVIRONMENT)
    assert done.returncode == 2
    again = leakcheck("report", "a")
    assert again.returncode == 0
    check(tmp_path / "a", done, again)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--request", "GET http://joe:urlpass-1144@127.0.0.1:{port}/", "--", "sleep", "9"),
        ("--request", "GET http://joe:urlpass-1144@example.org/?token=querytoken-6688", "--", "sleep", "9"),
        ("--request", "http://127.0.0.1/?token=querytoken-6688", "--", "sleep", "9"),
        ("--header", "Authorization Bearer bearer-3f9a-xyz", "--drive", "true", "--", "sleep", "9"),
        ("--env", "envpass-4411", "--drive", "true", "--", "sleep", "9"),
        ("--mcp", "stdio", "--arguments", 'login={"password": "pinned-7799"', "--", "sleep", "9"),
        ("--mcp", "stdio", "--", "no-such-server", "--token", "argtoken-8822"),
        ("--mcp", "stdio", "--", "no-such-server --api-key=argkey-9933"),
    ],
)
def test_no_credential_is_shown_when_the_command_line_is_wrong(arguments, leakcheck, tmp_path):
    done = leakcheck("audit", *arguments)
    assert done.returncode == 2
    assert leaks_in(done.stdout + done.stderr) == []
    names = [str(path) for path in tmp_path.rglob("*")]
    assert leaks_in(" ".join(names)) == []


def test_no_process_of_ours_has_a_header_in_its_command_line_or_environment(programs, tmp_path):
    """The load's; the target's own has what its owner put there."""
    command = ["leakcheck", "audit", *HTTP, "--budget", "20s", "--out", "a"]
    target = ["--", sys.executable, str(programs / "http_service.py"), "{port}"]
    with subprocess.Popen(
        [*command, *target],
        cwd=tmp_path,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as auditor:
        for line in auditor.stderr:
            if line.startswith("round 2"):
                break
        loads = []
        for child in psutil.Process(auditor.pid).children(recursive=True):
            line = " ".join(child.cmdline())
            assert leaks_in(line) == []
            if "http_load" in line:
                loads.append(child)
                assert leaks_in(Path(f"/proc/{child.pid}/environ").read_text()) == []
        assert len(loads) == 1
        auditor.terminate()
        auditor.stderr.read()
    assert auditor.returncode == 130


# --- what is found and what is left alone --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (["server", "--token", "abcd1", "--port", "80"], ("abcd1",)),
        (["server", "--api-key=abcd1"], ("abcd1",)),
        (["env", "MY_SECRET=abcd1", "server"], ("abcd1",)),
        (["sh", "-c", "server --password abcd1 --quiet"], ("abcd1",)),
        (["server", "--token", "--verbose"], ()),
        (["server", "--max-tokens", "4096", "--token-limit", "9", "--password-file", "/run/x", "--author", "Ann"], ()),
        (["server", "postgres://joe:abcd1@db/x"], ("joe", "joe", "abcd1", "abcd1")),
        (["git", "https://ghs-abcdefgh@host/x"], ("ghs-abcdefgh", "ghs-abcdefgh")),
    ],
)
def test_credentials_on_a_command_line_are_found(argv, found):
    assert in_command(argv) == found


def test_credentials_in_urls_and_json_are_found():
    assert in_url("http://127.0.0.1/?page=2&access_key=a%20b&key=c") == ("a b", "a b", "c", "c")
    assert in_url("not a url") == ()
    assert in_json({"a": [{"password": "x"}], "token": "y", "tokens": "z"}) == ("x", "y")


@pytest.mark.parametrize("name", ["token_type", "tokens", "author", "passed", "secret_name", "bypass_count", "path"])
def test_what_is_about_a_credential_or_only_sounds_like_one_is_none(name):
    assert not looks_like_credential(name)
    assert Secrets().hide(f'requests{{{name}="input"}}') == f'requests{{{name}="input"}}'


@pytest.mark.parametrize("name", ["TOKEN", "api-key", "X-Api-Key", "Authorization", "PASSWORD", "db_passwd", "Cookie"])
def test_the_usual_names_of_credentials_are_known(name):
    assert looks_like_credential(name)


def test_a_secret_is_hidden_in_its_usual_encodings():
    secrets = Secrets(['pa"ss wörd\\'])
    for form in (
        'pa"ss wörd\\',
        'pa\\"ss w\\u00f6rd\\\\',
        "pa%22ss%20w%C3%B6rd%5C",
        "cGEic3Mgd8O2cmRc",
        "'pa\"ss wörd\\\\'",
    ):
        assert MASK in secrets.hide(f"it is {form}."), form
        assert "rd" not in secrets.hide(f"it is {form}.").replace("word", ""), form


def test_our_own_words_are_kept_though_a_secret_is_one_of_them():
    secrets = Secrets(["leak", "none"])
    assert secrets.hide_all((Verdict.LEAK, "leak")) == (Verdict.LEAK, MASK)
    assert secrets.hide("none is declared") == "none is declared"


@pytest.mark.parametrize("mark", ["0", "a", "-", "=", "a-", "--a", "://"])
def test_a_long_word_costs_by_its_length_and_not_by_the_square_of_it(mark):
    def seconds(length):
        text = (mark * length)[:length]
        begun = time.process_time()
        Secrets().hide(text)
        return time.process_time() - begun

    seconds(1000)
    short, long = min(seconds(20_000) for _ in range(3)), min(seconds(160_000) for _ in range(3))
    assert long < 32 * max(short, 1e-4), "eight times the length, and sixty-four if it were the square"
