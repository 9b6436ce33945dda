"""The one engine of replay, rebuild and rollback: reads the source topic and brings a collection up to date with it."""
