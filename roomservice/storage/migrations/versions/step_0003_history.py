"""What is old among messages and records is found without looking at all of them."""

from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES = ("messages", "records", "record_users")


def upgrade() -> None:
    for table in _TABLES:
        op.create_index(f"{table}_at", table, ["at"])


def downgrade() -> None:
    for table in _TABLES:
        op.drop_index(f"{table}_at", table)
