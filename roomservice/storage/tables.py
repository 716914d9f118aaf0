"""The tables. `room_infos` has the columns of the AppServer document; they are there for other programs to read and for
lists, and what the service itself goes by is in `documents`. migrations/ makes them.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, MetaData, String, Table, UniqueConstraint

from roomservice.storage.types import KEY_LENGTH, LINE, LONG_TEXT, MOMENT, WORD_LENGTH, Key

metadata = MetaData()

room_infos = Table(
    "room_infos",
    metadata,
    Column("id", LINE, primary_key=True),
    Column("created_at", MOMENT),
    Column("updated_at", MOMENT),
    Column("title", LINE),
    Column("anchor", LINE),
    Column("extends", LONG_TEXT),
    Column("status", BigInteger),
    Column("mode", BigInteger),
    Column("chat_id", LINE),
    Column("pk_id", LINE),
    Column("notice", LINE),
    Column("meeting_id", LINE),
    Column("cover_url", LINE),
    Column("anchor_id", LINE),
    Column("anchor_nick", LINE),
    Column("vod_id", LINE),
    Column("meeting_info", LONG_TEXT),
    Column("started_at", MOMENT),
    Column("stopped_at", MOMENT),
    Index("idx_create_at", "created_at"),
)

room_visits = Table(
    "room_visits",
    metadata,
    Column("room", Key(), primary_key=True),
    Column("user", Key(), primary_key=True),
    Column("visits", Integer, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", Key(), primary_key=True),
    Column("password", String(512), nullable=False),
)

# body: JSON (TypeAdapter). media: there shall be a media room for it.
documents = Table(
    "documents",
    metadata,
    Column("kind", Key(WORD_LENGTH), primary_key=True),
    Column("id", Key(), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("body", LONG_TEXT, nullable=False),
    Column("media", Boolean, nullable=False),
    Index("documents_media", "media", "kind", "id"),
)

# What of a document is kept by itself, in the same transactions. body: JSON.
document_parts = Table(
    "document_parts",
    metadata,
    Column("kind", Key(WORD_LENGTH), primary_key=True),
    Column("id", Key(), primary_key=True),
    Column("name", Key(), primary_key=True),
    Column("body", LONG_TEXT, nullable=False),
)

# The number of the newest event of each; a conversation's newest message among them. Rows stay: numbers go on.
streams = Table(
    "streams",
    metadata,
    Column("stream", Key(KEY_LENGTH), primary_key=True),
    Column("last", BigInteger, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("stream", Key(KEY_LENGTH), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("name", Key(WORD_LENGTH), nullable=False),
    Column("data", LONG_TEXT, nullable=False),
    Column("except_device", Key()),
    Index("events_at", "at"),
)

followers = Table(
    "followers",
    metadata,
    Column("user", Key(), primary_key=True),
    Column("stream", Key(KEY_LENGTH), primary_key=True),
    Column("since", BigInteger, nullable=False),
    Index("followers_stream", "stream"),
)

engagements = Table(
    "engagements",
    metadata,
    Column("user", Key(), primary_key=True),
    Column("call", Key(), nullable=False),
)

# due: the deadline, or when a lease of it is over.
timers = Table(
    "timers",
    metadata,
    Column("kind", Key(WORD_LENGTH), primary_key=True),
    Column("id", Key(), primary_key=True),
    Column("what", Key(WORD_LENGTH), primary_key=True),
    Column("of", Key(), primary_key=True),
    Column("deadline", Double, nullable=False),
    Column("due", Double, nullable=False),
    Index("timers_due", "due"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("key", Key(KEY_LENGTH), primary_key=True),
    Column("kind", Key(WORD_LENGTH), nullable=False),
    Column("payload", LONG_TEXT, nullable=False),
    Column("due", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("lease", Key(WORD_LENGTH), nullable=False),
    Column("leased_until", Double, nullable=False),
    Index("jobs_due", "due"),
)

messages = Table(
    "messages",
    metadata,
    Column("conversation", Key(KEY_LENGTH), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Key(), nullable=False),
    Column("by", Key(), nullable=False),
    Column("type", Key(WORD_LENGTH), nullable=False),
    Column("data", LONG_TEXT, nullable=False),
    Column("at", Double, nullable=False),
    Column("recalled", Boolean, nullable=False),
    UniqueConstraint("conversation", "id", name="messages_id"),
    Index("messages_at", "at"),
)

marks = Table(
    "marks",
    metadata,
    Column("user", Key(), primary_key=True),
    Column("conversation", Key(KEY_LENGTH), primary_key=True),
    Column("number", BigInteger, nullable=False),
)

records = Table(
    "records",
    metadata,
    Column("kind", Key(WORD_LENGTH), primary_key=True),
    Column("id", Key(), primary_key=True),
    Column("at", Double, nullable=False),
    Column("data", LONG_TEXT, nullable=False),
    Index("records_at", "at"),
)

record_users = Table(
    "record_users",
    metadata,
    Column("user", Key(), primary_key=True),
    Column("kind", Key(WORD_LENGTH), primary_key=True),
    Column("at", Double, primary_key=True, autoincrement=False),
    Column("id", Key(), primary_key=True),
    Index("record_users_of", "kind", "id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Key(), primary_key=True),
    Column("user", Key(), nullable=False),
    Column("device", Key(), nullable=False),
    Column("instance", Key(WORD_LENGTH), nullable=False),
    Column("since", Double, nullable=False),
    Column("until", Double, nullable=False),
    Column("data", LONG_TEXT, nullable=False),
    Index("sessions_user", "user"),
    Index("sessions_until", "until"),
)
