"""Numbers and hostile text as people read them."""

import math
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakcheck.model.finding import Detectable, Per, Rate
from leakcheck.model.plan import AuditPlan, DriverKind, Request, ToolChoice
from leakcheck.render import figures
from leakcheck.render._reproduce import command_line
from leakcheck.render._visible import visible


def rate(value, low, high, unit="sockets", per=Per.OPERATION):
    return Rate(value=value, low=low, high=high, unit=unit, per=per)


@pytest.mark.parametrize(
    ("one", "operation", "text"),
    [
        (rate(1.0, 0.98, 1.02), "call:a", "1.00 sockets per call:a (0.98\u20131.02)"),
        (rate(1.0, 1.0, 1.0), "call:a", "1.00 sockets per call:a (1.00\u20131.00)"),
        (rate(0.0032, 0.0021, 0.0043), None, "0.003 sockets per operation (0.002\u20130.004)"),
        (rate(120, 91, 149), "reject", "120 sockets per reject (91\u2013149)"),
        (rate(0.02, -0.01, 0.05), None, "0.02 sockets per operation (\u22120.01 to 0.05)"),
        (rate(5300, 4700, 5900, "bytes"), "call:a", "5.2 KiB per call:a (4.6\u20135.8)"),
        (rate(2.0, 1.9, 2.1, "threads", Per.SECOND), "call:a", "2.0 threads per second (1.9\u20132.1)"),
        (rate(-0.001, -0.2, 0.2), None, "0.0 sockets per operation (\u22120.2 to 0.2)"),
        (rate(1.0, 0.5, math.inf), None, "1.00 sockets per operation (0.50\u2013∞)"),
    ],
)
def test_a_rate_shows_the_digits_that_its_interval_can_bear(one, operation, text):
    assert figures.rate(one, operation) == text


@pytest.mark.parametrize(
    ("value", "unit", "per", "text"),
    [
        (1 / 310, "sockets", Per.OPERATION, "1 per 310 operations"),
        (1 / 310.9, "sockets", Per.OPERATION, "1 per 310 operations"),
        (0.7, "sockets", Per.OPERATION, "1 per operation"),
        (2.5, "sockets", Per.OPERATION, "2.50 per operation"),
        (0.0, "sockets", Per.OPERATION, "0 per operation"),
        (1 / 12, "threads", Per.SECOND, "1 per 12 s"),
        (4300, "bytes", Per.OPERATION, "4.20 KiB per operation"),
        (0.1, "bytes", Per.OPERATION, "1 byte per 10 operations"),
    ],
)
def test_what_would_have_been_seen_is_said_as_one_in_so_many(value, unit, per, text):
    assert figures.detectable(Detectable(value=value, unit=unit, per=per)) == text


@settings(deadline=None)
@given(st.floats(min_value=1e-7, max_value=0.999))
def test_the_detectable_rate_shown_is_never_smaller_than_the_true_one(value):
    text = figures.detectable(Detectable(value=value, unit="sockets", per=Per.OPERATION))
    words = text.split(" ")
    shown = 1.0 if words[2] == "operation" else 1 / int(words[2].replace(",", ""))
    assert shown >= value * (1 - 1e-6)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (12400, "sockets", "12,400 sockets"),
        (0, "bytes", "0 bytes"),
        (1023, "bytes", "1,023 bytes"),
        (1024, "bytes", "1 KiB"),
        (88_290_000, "bytes", "84.2 MiB"),
        (-3, "files", "\u22123 files"),
        (0.2, "rows", "0.20 rows"),
        (math.nan, "rows", "not a number rows"),
    ],
)
def test_a_quantity_has_its_unit(value, unit, text):
    assert figures.quantity(value, unit) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0004, "0.40 ms"), (1.25, "1.2 s"), (61.2, "61 s"), (250, "4 min 10 s"), (7500, "2 h 5 min"), (None, "unknown")],
)
def test_a_time_has_the_unit_that_suits_it(value, text):
    assert figures.seconds(value) == text


@settings(deadline=None)
@given(
    st.floats(min_value=-1e12, max_value=1e12),
    st.floats(min_value=1e-3, max_value=1e12),
    st.sampled_from(["bytes", "sockets"]),
)
def test_ticks_lie_inside_the_axis_and_are_few(low, span, unit):
    high = low + span
    if high - low < span / 2:
        return
    ticks = figures.ticks(low, high, unit)
    assert len(ticks) <= 7
    assert all(low - span * 1e-3 - abs(low) * 1e-6 <= tick <= high + span * 1e-3 + abs(high) * 1e-6 for tick in ticks)


@settings(deadline=None)
@given(st.text(), st.integers(min_value=1, max_value=50))
def test_visible_text_holds_nothing_that_acts(text, most):
    shown = visible(text, most)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain \u00fcber \u4e2d\u6587", "plain \u00fcber \u4e2d\u6587"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\tb\r\nc", "a\\tb\\r\\nc"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("a\u2028b\x00\x9b", "a\\u2028b\\x00\\x9b"),
        ("\ud800", "\\ud800"),
        ("e\u0301\u0301\u0301\u0301", "e\u0301\u0301\\u0301\\u0301"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_acts_is_shown_as_its_escape(text, shown):
    assert visible(text) == shown


def test_a_long_text_is_cut_and_says_so():
    assert visible("x" * 30, 10) == "x" * 10 + "…"


def test_the_command_to_repeat_an_audit_names_secrets_without_their_values():
    plan = AuditPlan(
        command=("server", "--port", "{port}", "a b"),
        pid=None,
        driver=DriverKind.HTTP,
        requests=(Request(method="GET", url="http://127.0.0.1:{port}/"),),
        metrics_url="http://127.0.0.1:{port}/metrics",
        header_names=("Authorization",),
        tools=ToolChoice(named=("x",), arguments={"x": {"n": 1}}),
        inside=True,
        rounds=12,
        exclude=("memory.*",),
        seed=7,
    )
    assert command_line(plan) == (
        "leakcheck audit --request 'GET http://127.0.0.1:{port}/' --metrics 'http://127.0.0.1:{port}/metrics' "
        "--header 'Authorization: $AUTHORIZATION' --tool x --arguments 'x={\"n\":1}' --rounds 12 "
        "--seed 7 --exclude 'memory.*' -- server --port '{port}' 'a b'"
    )
