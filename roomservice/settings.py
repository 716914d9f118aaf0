"""What a room service is started with."""

from dataclasses import dataclass
from enum import StrEnum


class SignUp(StrEnum):
    """What a login by a name that is not known does."""

    OPEN = "open"  # makes the user, with this password
    CLOSED = "closed"  # is refused; `roomservice add-user` makes users


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """secret: signs the service's tokens, at least 32 bytes. storage: `none` for memory, or a URL of SQLAlchemy's.
    Times in s. media_url: of the media server's control API; media_key: id and secret of its API key;
    media_public_url: as clients reach its WHIP and WHEP."""

    secret: str
    storage: str = "none"
    sign_up: SignUp = SignUp.CLOSED
    login_s: float = 24 * 3600.0
    access_s: float = 3600.0
    refresh_s: float = 30 * 24 * 3600.0
    media_url: str = "http://127.0.0.1:8090"
    media_key: tuple[str, str] = ("", "")
    media_public_url: str = ""
    host: str = "127.0.0.1"
    port: int = 8080

    def __post_init__(self) -> None:
        """ValueError, with a sentence."""
        if len(self.secret.encode()) < 32:
            raise ValueError("The secret that signs tokens has at least 32 bytes.")
