"""How people run and use Lockstep: settings, the worker's composition root, commands, the stack without Docker."""
