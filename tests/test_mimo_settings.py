"""The settings of the reference server: three ways to give each, one place where it is checked, and the command."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimo_server.defects import PROFILES, names
from mimo_server.errors import SettingsError
from mimo_server.kinds import ADDRESS, EMBEDDER, TIME, TOKEN, Address, number, whole
from mimo_server.options import SCANS, add_options, choose
from mimo_server.settings import HIDDEN, Settings, rows

SERVER = [sys.executable, "-P", "-m", "mimo_server"]
SECRET = "swordfish-swordfish"
ROWS = {row.name: row for row in rows()}

GOOD = {
    "http": "localhost:8080",
    "token": SECRET,
    "session_idle": "2m",
    "max_sessions": "10",
    "max_connections": "20",
    "max_agents": "30",
    "read_timeout": "1.5s",
    "max_calls": "40",
    "call_timeout": "1h",
    "rate": "2.5",
    "grace": "0.5s",
    "data": "new/folder",
    "dimensions": "64",
    "ttl": "90d",
    "max_memories": "1000",
    "forget_first": "age",
    "readers": "2",
    "write_queue": "50",
    "seed_memories": "7",
    "embeddings": "https://example.org/v1",
    "embeddings_model": "small",
    "embeddings_key": "sk-fish",
    "embeddings_timeout": "3s",
    "skills": "skills.json",
    "max_skills": "5",
    "procedures": "procedures.toml",
    "max_executions": "6",
    "metrics_port": "0",
    "alert_memory_mib": "512",
    "alert_files_percent": "70",
    "alert_lag_ms": "100",
    "profile": "current",
    "defect": "kept_rejects",
    "without": "open_connections",
    "fixtures": "conformance",
}
"""A text for each setting, other than its default."""

BAD = [
    ("http", "8080", "'8080' is no HOST:PORT; give one such as 127.0.0.1:8080"),
    ("http", "0.0.0.0:80", "'0.0.0.0' is no loopback host"),
    ("http", "127.0.0.1:65536", "is no HOST:PORT"),
    ("http", "127.0.0.1:٨٠", "is no HOST:PORT"),
    ("http", "127.0.0.1:" + "9" * 5000, "is no HOST:PORT"),
    ("token", "swordfish", "it is no token of 16 to 1024 characters"),
    ("token", "sword fish sword fish", "it is no token of 16 to 1024 characters"),
    ("token", "swordfischfischfä", "it is no token"),
    ("session_idle", "5", "'5' is no time from 0.1s to 24h; give one such as 5s, 2m or 1h"),
    ("session_idle", "", "'' is no time"),
    ("read_timeout", "25h", "'25h' is no time"),
    ("grace", "0s", "'0s' is no time"),
    ("call_timeout", "-1s", "'-1s' is no time"),
    ("max_sessions", "0", "'0' is no whole number from 1 to 1000000; give one"),
    ("max_connections", "1e3", "'1e3' is no whole number"),
    ("max_agents", "many", "'many' is no whole number"),
    ("max_calls", "-1", "'-1' is no whole number"),
    ("dimensions", "7", "'7' is no whole number from 8 to 4096"),
    ("dimensions", "9" * 5000, "is no whole number"),
    ("readers", "65", "'65' is no whole number from 1 to 64"),
    ("write_queue", "2.5", "'2.5' is no whole number"),
    ("seed_memories", " 5", "' 5' is no whole number"),
    ("metrics_port", "70000", "'70000' is no whole number from 0 to 65535"),
    ("alert_files_percent", "101", "'101' is no whole number from 1 to 100"),
    ("rate", "nan", "'nan' is no number from 0 to 1000000; give one such as 5 or 0.5"),
    ("rate", "inf", "'inf' is no number"),
    ("rate", "-0.5", "'-0.5' is no number"),
    ("data", "/dev/null/x", "choose one that you may write"),
    ("data", "", "'' is no path"),
    ("skills", "nowhere.toml", "is no file that can be read; choose one that exists"),
    ("skills", "/", "is no file that can be read"),
    ("procedures", "~nobody-of-that-name/x", "starts in a home that nobody has; give a whole path"),
    ("embeddings", "words", "'words' is no embedder; give 'lexical', or the URL of an OpenAI-compatible endpoint"),
    ("embeddings", "ftp://example.org", "is no embedder"),
    ("embeddings", "http://", "is no embedder"),
    ("embeddings", "http://example.org:99999", "is no embedder"),
    ("embeddings", "http://me:swordfish@example.org/v1", "a user or a password is not taken; set embeddings_key"),
    ("embeddings_model", "", "'' is no name of a model"),
    ("embeddings_key", "sword\tfish", "it is no key"),
    ("profile", "perfect", "there is no profile 'perfect'; choose from fixed, current, faithful"),
    ("defect", "nope", "there is no defect 'nope'; choose from "),
    ("without", "", "there is no defect ''; choose from"),
    ("ttl", "5y", "'5y' is no age from 1s to 36500d; give one such as 12h or 90d"),
    ("ttl", "0.5s", "'0.5s' is no age"),
    ("forget_first", "luck", "there is no order 'luck'; choose from importance, age"),
    ("fixtures", "all", "there is no set of fixtures 'all'; choose from conformance"),
]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with the files that GOOD names, and no setting of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("skills.json", "procedures.toml"):
        (tmp_path / name).touch()
    for variable in [variable for variable in os.environ if variable.startswith("MIMO_")]:
        monkeypatch.delenv(variable)
    return tmp_path


def by_option(folder, said):
    parser = argparse.ArgumentParser()
    add_options(parser)
    words = []
    for name, text in said.items():
        if ROWS[name].kind.secret:
            (folder / f"{name}.txt").write_text(f"{text}\n")
            text = f"{name}.txt"  # noqa: PLW2901 -- as the command line has it
        words.append(f"{ROWS[name].option}={text}")
    return choose(vars(parser.parse_args(words)), {})


def by_environment(folder, said):
    return choose({}, {ROWS[name].variable: text for name, text in said.items()})


def by_file(folder, said):
    lines = (f"{name} = {json.dumps([text] if ROWS[name].many else text)}" for name, text in said.items())
    (folder / "mimo.toml").write_text("\n".join(lines))
    return choose({"config": "mimo.toml"}, {})


WAYS = {by_option: "option {option}", by_environment: "environment {variable}", by_file: "mimo.toml:{name}"}


def place(way, name):
    return WAYS[way].format(option=ROWS[name].option, variable=ROWS[name].variable, name=name)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "text", "told"), BAD)
def test_a_wrong_value_is_refused_with_its_place_itself_and_the_cure_however_it_came(here, way, name, text, told):
    with pytest.raises(SettingsError) as caught:
        way(here, {name: text})
    assert str(caught.value).startswith(place(way, name) + ": ")
    assert told in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "fish" not in str(caught.value), "a secret was repeated"


@pytest.mark.parametrize("way", WAYS)
def test_every_setting_can_be_given_in_every_way_and_says_where_it_came_from(here, way):
    assert GOOD.keys() == ROWS.keys()
    chosen = way(here, GOOD)
    default = Settings()
    for name in GOOD:
        assert getattr(chosen.settings, name) != getattr(default, name)
        assert chosen.origins[name] == place(way, name)
    assert chosen.settings.http == Address(host="127.0.0.1", port=8080)
    assert chosen.settings.token == SECRET
    assert (chosen.settings.session_idle, chosen.settings.call_timeout, chosen.settings.rate) == (120, 3600, 2.5)
    current = [name for name in PROFILES["current"] if name != "open_connections"]
    assert chosen.settings.defects == (*current, "kept_rejects")
    assert chosen.settings.seed_memories == 7


def test_the_three_ways_give_the_same_settings_but_for_the_place_that_a_path_is_meant_from(here):
    said = {name: text for name, text in GOOD.items() if not ROWS[name].kind.path}
    assert by_option(here, said).settings == by_environment(here, said).settings == by_file(here, said).settings


def test_an_option_comes_before_the_environment_and_that_before_the_file(here):
    (here / "mimo.toml").write_text('readers = 5\nmax_calls = 6\ngrace = "7s"')
    environment = {"MIMO_CONFIG": "mimo.toml", "MIMO_READERS": "8", "MIMO_MAX_CALLS": "9"}
    chosen = choose({"readers": "10"}, environment)
    assert (chosen.settings.readers, chosen.settings.max_calls, chosen.settings.grace) == (10, 9, 7)
    origins = [chosen.origins[name] for name in ("readers", "max_calls", "grace", "dimensions")]
    assert origins == ["option --readers", "environment MIMO_MAX_CALLS", "mimo.toml:grace", "default"]


def test_the_file_of_the_option_is_read_instead_of_the_one_of_the_environment(here):
    (here / "a.toml").write_text("readers = 5")
    assert choose({"config": "a.toml"}, {"MIMO_CONFIG": "missing.toml"}).settings.readers == 5


def test_numbers_of_the_file_are_numbers_and_its_paths_are_meant_from_its_folder(here, tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "s.toml").touch()
    text = f'max_calls = 0x10\nrate = 0.5\nskills = "s.toml"\nprocedures = "{here}/procedures.toml"\n'
    (folder / "mimo.toml").write_text(text + 'without = []\ndefect = ["kept_rejects", "orphan_child"]')
    chosen = choose({"config": str(folder / "mimo.toml")}, {}).settings
    assert (chosen.max_calls, chosen.rate, chosen.skills) == (16, 0.5, folder / "s.toml")
    assert chosen.procedures == here / "procedures.toml"
    assert chosen.defects == ("kept_rejects", "orphan_child")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("max_session = 5", "f.toml:max_session: there is no such setting; the nearest is max_sessions"),
        ("max-sessions = 5", "f.toml:max-sessions: there is no such setting; the nearest is max_sessions"),
        ("config = 'a.toml'", "f.toml:config: there is no such setting"),
        ("max_sessions = true", "f.toml:max_sessions: 'True' is neither text nor number; give one"),
        ("max_sessions = 1.5", "f.toml:max_sessions: '1.5' is no whole number"),
        ("max_sessions = -3", "f.toml:max_sessions: '-3' is no whole number"),
        ("max_sessions = [5]", "f.toml:max_sessions: '[5]' is neither text nor number"),
        ("[http]\nhost = 'a'", "f.toml:http: \"{'host': 'a'}\" is neither text nor number"),
        ("session_idle = 07:32:00", "f.toml:session_idle: '07:32:00' is neither text nor number"),
        ("session_idle = 30", "f.toml:session_idle: '30' is no time"),
        ("defect = 'kept_rejects'", "f.toml:defect: 'kept_rejects' is no list; give one such as [\"NAME\"]"),
        ("defect = [['a']]", "f.toml:defect: \"['a']\" is neither text nor number"),
        ("token = ['swordfish']", "f.toml:token: ••• is neither text nor number"),
        ('skills = "a\\u0000b"', "f.toml:skills: 'a\\x00b' is no path"),
        ("a = ", "option --config: f.toml is no TOML (Invalid value"),
        ("a = 1\na = 2", "option --config: f.toml is no TOML (Cannot overwrite a value"),
        ("#" * (2 << 20), "option --config: 'f.toml' cannot be read (it has more than 1 MiB)"),
    ],
)
def test_what_a_file_can_have_wrong_is_refused_with_the_file_and_the_key(here, text, told):
    (here / "f.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        choose({"config": "f.toml"}, {})
    assert told.replace("'a\\x00b'", repr("./a\0b")) in str(caught.value) or told in str(caught.value)
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "environment", "told"),
    [
        ({"config": "none.toml"}, {}, "option --config: 'none.toml' cannot be read (No such file or directory)"),
        ({}, {"MIMO_CONFIG": "none.toml"}, "environment MIMO_CONFIG: 'none.toml' cannot be read"),
        ({}, {"MIMO_CONFIG": ""}, "environment MIMO_CONFIG: '' cannot be read"),
        ({"config": "."}, {}, "option --config: '.' cannot be read (Is a directory); choose another file"),
        ({"config": "latin.txt"}, {}, "option --config: 'latin.txt' cannot be read (it is no UTF-8 text)"),
        ({"token": "none.txt"}, {}, "option --token-file: 'none.txt' cannot be read"),
        ({"token": "latin.txt"}, {}, "option --token-file: 'latin.txt' cannot be read (it is no UTF-8 text)"),
        ({"token": "/dev/zero"}, {}, "option --token-file: '/dev/zero' cannot be read (it has more than 1 MiB)"),
        ({"token": "~nobody-of-that-name"}, {}, "option --token-file: '~nobody-of-that-name' cannot be read"),
        ({}, {"MIMO_HTPP": "a"}, "environment MIMO_HTPP: there is no such setting; the nearest is MIMO_HTTP,"),
        ({}, {"MIMO_TOKEN_FILE": "a"}, "the nearest is MIMO_TOKEN, and `mimo-server --help` has all"),
        ({}, {"MIMO_CONFIGS": "a"}, "the nearest is MIMO_CONFIG,"),
    ],
)
def test_a_file_that_cannot_be_read_and_a_variable_that_is_not_known_are_refused(here, options, environment, told):
    (here / "latin.txt").write_bytes(b"swordfish-\xe4")
    with pytest.raises(SettingsError) as caught:
        choose(options, environment)
    assert told in str(caught.value)
    assert "swordfish" not in str(caught.value)


def test_variables_of_others_are_none_of_ours():
    assert choose({}, {"MIMOSA": "a", "mimo_http": "b", "XMIMO_HTTP": "c"}).settings == Settings()


def test_an_endpoint_without_a_model_is_refused(here):
    with pytest.raises(SettingsError, match=r"environment MIMO_EMBEDDINGS: .*set embeddings_model too"):
        choose({}, {"MIMO_EMBEDDINGS": "http://127.0.0.1:11434/v1"})


@pytest.mark.parametrize(
    ("said", "seed", "origin"),
    [
        ({}, 0, "default"),
        ({"profile": "current"}, 1000, "profile current"),
        ({"profile": "current", "seed_memories": "5"}, 5, "environment MIMO_SEED_MEMORIES"),
        ({"profile": "faithful"}, 1000, "profile faithful"),
        ({"profile": "current", "without": SCANS}, 0, "default"),
        ({"defect": SCANS}, 0, "default"),
    ],
)
def test_only_a_profile_with_the_defect_that_scans_brings_memories_along(here, said, seed, origin):
    chosen = by_environment(here, said)
    assert (chosen.settings.seed_memories, chosen.origins["seed_memories"]) == (seed, origin)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_has_its_defects_in_their_order_but_those_left_out(here, profile):
    assert by_environment(here, {"profile": profile}).settings.defects == PROFILES[profile]
    for left in set(PROFILES[profile]) & set(names()):
        chosen = by_environment(here, {"profile": profile, "without": left}).settings
        assert chosen.defects == tuple(name for name in PROFILES[profile] if name != left)
    assert by_environment(here, {"profile": profile, "without": ",".join(names())}).settings.defects == ()


def test_no_default_is_outside_of_what_may_be_given_and_no_name_is_taken_twice():
    for row in rows():
        value = getattr(Settings(), row.name)
        if value not in (None, ()):
            assert row.kind.parse(row.default) == value
            assert row.kind.parse(row.kind.write(value)) == value
    assert len({row.option for row in rows()}) == len({row.variable for row in rows()}) == len(ROWS)


def test_a_secret_is_in_no_text_of_the_settings(here):
    chosen = by_environment(here, {"token": SECRET, "embeddings_key": SECRET})
    assert chosen.settings.token == chosen.settings.embeddings_key == SECRET
    assert SECRET not in f"{chosen} {chosen.settings}"


@given(st.text(max_size=30) | st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,4})?[smh]", fullmatch=True))
@settings(deadline=None)
def test_a_time_is_refused_with_its_text_or_written_so_that_it_is_read_the_same(text):
    try:
        seconds = TIME.parse(text)
    except ValueError as error:
        assert repr(text) in str(error)  # noqa: PT017 -- whether it is refused depends on the text
    else:
        assert 0.1 <= seconds <= 86_400
        assert TIME.parse(TIME.write(seconds)) == seconds


@given(st.text(max_size=30) | st.integers(-5, 50).map(str) | st.floats(-1, 20).map(str))
def test_a_number_is_within_its_range_or_refused_with_its_text(text):
    for kind in (whole(3, 12), number(12)):
        try:
            value = kind.parse(text)
        except ValueError as error:
            assert repr(text) in str(error)  # noqa: PT017
        else:
            assert 0 <= value <= 12
            assert float(text) == value
            assert kind.parse(kind.write(value)) == value


@given(st.text(max_size=40) | st.from_regex(r"(127\.0\.0\.1|\[::1\]|localhost|[0-9.]{7}):[0-9]{1,6}", fullmatch=True))
def test_an_address_is_a_loopback_one_or_refused(text):
    try:
        address = ADDRESS.parse(text)
    except ValueError as error:
        assert "; give" in str(error)  # noqa: PT017
    else:
        assert address.host.startswith("127.") or address.host == "::1"
        assert 0 <= address.port <= 65_535
        assert ADDRESS.parse(str(address)) == address


@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://a", "http://[", "lexical"]))
def test_an_embedder_is_lexical_or_a_printable_url_without_a_password(text, start):
    try:
        found = EMBEDDER.parse(start + text)
    except ValueError as error:
        assert "give 'lexical', or the URL" in str(error)  # noqa: PT017
    else:
        assert found == "lexical" or (found.startswith(("http", "HTTP")) and "@" not in found)
        assert found.isascii()
        assert found.isprintable()


@given(st.text(max_size=40) | st.text("aZ0-._~+/= ,\n", min_size=10, max_size=40))
def test_a_token_that_is_taken_fits_a_header_and_one_that_is_not_is_not_repeated(text):
    with pytest.raises(ValueError, match="it is no token") as nothing:
        TOKEN.parse("")
    try:
        assert len(TOKEN.parse(text)) >= 16
        assert text.isascii()
        assert not set(text) & set(" \r\n\t,")
    except ValueError as error:
        assert str(error) == str(nothing.value)  # noqa: PT017


def run(*words, **environment):
    return subprocess.run(
        [*SERVER, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | environment,
    )


def test_settings_prints_every_value_with_its_origin_and_hides_the_secrets(here):
    (here / "mimo.toml").write_text(f'embeddings_key = "{SECRET}"\nskills = "skills.json"')
    words = ("settings", "--config", "mimo.toml", "--session-idle", "2m", "--defect", "kept_rejects")
    told = run(*words, MIMO_TOKEN=SECRET)
    assert told.returncode == 0
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in told.stdout.splitlines()}
    assert lines.keys() == ROWS.keys()
    assert lines["token"] == ["•••", "environment MIMO_TOKEN"]
    assert lines["embeddings_key"] == ["•••", "mimo.toml:embeddings_key"]
    assert lines["session_idle"] == ["120s", "option --session-idle"]
    assert lines["http"] == ["-", "default"]
    table = run(*words, "--json", MIMO_TOKEN=SECRET)
    listed = json.loads(table.stdout)
    assert listed.keys() == ROWS.keys()
    assert listed["token"] == {"value": "•••", "origin": "environment MIMO_TOKEN"}
    assert listed["session_idle"] == {"value": 120, "origin": "option --session-idle"}
    assert listed["defect"] == {"value": ["kept_rejects"], "origin": "option --defect"}
    assert listed["http"] == {"value": None, "origin": "default"}
    assert SECRET not in told.stdout + told.stderr + table.stdout + table.stderr


def test_what_settings_prints_as_text_can_be_given_back(here):
    said = {name: text for name, text in GOOD.items() if not ROWS[name].kind.secret}
    environment = {ROWS[name].variable: text for name, text in said.items()}
    told = run("settings", **environment)
    again = {line.split()[0]: line[20:].rpartition(" environment ")[0].strip() for line in told.stdout.splitlines()}
    again = {name: text.replace(", ", ",") for name, text in again.items() if name in said}
    assert by_environment(here, again).settings == by_environment(here, said).settings


def test_help_explains_every_setting_within_80_columns():
    told = run("--help", COLUMNS="80", MIMO_HTPP="wrong, and help is what is needed then")
    assert told.returncode == 0
    assert max(map(len, told.stdout.splitlines())) <= 80
    for row in rows():
        assert (f"\n  {row.option} " in told.stdout) is (row.group != HIDDEN)
    for word in ("stdin and stdout", "over HTTP", "examples:", "defects", "MIMO_SESSION_IDLE", *PROFILES):
        assert word in told.stdout


def test_help_comes_within_300_ms_of_a_processor():
    def spent():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    least = 60.0
    for _ in range(5):  # a busy machine costs more, never less
        before = spent()
        run("--help")
        least = min(least, spent() - before)
    assert least < 0.3


@pytest.mark.parametrize("what", ["settings", "defects", "skills"])
def test_every_subcommand_has_a_help_of_its_own(what):
    told = run(what, "--help", COLUMNS="80")
    assert told.returncode == 0
    assert told.stdout.startswith(f"usage: mimo-server {what} ")
    assert max(map(len, told.stdout.splitlines())) <= 80


def test_neither_help_nor_a_wrong_setting_loads_the_server():
    program = (
        "import sys\nfrom mimo_server.__main__ import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(sorted({'faiss', 'mcp', 'numpy', 'pydantic'} & set(sys.modules)), file=sys.stderr)"
    )
    for words in (["--help"], ["--version"], ["settings"], ["--readers", "x"]):
        done = subprocess.run([sys.executable, "-P", "-c", program, *words], capture_output=True, text=True, check=True)
        assert done.stderr.endswith("[]\n")


def test_the_version_is_printed():
    assert run("--version").stdout.startswith("mimo-server ")


@pytest.mark.parametrize(
    ("words", "environment", "told"),
    [
        (["--readers", "0"], {}, "mimo-server: error: option --readers: '0' is no whole number from 1 to 64; give one"),
        ([], {"MIMO_READERS": "0"}, "error: environment MIMO_READERS: '0' is no whole number"),
        (["settings"], {"MIMO_REDERS": "1"}, "error: environment MIMO_REDERS: there is no such setting; the nearest"),
        (["--config", "none.toml"], {}, "error: option --config: 'none.toml' cannot be read"),
        (["--reader", "4"], {}, "there is no '--reader' here; the nearest is --readers"),
        (["setings"], {}, "there is no 'setings' here; the nearest is settings"),
        (["--token", SECRET], {}, "there is no '--token' here; the nearest is --token-file"),
        ([f"--token={SECRET}"], {}, "there is no '--token' here"),
        (["skills", "none.toml"], {}, "is no file that can be read"),
    ],
)
def test_the_command_exits_2_and_says_what_to_do(words, environment, told):
    done = run(*words, **environment)
    assert done.returncode == 2
    assert told in done.stderr
    assert SECRET not in done.stderr
    assert done.stdout == ""


def test_a_secret_leaves_the_environment_once_it_is_read():
    program = (
        "import os\nfrom mimo_server.__main__ import main\nmain(['settings'])\n"
        "assert not {'MIMO_TOKEN', 'MIMO_EMBEDDINGS_KEY'} & set(os.environ)"
    )
    environment = os.environ | {"MIMO_TOKEN": SECRET, "MIMO_EMBEDDINGS_KEY": SECRET}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_skills_writes_the_tools_of_each_skill_into_the_catalog(here):
    program = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    if 'id' in asked:\n"
        "        about = {'protocolVersion': '2025-11-25', 'capabilities': {'tools': {}},\n"
        "                 'serverInfo': {'name': 's', 'version': '1'}}\n"
        "        tools = {'tools': [{'name': 'shout', 'inputSchema': {'type': 'object'}}]}\n"
        "        result = about if asked['method'] == 'initialize' else tools\n"
        "        print(json.dumps({'jsonrpc': '2.0', 'id': asked['id'], 'result': result}), flush=True)\n"
    )
    (here / "loud.py").write_text(program)
    catalog = here / "catalog.json"
    catalog.write_text(json.dumps({"skills": {"loud": {"command": [sys.executable, str(here / "loud.py")]}}}))
    done = run("skills", "catalog.json")
    assert done.returncode == 0, done.stderr
    assert [tool["name"] for tool in json.loads(catalog.read_text())["skills"]["loud"]["tools"]] == ["shout"]
    catalog.write_text("{")
    done = run("skills", "catalog.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "catalog.json is no JSON" in done.stderr


@pytest.mark.parametrize("listing", ["defects", "settings"])
def test_a_list_whose_reader_has_seen_enough_ends_without_a_word(listing):
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "mimo_server", listing], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()  # before the first line
        assert process.stderr.read() == b""
    assert process.returncode == 0
