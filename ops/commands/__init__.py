"""One module a group of commands; each parses, calls one function, prints; no logic of its own."""
