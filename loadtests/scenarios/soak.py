r"""Everything at once, for hours: memories, skills, procedures, agents, sessions; each takes back what it did.

    locust -f loadtests/scenarios/soak.py,loadtests/shapes/soak.py --host http://127.0.0.1:8000 --headless \
        --users 20 --arrival-rate 20 --soak-hours 8

Wrong: what each of the scenarios says.

Leaves: nothing.
"""

from __future__ import annotations

from loadtests.scenarios.agents import Agents
from loadtests.scenarios.churn import Churn
from loadtests.scenarios.memories import Memories
from loadtests.scenarios.procedures import Procedures
from loadtests.scenarios.sessions import Sessions
from loadtests.scenarios.skills import Skills

__all__ = ["Agents", "Churn", "Memories", "Procedures", "Sessions", "Skills"]
