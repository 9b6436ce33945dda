"""One outside system each: Postgres, Kafka, Debezium, Qdrant, the embedding model; no decisions."""

import os

# onnxruntime sends telemetry to its maker unless this is set before its first import, and qdrant_client imports it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
