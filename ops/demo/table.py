"""Creates the `products` table in a database that has none."""

from pathlib import Path

from connectors.debezium.roles import run_script

CATALOGUE_SQL = Path(__file__).with_name("catalogue.sql")


async def apply_catalogue(admin_dsn: str) -> None:
    """Create `public.products` unless it exists; an existing table is left as it is. Comes before `apply_roles`.

    Raises:
        SourceError: The server cannot be reached, or the role may not create tables.
    """
    await run_script(admin_dsn, CATALOGUE_SQL)
