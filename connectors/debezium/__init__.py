"""Debezium on Kafka Connect: its configuration, its database roles, and Connect's REST."""
