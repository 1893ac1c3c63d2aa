"""Run by Alembic for each upgrade, on the connection and in the transaction that the store hands over."""

from alembic import context

from avisiod.store.columns import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
