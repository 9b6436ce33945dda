"""Prometheus's own tool, where the machine has it."""

import os
import shutil
import subprocess

import pytest

_PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(_PROMTOOL is None, reason="promtool is not installed: Debian's package prometheus")


def promtool(*arguments: str) -> None:
    """Run it; what it says is the failure's message."""
    assert _PROMTOOL
    environment = {**os.environ, "GOGC": "400"}  # it lives for a second or two: a quarter less time
    ran = subprocess.run(
        [_PROMTOOL, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
