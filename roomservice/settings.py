"""What a room service is started with."""

from dataclasses import dataclass
from enum import StrEnum


class SignUp(StrEnum):
    """What a login by a name that is not known does."""

    OPEN = "open"  # makes the user, with this password
    CLOSED = "closed"  # is refused; `roomservice add-user` makes users


class DevicePolicy(StrEnum):
    """What a user's second device does to the first."""

    BOTH = "both"  # stay
    REPLACE = "replace"  # the first is sent away


class LibraryUploads(StrEnum):
    """Who may bring pieces into the media library."""

    NOBODY = "nobody"  # but who has the service's own key
    LEADERS = "leaders"  # host and admins of a room, which they name
    EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """secret: signs the service's tokens, at least 32 bytes. storage: `none` for memory, or a URL of SQLAlchemy's.
    redis: URL of the Redis by which instances wake each other; empty for one instance. Times in s. media_url: of the
    media server's control API; media_key: id and secret of its API key; media_public_url: as clients reach its WHIP
    and WHEP. heartbeat_s: how often a client says that it is there; after three that are missed it is not. push_hook,
    push_hook_secret: address and secret of the app's own push service; vapid_key, vapid_subject: of Web Push, empty
    for none; push_services: hosts of browsers' push services besides the known ones; word_list: file of words that are
    not wanted in messages, mask_words: they become stars. library_upload_mib: of one piece. rooms_per_user: that he has
    made and that are open. system_key: who has it acts as the service itself; empty for nobody."""

    secret: str
    storage: str = "none"
    redis: str = ""
    sign_up: SignUp = SignUp.CLOSED
    login_s: float = 24 * 3600.0
    access_s: float = 3600.0
    refresh_s: float = 30 * 24 * 3600.0
    media_url: str = "http://127.0.0.1:8090"
    media_key: tuple[str, str] = ("", "")
    media_public_url: str = ""
    heartbeat_s: float = 15.0
    devices: DevicePolicy = DevicePolicy.BOTH
    system_key: str = ""
    push_hook: str = ""
    push_hook_secret: str = ""
    vapid_key: str = ""
    vapid_subject: str = ""
    push_services: tuple[str, ...] = ()
    library_uploads: LibraryUploads = LibraryUploads.LEADERS
    library_upload_mib: int = 100
    rooms_per_user: int = 20
    word_list: str = ""
    mask_words: bool = False
    host: str = "127.0.0.1"
    port: int = 8080

    def __post_init__(self) -> None:
        """ValueError, with a sentence."""
        if len(self.secret.encode()) < 32:
            raise ValueError("The secret that signs tokens has at least 32 bytes.")
        if self.system_key and len(self.system_key.encode()) < 32:
            raise ValueError("The key of the service itself has at least 32 bytes.")
        if not 0 < self.heartbeat_s <= 300:
            raise ValueError("Heartbeats come each 300 seconds or more often.")
