"""The one statement each database spells in its own way."""

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
            connection.execute(insert(row).values(**values))
        except IntegrityError as fault:
            if fault.orig is None or fault.orig.args[0] != _DUPLICATE:
                raise
            return False
        return True
    if dialect == "postgresql":
        statement: Any = postgresql.insert(row).values(**values).on_conflict_do_nothing()
    else:
        statement = sqlite.insert(row).values(**values).on_conflict_do_nothing()
    # Of inserts, SQLAlchemy keeps the count for the asking only.
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1
