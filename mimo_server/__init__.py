"""A reference MCP memory server: correct by default, faulty on request."""
