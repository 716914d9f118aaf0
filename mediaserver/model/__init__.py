"""The room model: who may speak, who is muted by whom, who is connected. Pure: no clock, no sockets, no HTTP.

A Room (room.py) is what is so, and answers questions. Every change is a function of the file that has its subject, and
returns the commands which make it true in the packet plane; performing them in order is the caller's part. Every change
is idempotent: asking for what already is changes nothing.

    seats.py      who has a seat, and who is muted by whom      ─┐
    columns.py    how a speaker is heard by all                  ├─▶ rows.py: what each listener of the mix hears
    presence.py   whose sessions come, are replaced, and go      │
    playing.py    players and effects, and for whom they are    ─┘
    aligning.py   how late music and voices are heard
    moves.py      from a room to another one, with seat and sessions
    kicks.py      out of it, and not back with an old token
    lifecycle.py  the room's begin, settings and end
    memory.py     what is remembered of each user beside the room's document

Rules held here
- A speaker is heard if and only if he may publish and no mute source is set; else his column's gain is 0.
- The column exists as long as the seat (the entry in `speakers`), whether or not he is connected.
- A user's CSRC is unique in the room and stays his while the room lives, once he has had a seat.
- A user has at most one publishing and one listening session; a newer one replaces the older of its own direction, once
  it is connected and its media has begun.
- A kick ends both, takes the seat, and revokes every token issued until then.
- A user has joined once a session of his is connected, and left when the last has ended; a session that replaces
  another is no news.
- Who listens to a mix has a row of the gain matrix: it follows from his seat, his own wishes, and what the room plays
  for whom (matrix.py). What he wishes stays while the room lives, connected or not.
- What a room plays (programme.py) changes the rows of those whom it is not for before it is heard.
- Voices are heard later than they come only while there is music that singers sing to (ktv.py).
"""
