"""Rooms and users, as the service made them before it had migrations: what is there stays."""

import sqlalchemy as sa
from alembic import op

from roomservice.storage.types import LINE, LONG_TEXT, MOMENT, Key

revision = "0001"
down_revision = None


def upgrade() -> None:
    there = set(sa.inspect(op.get_bind()).get_table_names())
    if "room_infos" not in there:
        op.create_table(
            "room_infos",
            sa.Column("id", LINE, primary_key=True),
            sa.Column("created_at", MOMENT),
            sa.Column("updated_at", MOMENT),
            sa.Column("title", LINE),
            sa.Column("anchor", LINE),
            sa.Column("extends", LONG_TEXT),
            sa.Column("status", sa.BigInteger),
            sa.Column("mode", sa.BigInteger),
            sa.Column("chat_id", LINE),
            sa.Column("pk_id", LINE),
            sa.Column("notice", LINE),
            sa.Column("meeting_id", LINE),
            sa.Column("cover_url", LINE),
            sa.Column("anchor_id", LINE),
            sa.Column("anchor_nick", LINE),
            sa.Column("vod_id", LINE),
            sa.Column("meeting_info", LONG_TEXT),
            sa.Column("started_at", MOMENT),
            sa.Column("stopped_at", MOMENT),
        )
        op.create_index("idx_create_at", "room_infos", ["created_at"])
    if "room_states" not in there:
        op.create_table(
            "room_states",
            sa.Column("id", Key(), primary_key=True),
            sa.Column("revision", sa.Integer, nullable=False),
            sa.Column("listing", LONG_TEXT, nullable=False),
            sa.Column("room", LONG_TEXT, nullable=False),
        )
    if "room_visits" not in there:
        op.create_table(
            "room_visits",
            sa.Column("room", Key(), primary_key=True),
            sa.Column("user", Key(), primary_key=True),
            sa.Column("visits", sa.Integer, nullable=False),
        )
    if "users" not in there:
        op.create_table(
            "users",
            sa.Column("id", Key(), primary_key=True),
            sa.Column("password", sa.String(512), nullable=False),
        )
