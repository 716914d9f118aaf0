"""Where rooms and users are kept: in memory, or in a database by SQLAlchemy."""
