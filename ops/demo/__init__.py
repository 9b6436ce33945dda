"""What a demonstration needs: a catalogue to fill the table with, made up or from a file; nothing the worker uses."""
