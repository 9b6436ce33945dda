"""How people run and use Lockstep: settings, the worker's composition root, commands, the stack without Docker."""

import os

# onnxruntime sends telemetry to its maker unless this is set before its first import, and qdrant_client imports it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
