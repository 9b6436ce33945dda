"""Prepares a database for capture: runs `roles.sql`, as a person with psql would."""

import asyncio
from pathlib import Path

import asyncpg

from connectors.postgres_errors import source_errors

ROLES_SQL = Path(__file__).with_name("roles.sql")


async def apply_roles(admin_dsn: str, *, debezium_password: str, lockstep_password: str) -> None:
    """Create or mend the roles, grants, tables and publication, all or nothing; repeating it changes nothing.

    The passwords travel as parameters of a statement, so any text is safe as a password.

    Raises:
        SourceError: The server cannot be reached, `public.products` is missing, or the role of `admin_dsn` may not.
    """
    await run_script(
        admin_dsn,
        ROLES_SQL,
        {"lockstep.debezium_password": debezium_password, "lockstep.lockstep_password": lockstep_password},
    )


async def run_script(admin_dsn: str, script: Path, parameters: dict[str, str] | None = None) -> None:
    """Run an SQL file in one transaction; `parameters` are what it reads with `current_setting`.

    Raises:
        SourceError: The server cannot be reached, or refuses a statement.
    """
    sql = await asyncio.to_thread(script.read_text, encoding="utf-8")
    with source_errors(f"apply {script.name}"):
        connection = await asyncpg.connect(admin_dsn, timeout=10.0, command_timeout=60.0)
        try:
            async with connection.transaction():
                for name, value in (parameters or {}).items():
                    await connection.execute("SELECT set_config($1, $2, true)", name, value)
                await connection.execute(sql)
        finally:
            await connection.close(timeout=10.0)
