"""What all documents of the control API are made of: strict models, and the kinds of value that they share."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from mediaserver.matrix import MAX_GAIN_DB, MIN_GAIN_DB
from mediaserver.names import MAX_NAME_BYTES, valid_name

MAX_SEATS = 1000


def check_name(name: str) -> str:
    if not valid_name(name):
        raise ValueError(
            f"must be 1 to {MAX_NAME_BYTES} bytes of UTF-8 without control characters, and not a dot or two"
        )
    return name


def whole(value: Any) -> Any:
    """To JSON Schema 3.0 is an integer, and some languages write all numbers so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# JSON Schema counts characters and has no words for bytes, so maxLength is a bound that only ASCII reaches. What holds
# is the format, which the description of the API explains.
NAME_FORMAT = {"format": "name"}
Name = Annotated[
    str, Field(min_length=1, max_length=MAX_NAME_BYTES, json_schema_extra=NAME_FORMAT), AfterValidator(check_name)
]
GainDb = Annotated[float, Field(ge=MIN_GAIN_DB, le=MAX_GAIN_DB, allow_inf_nan=False)]
MuteSourceName = Literal["self", "host", "system"]
Pan = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
Whole = BeforeValidator(whole)
Seat = Annotated[int, Field(ge=0, le=MAX_SEATS - 1), Whole]


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class State(BaseModel):
    """What is answered. There may be more fields in it than a client knows."""

    model_config = ConfigDict(strict=True)
