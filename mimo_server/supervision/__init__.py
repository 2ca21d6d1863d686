"""Bounds: everything that could grow has a limit, and says how near it is."""
