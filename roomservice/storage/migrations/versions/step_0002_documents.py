"""Documents, and all that a commit has with them. Rooms that there are become documents; their people begin to follow
them."""

import json

import sqlalchemy as sa
from alembic import op

from roomservice.storage.types import KEY_LENGTH, LONG_TEXT, WORD_LENGTH, Key

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    documents = op.create_table(
        "documents",
        sa.Column("kind", Key(WORD_LENGTH), primary_key=True),
        sa.Column("id", Key(), primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("body", LONG_TEXT, nullable=False),
        sa.Column("media", sa.Boolean, nullable=False),
    )
    op.create_index("documents_media", "documents", ["media", "kind", "id"])
    op.create_table(
        "streams",
        sa.Column("stream", Key(KEY_LENGTH), primary_key=True),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("stream", Key(KEY_LENGTH), primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("name", Key(WORD_LENGTH), nullable=False),
        sa.Column("data", LONG_TEXT, nullable=False),
        sa.Column("except_device", Key()),
    )
    op.create_index("events_at", "events", ["at"])
    followers = op.create_table(
        "followers",
        sa.Column("user", Key(), primary_key=True),
        sa.Column("stream", Key(KEY_LENGTH), primary_key=True),
        sa.Column("since", sa.BigInteger, nullable=False),
    )
    op.create_index("followers_stream", "followers", ["stream"])
    op.create_table(
        "engagements",
        sa.Column("user", Key(), primary_key=True),
        sa.Column("call", Key(), nullable=False),
    )
    timers = op.create_table(
        "timers",
        sa.Column("kind", Key(WORD_LENGTH), primary_key=True),
        sa.Column("id", Key(), primary_key=True),
        sa.Column("what", Key(WORD_LENGTH), primary_key=True),
        sa.Column("of", Key(), primary_key=True),
        sa.Column("deadline", sa.Double, nullable=False),
        sa.Column("due", sa.Double, nullable=False),
    )
    op.create_index("timers_due", "timers", ["due"])
    op.create_table(
        "jobs",
        sa.Column("key", Key(KEY_LENGTH), primary_key=True),
        sa.Column("kind", Key(WORD_LENGTH), nullable=False),
        sa.Column("payload", LONG_TEXT, nullable=False),
        sa.Column("due", sa.Double, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("lease", Key(WORD_LENGTH), nullable=False),
        sa.Column("leased_until", sa.Double, nullable=False),
    )
    op.create_index("jobs_due", "jobs", ["due"])
    _talk()
    _sessions()
    _move_rooms(documents, followers, timers)
    op.drop_table("room_states")


def _talk() -> None:
    op.create_table(
        "messages",
        sa.Column("conversation", Key(KEY_LENGTH), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", Key(), nullable=False),
        sa.Column("by", Key(), nullable=False),
        sa.Column("type", Key(WORD_LENGTH), nullable=False),
        sa.Column("data", LONG_TEXT, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("recalled", sa.Boolean, nullable=False),
        sa.UniqueConstraint("conversation", "id", name="messages_id"),
    )
    op.create_table(
        "marks",
        sa.Column("user", Key(), primary_key=True),
        sa.Column("conversation", Key(KEY_LENGTH), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "records",
        sa.Column("kind", Key(WORD_LENGTH), primary_key=True),
        sa.Column("id", Key(), primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("data", LONG_TEXT, nullable=False),
    )
    op.create_table(
        "record_users",
        sa.Column("user", Key(), primary_key=True),
        sa.Column("kind", Key(WORD_LENGTH), primary_key=True),
        sa.Column("at", sa.Double, primary_key=True, autoincrement=False),
        sa.Column("id", Key(), primary_key=True),
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", Key(), primary_key=True),
        sa.Column("user", Key(), nullable=False),
        sa.Column("device", Key(), nullable=False),
        sa.Column("instance", Key(WORD_LENGTH), nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("data", LONG_TEXT, nullable=False),
    )
    op.create_index("sessions_user", "sessions", ["user"])
    op.create_index("sessions_until", "sessions", ["until"])


def _move_rooms(documents: sa.Table, followers: sa.Table, timers: sa.Table) -> None:
    """No timer ran before: those that a room has begin now."""
    states = sa.table("room_states", sa.column("id"), sa.column("listing", sa.Text), sa.column("room", sa.Text))
    bind = op.get_bind()
    for row in bind.execute(sa.select(states)).all():
        name = row.id.decode() if isinstance(row.id, bytes) else row.id
        room = json.loads(row.room)
        open_ = room["dismissed_at"] is None
        body = json.dumps({"listing": json.loads(row.listing), "room": room}, separators=(",", ":"))
        bind.execute(documents.insert().values(kind="room", id=name, revision=1, body=body, media=open_))
        for user in room["attendees"]:
            bind.execute(followers.insert().values(user=user, stream=f"room:{name}", since=0))
        runs = {("away", user): until for user, until in room["away"].items()}
        runs |= {
            ("stage invite", user): invite["deadline"]
            for user, invite in room["invites"].items()
            if invite["deadline"] is not None
        }
        if room["host_until"] is not None:
            runs["host gone", ""] = room["host_until"]
        for (what, of), deadline in runs.items():
            timer = {"kind": "room", "id": name, "what": what, "of": of, "deadline": deadline, "due": deadline}
            bind.execute(timers.insert().values(**timer))
