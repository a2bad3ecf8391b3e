"""Run by alembic; the connection comes from `core/migrate.py`."""

from alembic import context

from core.tables import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
