"""Alembic's: each file of versions/ is a step from one state of the tables to the next. A step is never changed once it
is in main."""
