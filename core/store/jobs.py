"""What is done once, however many processes there are: the daily job, an alert of each kind."""

from sqlalchemy import Connection, or_, select, update

from core.store.upsert import insert_if_absent
from core.tables import JobRow


def claim(connection: Connection, name: str, mark: int, *, every: int) -> bool:
    """Whether it is ours to do, because it was last done `every` before `mark` or earlier; then it counts as done.

    A mark that lies ahead was left by a clock that has been put right since: it holds nothing up.
    """
    due = or_(JobRow.mark <= mark - every, JobRow.mark > mark + every)
    claimed = update(JobRow).where(JobRow.name == name, due).values(mark=mark)
    if connection.execute(claimed).rowcount == 1:
        return True
    if connection.execute(select(JobRow.name).where(JobRow.name == name)).first() is not None:
        return False
    return insert_if_absent(connection, JobRow, name=name, mark=mark)


def give_back(connection: Connection, name: str, mark: int) -> None:
    """We claimed it with `mark` and could not do it: it is due again."""
    mine = (JobRow.name == name, JobRow.mark == mark)
    connection.execute(update(JobRow).where(*mine).values(mark=0))
