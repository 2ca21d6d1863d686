"""How a load changes over a run: given to Locust beside a locustfile, separated by a comma. ONE FILE PER SHAPE.

    locust -f loadtests/scenarios/search.py,loadtests/shapes/staircase.py --host http://127.0.0.1:8000 --headless

A shape sets the rate of arrivals; users (`--users`) are those who can be on their way at once.
"""
