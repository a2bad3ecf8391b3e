"""Complaints for staff to look at; what stays of users who had everything erased."""

import secrets
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_MYSQL: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "complaints",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("receipt", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("user_id", _ID, nullable=True),
        sa.Column("turn_id", _ID, nullable=True),
        sa.Column("reason", _LONG, nullable=False),
        sa.Column("question", _LONG, nullable=False),
        sa.Column("answer", _LONG, nullable=False),
        sa.Column("note", _LONG, nullable=False),
        sa.Column("closed_by", sa.String(64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_complaints"),
        sa.UniqueConstraint("receipt", name="uq_complaints_receipt"),
        **_MYSQL,
    )
    op.create_index("ix_complaints_state_id", "complaints", ["state", "id"])
    op.create_index("ix_complaints_user_id", "complaints", ["user_id"])
    op.create_index("ix_complaints_turn_id", "complaints", ["turn_id"])
    op.create_table(
        "erasures",
        sa.Column("identity_hash", sa.String(64), nullable=False),
        sa.Column("blocked", sa.Boolean(), nullable=False),
        sa.Column("per_day", sa.Integer(), nullable=True),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("day_count", sa.Integer(), nullable=False),
        sa.Column("minute", sa.Integer(), nullable=False),
        sa.Column("minute_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("identity_hash", name="pk_erasures"),
        **_MYSQL,
    )
    op.create_index("ix_erasures_day", "erasures", ["day"])
    keys = op.create_table(
        "keys",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_keys"),
        **_MYSQL,
    )
    op.bulk_insert(keys, [{"name": "erasure", "value": secrets.token_hex(32)}])


def downgrade() -> None:
    for table in ("keys", "erasures", "complaints"):
        op.drop_table(table)
