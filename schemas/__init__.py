"""What the data looks like: values, their encodings and their errors; no I/O, no clients."""
