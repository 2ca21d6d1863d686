"""What the load was over time: counted over runs and resets, few samples however long it takes, drawn as charts."""

import re

import pytest

from loadtests.load_charts import length, panels
from loadtests.load_history import MOST, History
from loadtests.watch_fragment import tame

BEGAN = 1_795_000_000.0


def played(seconds, *, every=2.0, rate=10, users=5):
    """A load that begins after ten seconds without one."""
    one, at, done = History(), 0.0, 0
    while at <= seconds:
        if at == 10.0:
            one.begin(BEGAN + at)
        running = at > 10.0
        done += rate * every if running else 0
        one.add(BEGAN + at, users if running else 0, int(done), int(done) // 10)
        at += every
    return one


def test_rates_are_those_of_the_load():
    one = played(60.0)
    start, end = one.window(BEGAN + 60.0)
    assert (start, end) == (BEGAN, BEGAN + 60.0)
    points = list(one.points(start, end, 2.0))
    assert [point.requests for point in points if point.at > BEGAN + 12] == [10.0] * 24
    assert {point.requests for point in points if point.at <= BEGAN + 10} == {0.0}
    assert points[-1].failures == pytest.approx(1.0)
    assert one.runs[-1].requests == 500


def test_workers_that_report_every_three_seconds_make_no_jagged_rates():
    one = History()
    one.begin(BEGAN)
    for number in range(60):
        at = 2.0 * number
        one.add(BEGAN + at, 5, int(at // 3) * 30, 0)
    points = [point.requests for point in one.points(BEGAN + 20, BEGAN + 200, 6.0)]
    assert min(points) >= 5
    assert max(points) <= 15


def test_a_new_run_and_a_reset_of_the_counts_lose_nothing():
    one = played(30.0)
    one.end(BEGAN + 30.0)
    one.end(BEGAN + 99.0)
    assert (one.runs[-1].ended, one.runs[-1].requests) == (BEGAN + 30.0, 200)
    one.begin(BEGAN + 40.0)
    one.add(BEGAN + 42.0, 5, 20, 0)
    one.add(BEGAN + 44.0, 5, 8, 0)  # somebody has pressed "Reset Stats" in between
    assert one.runs[-1].requests == 28
    assert one.window(BEGAN + 50.0) == (BEGAN + 30.0, BEGAN + 50.0)
    one.end(BEGAN + 50.0)
    for number in range(40):
        one.begin(BEGAN + 60.0 + number)
    assert len(one.runs) == 16


def test_samples_are_few_however_long_it_takes_and_the_latest_is_among_them():
    one = History()
    one.begin(BEGAN)
    for number in range(50_000):
        one.add(BEGAN + 2 * number, 5, 20 * number, 0)
        assert len(one.samples) <= MOST
        assert one.samples[-1].at == BEGAN + 2 * number
    start, end = one.window(BEGAN + 100_000)
    points = list(one.points(start, end, 2.0))
    assert len(points) >= MOST / 2 - 2
    assert all(point.requests == pytest.approx(10.0) for point in points)
    assert len(panels(one, BEGAN + 100_000, 2.0)) < 32 * 1024


def test_a_clock_that_was_set_back_begins_anew():
    one = played(30.0)
    one.add(BEGAN - 3600.0, 5, 201, 20)
    one.add(BEGAN - 3598.0, 5, 221, 22)
    assert [sample.at for sample in one.samples] == [BEGAN - 3600.0, BEGAN - 3598.0]
    assert [point.requests for point in one.points(0, BEGAN, 2.0)] == [10.0]


def test_charts_are_of_the_form_that_is_let_through_with_start_and_stop_marked():
    one = played(60.0)
    one.end(BEGAN + 60.0)
    html = panels(one, BEGAN + 70.0, 2.0)
    assert tame(f"<style></style>{html}".encode()).html == html
    assert re.findall(r"<h3>(\w+)</h3>", html) == ["Users", "Requests", "Failures"]
    assert re.findall(r"<path class=mark d=\"(.*?)\"/>", html) == ["M143 0v300M857 0v300"] * 3
    assert ">30 s</i>" in html
    assert 'class="live leak" id=r-load-failures' in html


def test_before_anything_was_sampled_the_charts_are_empty():
    html = panels(History(), BEGAN, 2.0)
    assert html.count("<b>–</b>") == 3
    assert "<path class=fit" not in html


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0"), (30, "30 s"), (-10, "−10 s"), (300, "5 min"), (7200, "2 h"), (172800, "2 d")]
)
def test_times_are_told_in_their_largest_unit(seconds, words):
    assert length(seconds) == words
