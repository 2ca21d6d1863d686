"""Procedures: small state machines that play steps in an order, each run with a deadline that holds."""
