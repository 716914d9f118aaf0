"""Column types that mean the same in each database.

An id is compared byte by byte: MySQL's and MariaDB's text does not tell `a` from `a ` or, often, from `A`, so there ids
are bytes. Lengths are in bytes there, in characters elsewhere.
"""

from typing import Any

from sqlalchemy import DateTime, Dialect, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine

WORD_LENGTH, NAME_LENGTH, KEY_LENGTH = 64, 256, 768
"""Of what the service itself names; of users, devices and documents; of streams, conversations and jobs, which are made
of names. An index of MySQL has 3072 bytes at most."""


class _Bytes(mysql.VARBINARY):
    """Is bound as text, which a connection to MySQL sends as UTF-8: of bytes, aiomysql 0.3 makes an error."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> None:
        return None


class Key(TypeDecorator[str]):
    """Text of at most so many bytes of UTF-8, compared as it is."""

    impl = String
    cache_ok = True

    def __init__(self, length: int = NAME_LENGTH) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(_Bytes(self.length))
        return dialect.type_descriptor(String(self.length))

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return value.decode() if isinstance(value, bytes | bytearray) else value


def variants(base: TypeEngine[Any], of_mysql: TypeEngine[Any]) -> TypeEngine[Any]:
    return base.with_variant(of_mysql, "mysql").with_variant(of_mysql, "mariadb")


LONG_TEXT = variants(Text(), mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"))
LINE = variants(String(256), mysql.VARCHAR(256, charset="utf8mb4", collation="utf8mb4_bin"))
MOMENT = variants(DateTime(), mysql.DATETIME(fsp=6))
"""UTC, without saying so: as MySQL's datetime has it."""
