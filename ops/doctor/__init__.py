"""What silently breaks such a pipeline: checks are pure, and judge what was read before."""
