"""The official account: messages and how their answers reach followers, its access token, its silences."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_MYSQL: Any = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _id(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, _ID, autoincrement=False, nullable=nullable)


def _text(name: str, length: int, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def _number(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _time(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def upgrade() -> None:
    op.drop_table("deliveries")  # of 0001; nothing was ever written there
    op.create_table(
        "deliveries",
        _id("id"),
        _text("appid", 64),
        _text("key", 160),
        _text("openid", 128),
        _id("turn_id", nullable=True),
        _number("arrivals"),
        sa.Column("reply", _LONG, nullable=True),
        _text("state", 16),
        _number("shown"),
        _text("shown_hash", 64, nullable=True),
        _time("shown_at", nullable=True),
        _number("pushed"),
        _id("pusher", nullable=True),
        _number("tries"),
        _time("due"),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("appid", "key", name="uq_deliveries_appid_key"),
        **_MYSQL,
    )
    op.create_index("ix_deliveries_appid_openid_id", "deliveries", ["appid", "openid", "id"])
    op.create_index("ix_deliveries_state_due", "deliveries", ["state", "due"])
    op.create_index("ix_deliveries_turn_id", "deliveries", ["turn_id"])
    op.create_table(
        "silences",
        _id("id"),
        _text("appid", 64),
        _time("at"),
        sa.PrimaryKeyConstraint("id", name="pk_silences"),
        **_MYSQL,
    )
    op.create_index("ix_silences_appid_at", "silences", ["appid", "at"])
    op.create_table(
        "followers",
        _text("appid", 64),
        _text("openid", 128),
        _time("typing_at"),
        sa.PrimaryKeyConstraint("appid", "openid", name="pk_followers"),
        **_MYSQL,
    )
    op.create_table(
        "accounts",
        _text("appid", 64),
        sa.Column("access_token", sa.Text(), nullable=False),
        _time("token_until"),
        _time("fetching_until"),
        _time("no_push_until"),
        sa.PrimaryKeyConstraint("appid", name="pk_accounts"),
        **_MYSQL,
    )
    op.create_table(
        "media_checks",
        _text("trace_id", 128),
        _text("openid", 128),
        _number("errcode"),
        _text("suggest", 16),
        _number("label"),
        _time("created_at"),
        sa.PrimaryKeyConstraint("trace_id", name="pk_media_checks"),
        **_MYSQL,
    )


def downgrade() -> None:
    for table in ("media_checks", "accounts", "followers", "silences", "deliveries"):
        op.drop_table(table)
    op.create_table(
        "deliveries",
        _id("id"),
        _id("turn_id"),
        _text("appid", 64),
        _text("openid", 128),
        _number("number"),
        _text("kind", 16),
        _text("status", 16),
        _number("first_char"),
        _number("last_char"),
        sa.Column("error", sa.Text(), nullable=True),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        **_MYSQL,
    )
    op.create_index("ix_deliveries_appid_openid_id", "deliveries", ["appid", "openid", "id"])
    op.create_index("ix_deliveries_turn_id", "deliveries", ["turn_id"])
