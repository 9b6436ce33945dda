"""One outside system each: Postgres, Kafka, Debezium, Qdrant, the embedding model; no decisions."""
