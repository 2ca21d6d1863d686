"""Memories: a row in SQLite, a vector beside it, found again by likeness."""
