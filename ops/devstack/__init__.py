"""The stack without Docker: one module a service, one that starts and stops them; nothing else imports from here."""
