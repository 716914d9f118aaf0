"""The tables. `room_infos` has the columns of the AppServer document; they are there for other programs to read, and
what the service itself goes by is beside them in `room_states`."""

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, String, Table, Text

NAME = String(256)

metadata = MetaData()

room_infos = Table(
    "room_infos",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("created_at", DateTime),
    Column("updated_at", DateTime),
    Column("title", NAME),
    Column("anchor", NAME),
    Column("extends", Text),
    Column("status", BigInteger),
    Column("mode", BigInteger),
    Column("chat_id", NAME),
    Column("pk_id", NAME),
    Column("notice", NAME),
    Column("meeting_id", NAME),
    Column("cover_url", NAME),
    Column("anchor_id", NAME),
    Column("anchor_nick", NAME),
    Column("vod_id", NAME),
    Column("meeting_info", Text),
    Column("started_at", DateTime),
    Column("stopped_at", DateTime),
    Index("idx_create_at", "created_at"),
)

# The listing and the room as JSON (TypeAdapter), and the revision by which of two writers one is told to read again.
room_states = Table(
    "room_states",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("listing", Text, nullable=False),
    Column("room", Text, nullable=False),
)

room_visits = Table(
    "room_visits",
    metadata,
    Column("room", NAME, primary_key=True),
    Column("user", NAME, primary_key=True),
    Column("visits", Integer, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("password", String(512), nullable=False),
)
