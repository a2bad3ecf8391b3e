"""How answers have ended lately."""

from sqlalchemy import Connection, func, select

from core.tables import TurnRow, id_at, now_ms

MODEL_FAULTS = ("model_error", "model_timeout", "model_unavailable")


def lately(connection: Connection, seconds: float) -> tuple[int, int]:
    """Of the turns asked in the last `seconds`: how many the model failed, and how many it answered."""
    counted = (
        select(TurnRow.status, TurnRow.code, func.count())
        .where(TurnRow.id > id_at(now_ms() - int(seconds * 1000)))
        .group_by(TurnRow.status, TurnRow.code)
    )
    failed = done = 0
    for status, code, count in connection.execute(counted):
        if status == "done":
            done += count
        elif status == "failed" and code in MODEL_FAULTS:
            failed += count
    return failed, done
