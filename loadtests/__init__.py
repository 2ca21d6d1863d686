"""The load of an audit, as Locust users: MCP over HTTP, or a user's own locustfile. Runs in a process of its own.

`python -m loadtests.play` is driven by leakcheck over its stdin and stdout; `locust -f loadtests/locustfile.py` by a
person. Importing a module of this package that imports Locust patches the standard library for gevent, so neither
leakcheck nor a test imports it, and nothing here imports leakcheck.
"""
