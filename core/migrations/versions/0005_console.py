"""The console: staff's reviews of answers, what turns are found by, figures of the past, failed log-ins."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_MYSQL: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.add_column("turns", sa.Column("score", sa.Integer(), nullable=True))
    op.add_column("turns", sa.Column("better_answer", _LONG, nullable=True))
    op.add_column("turns", sa.Column("reviewed_by", sa.String(64), nullable=True))
    op.add_column("turns", sa.Column("reviewed_at", sa.BigInteger(), nullable=True))
    op.create_index("ix_identities_openid", "identities", ["openid"])
    op.create_table(
        "turn_marks",
        sa.Column("mark", sa.String(24), nullable=False),
        sa.Column("turn_id", _ID, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("mark", "turn_id", name="pk_turn_marks"),
        sqlite_with_rowid=False,
        **_MYSQL,
    )
    op.execute("INSERT INTO turn_marks (mark, turn_id) SELECT rating, id FROM turns WHERE rating IS NOT NULL")
    op.execute(
        "INSERT INTO turn_marks (mark, turn_id) SELECT DISTINCT 'reported', turn_id FROM complaints"
        " WHERE kind = 'report' AND turn_id IS NOT NULL"
    )
    op.create_table(
        "figures",
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("counts", _LONG, nullable=False),
        sa.Column("stale", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("slot", "channel", name="pk_figures"),
        **_MYSQL,
    )
    op.create_index("ix_figures_stale", "figures", ["stale"])
    op.create_table(
        "daily_users",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("user_id", _ID, autoincrement=False, nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("day", "user_id", "channel", name="pk_daily_users"),
        sqlite_with_rowid=False,
        **_MYSQL,
    )
    op.create_index("ix_daily_users_user_id", "daily_users", ["user_id"])
    op.create_table(
        "login_failures",
        sa.Column("key", sa.String(160), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_login_failures"),
        **_MYSQL,
    )
    for statement in _GRAMS.get(op.get_bind().dialect.name, _GRAMS["mysql"]):
        op.execute(statement)


# Each database has an index of its own kind for texts; `core/store/grams.py` says what is put into it.
_GRAMS = {
    "sqlite": [
        "CREATE VIRTUAL TABLE turn_grams USING fts5(grams, content='', columnsize=0, detail=none, tokenize='ascii')"
    ],
    "postgresql": [
        "CREATE TABLE turn_grams (id bigint PRIMARY KEY, grams integer[] NOT NULL) WITH (toast_tuple_target = 128)",
        # The index is all that is read: the arrays are kept out of its way.
        "ALTER TABLE turn_grams ALTER COLUMN grams SET STORAGE EXTERNAL",
        "CREATE INDEX ix_turn_grams_grams ON turn_grams USING gin (grams) WITH (gin_pending_list_limit = 64)",
    ],
    "mysql": [
        "CREATE TABLE turn_grams (id BIGINT PRIMARY KEY, grams MEDIUMTEXT NOT NULL,"
        " FULLTEXT INDEX ix_turn_grams_grams (grams)) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    ],
}


def downgrade() -> None:
    for table in ("turn_grams", "login_failures", "daily_users", "figures", "turn_marks"):
        op.drop_table(table)
    op.drop_index("ix_identities_openid", "identities")
    for column in ("reviewed_at", "reviewed_by", "better_answer", "score"):
        op.execute(f"ALTER TABLE turns DROP COLUMN {column}")
