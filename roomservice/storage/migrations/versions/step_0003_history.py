"""What is old among messages and records is found without looking at all of them."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_index("messages_at", "messages", ["at"])
    op.create_index("records_at", "records", ["at"])
    op.create_index("record_users_of", "record_users", ["kind", "id"])
