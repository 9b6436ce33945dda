"""The servers of a test's stack as containers, behind the interface of the stack without Docker."""
