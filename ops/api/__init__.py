"""The HTTP API: what an operation is, the groups of operations, the application that joins them; no settings."""
