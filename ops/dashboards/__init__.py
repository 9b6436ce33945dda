"""A dashboard for Grafana and rules for Prometheus, as files; no code."""
