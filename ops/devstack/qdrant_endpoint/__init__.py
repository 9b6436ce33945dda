"""Qdrant Edge behind the part of Qdrant's REST that Lockstep uses; a process of its own, run with `python -m`."""
