"""Attendees are kept in rows of their own: who comes, goes or is muted in a room of thousands writes no more than that.
They have numbers, in the order in which they came."""

import json

import sqlalchemy as sa
from alembic import op

from roomservice.storage.types import LONG_TEXT, WORD_LENGTH, Key

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "document_parts",
        sa.Column("kind", Key(WORD_LENGTH), primary_key=True),
        sa.Column("id", Key(), primary_key=True),
        sa.Column("name", Key(), primary_key=True),
        sa.Column("body", LONG_TEXT, nullable=False),
    )
    parts = sa.table("document_parts", *(sa.column(name, Key()) for name in ("kind", "id", "name")), sa.column("body"))
    documents = sa.table(
        "documents",
        sa.column("kind", Key()),
        sa.column("id", Key()),
        sa.column("revision"),
        sa.column("body", LONG_TEXT),
    )
    bind, rooms = op.get_bind(), documents.c.kind == "room"
    for name in bind.execute(sa.select(documents.c.id).where(rooms)).scalars().all():
        its = (rooms, documents.c.id == name)
        listed = json.loads(bind.execute(sa.select(documents.c.body).where(*its)).scalar_one())
        attendees = listed["room"].pop("attendees")
        listed["room"]["came"] = len(attendees)
        rows = [
            {"kind": "room", "id": name, "name": user, "body": _json({user: {**attendee, "number": number}})}
            for number, (user, attendee) in enumerate(attendees.items())
        ]
        if rows:
            bind.execute(parts.insert(), rows)
        values = {"body": _json(listed), "revision": documents.c.revision + 1}
        bind.execute(documents.update().where(*its).values(**values))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
