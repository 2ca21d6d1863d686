r"""Locustfiles for the reference server in which every answer is checked.

Each runs by itself, or in an audit:

    locust -f loadtests/scenarios/memories.py --host http://127.0.0.1:8000 --headless -u 20 -t 1m
    leakcheck audit --locustfile loadtests/scenarios/memories.py --host http://127.0.0.1:{port} -- \
        mimo-server --http 127.0.0.1:{port}

The first ends with exit code 1 when an answer was wrong; in the second each task is an operation.
"""
