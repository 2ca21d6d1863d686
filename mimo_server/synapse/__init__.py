"""Agents: connections to them, and interrupts for them."""
