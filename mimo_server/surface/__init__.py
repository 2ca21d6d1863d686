"""What a client sees: MCP over stdio, and the metrics page."""
