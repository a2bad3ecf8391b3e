"""The one statement each database spells in its own way."""

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import mysql, postgresql, sqlite


def insert_if_absent(connection: Connection, row: type[Any], **values: Any) -> bool:
    """Insert a row unless one with the same key exists; tell whether it was inserted."""
    dialect = connection.dialect.name
    if dialect in ("mysql", "mariadb"):
        statement: Any = mysql.insert(row).values(**values).prefix_with("IGNORE")
    elif dialect == "postgresql":
        statement = postgresql.insert(row).values(**values).on_conflict_do_nothing()
    else:
        statement = sqlite.insert(row).values(**values).on_conflict_do_nothing()
    return connection.execute(statement).rowcount == 1
