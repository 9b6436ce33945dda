"""Makes the dashboard's HTML, on the server: whatever a row or an error says is text in it, never markup."""

from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ops.api import dashboard_view as view
from ops.api.dashboard_sampler import Snapshot
from ops.api.dashboard_search import Found
from ops.api.history import History
from ops.status.units import bytes_text, numbers_text, seconds_text

MARKS = {"green": "✓", "amber": "!", "red": "✕"}
"""Beside the colour, which not everybody sees."""
HEADLINES = {
    "green": "In step",
    "amber": "Deserves a look",
    "red": "Needs you now",
}


class DashboardPage:
    """The templates. The live part is made once for each snapshot, however many listen."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "count": lambda value: view.UNKNOWN if value is None else f"{value:,.0f}",
            "bytes": lambda value: view.UNKNOWN if value is None else bytes_text(max(0, int(value))),
            "seconds": lambda value: view.UNKNOWN if value is None else seconds_text(value),
            "partitions": lambda numbers: view.UNKNOWN if numbers is None else numbers_text(numbers),
            "clock": lambda at: datetime.fromtimestamp(at, UTC).strftime("%H:%M"),
        }
        self._templates.globals |= {"marks": MARKS, "headlines": HEADLINES}
        self._live: tuple[Snapshot, str] | None = None

    def whole(
        self,
        snapshot: Snapshot | None,
        history: History,
        found: Found | None,
        *,
        retried: str | None,
        signed_in: bool,
    ) -> str:
        """The page. Without a snapshot it says that the first look is under way."""
        return self._templates.get_template("dashboard.html").render(
            live=self.live(snapshot, history) if snapshot else None,
            found=found,
            retried=retried,
            signed_in=signed_in,
        )

    def live(self, snapshot: Snapshot, history: History) -> str:
        """The part that changes."""
        if self._live is None or self._live[0] is not snapshot:
            text = self._templates.get_template("dashboard_live.html").render(
                status=snapshot.status,
                age_seconds=snapshot.age_seconds,
                letters=snapshot.letters,
                flow=view.flow(snapshot),
                tiles=view.tiles(snapshot),
                workers=view.workers(snapshot.status),
                actions=view.actions(snapshot.status),
                peaks=history.peaks(),
            )
            self._live = snapshot, text
        return self._live[1]

    def found(self, found: Found) -> str:
        """What a search found."""
        return self._templates.get_template("dashboard_found.html").render(found=found)

    def login(self, trouble: str | None) -> str:
        """The page that asks for a token, and says what was wrong with the last."""
        return self._templates.get_template("dashboard_login.html").render(trouble=trouble)
