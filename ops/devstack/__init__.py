"""The stack without Docker: one module a service, and one that starts and stops them."""
