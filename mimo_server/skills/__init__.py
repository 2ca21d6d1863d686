"""Skills: tools that run in a process of their own, spoken to in JSON lines."""
