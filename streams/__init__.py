"""Decides what each change means and acts on it; reaches the outside only through `streams.ports`."""
