"""The processes that may write answers, and their heartbeats."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from core.tables import ProcessRow


def register(connection: Connection, process_id: int, host: str, pid: int, started: str) -> None:
    connection.execute(
        insert(ProcessRow).values(id=process_id, host=host, pid=pid, started=started, beat=0, state="running")
    )


def beat(connection: Connection, process_id: int, state: str) -> bool:
    """Show that we live; False if we were taken for dead and removed."""
    alive = update(ProcessRow).where(ProcessRow.id == process_id).values(beat=ProcessRow.beat + 1, state=state)
    return connection.execute(alive).rowcount == 1


def everyone(connection: Connection) -> Sequence[Any]:
    return connection.execute(select(ProcessRow.__table__)).all()


def remove(connection: Connection, process_id: int, beat: int | None = None) -> bool:
    """Take a process off the list: at its own end, or (with the beat it was last seen at) once it is dead."""
    condition = [ProcessRow.id == process_id]
    if beat is not None:
        condition.append(ProcessRow.beat == beat)
    return connection.execute(delete(ProcessRow).where(*condition)).rowcount == 1
