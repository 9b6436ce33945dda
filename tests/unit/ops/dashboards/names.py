"""What an expression of PromQL names: enough of its grammar to hold it to `streams/metrics.py`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from streams import metrics
from streams.metrics import Kind

RULES = Path(__file__).parents[4] / "ops" / "dashboards" / "lockstep-rules.yaml"
RECORDED: set[str] = {
    rule["record"]
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
    if "record" in rule
}
SCRAPED = {"job", "instance"}
"""Labels that Prometheus puts to each series itself."""

_SELECTOR = re.compile(r"\b((?:lockstep[_:][a-z0-9_:]+)|up|process_[a-z_]+)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")


def _series() -> dict[str, set[str]]:
    """Every series that is scraped, and its labels."""
    found = {"up": SCRAPED, "process_resident_memory_bytes": SCRAPED, "process_cpu_seconds_total": SCRAPED}
    for definition in (*metrics.WORKER, *metrics.API):
        labels = set(definition.labels) | SCRAPED
        if definition.kind is Kind.HISTOGRAM:
            name = definition.name
            found |= {f"{name}_bucket": labels | {"le"}, f"{name}_count": labels, f"{name}_sum": labels}
        else:
            found[definition.name] = labels
    return found


SERIES = _series()


def selectors(expression: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Each metric with its matchers: label, operator, value."""
    for name, matchers in _SELECTOR.findall(expression):
        yield name, _MATCHER.findall(matchers)


def unknown(expression: str) -> set[str]:
    """Metrics that do not exist, and labels that none of the metrics has."""
    found, labels = set(), set(SCRAPED)
    for name, matchers in selectors(expression):
        if name in RECORDED:
            labels |= {"action", "mode"}
            continue
        if name not in SERIES:
            found.add(name)
            continue
        labels |= SERIES[name]
        found |= {f"{name}: {label}" for label, _, _ in matchers if label not in SERIES[name]}
    grouped = {label.strip() for group in _GROUPING.findall(expression) for label in group.split(",") if label.strip()}
    return found | (grouped - labels)


def asked(expression: str) -> Iterator[tuple[str, str, str]]:
    """The values of labels that an expression asks for by name: metric, label, value."""
    for name, matchers in selectors(expression):
        for label, operator, value in matchers:
            if label not in SCRAPED and "$" not in value:
                for one in value.split("|") if operator in ("=~", "!~") else [value]:
                    yield name, label, one


def expressions(value: Any) -> Iterator[str]:
    """Every `expr` in a document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "expr" and isinstance(inner, str):
                yield inner
            else:
                yield from expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner)
