"""Measures and breaks a whole stack on purpose: the soak and the benchmarks; nothing the worker uses."""
