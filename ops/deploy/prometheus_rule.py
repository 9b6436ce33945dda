"""Makes the PrometheusRule of the component `monitoring` from the rules that Prometheus itself reads."""

from pathlib import Path
from textwrap import indent

RULES = Path(__file__).parents[1] / "dashboards" / "lockstep-rules.yaml"
PROMETHEUS_RULE = Path(__file__).parent / "components" / "monitoring" / "rules.yaml"

_HEAD = """\
# Made from ops/dashboards/lockstep-rules.yaml by `python -m ops.deploy.prometheus_rule`: change that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: lockstep
  labels:
    app.kubernetes.io/part-of: lockstep
spec:
"""


def prometheus_rule(rules: str) -> str:
    """The manifest that holds these rules; their text stays as it is, comments too."""
    return _HEAD + indent(rules, "  ")


if __name__ == "__main__":
    PROMETHEUS_RULE.write_text(prometheus_rule(RULES.read_text(encoding="utf-8")), encoding="utf-8")
