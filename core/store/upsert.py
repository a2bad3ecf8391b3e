"""The one statement each database spells in its own way."""

from functools import cache
from typing import Any

from sqlalchemy import Connection, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

_DUPLICATE = 1062  # MySQL's number for it


def insert_if_absent(connection: Connection, row: type[Any], **values: Any) -> bool:
    """Insert a row unless one with the same key exists; tell whether it was inserted."""
    dialect = connection.dialect.name
    if dialect in ("mysql", "mariadb"):
        # A failed statement leaves MySQL's transaction as it was. INSERT IGNORE would also cut long text short.
        try:
            connection.execute(insert(row.__table__), values)
        except IntegrityError as fault:
            if fault.orig is None or fault.orig.args[0] != _DUPLICATE:
                raise
            return False
        return True
    # Of inserts, SQLAlchemy keeps the count for the asking only.
    options = {"preserve_rowcount": True}
    return connection.execute(_insert(dialect, row.__table__), values, execution_options=options).rowcount == 1


@cache  # to put a statement together costs more than to execute it
def _insert(dialect: str, table: Any) -> Any:
    insert_here = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert_here(table).on_conflict_do_nothing()
