"""Buses by URL."""

from roomservice.bus.local import LocalBus
from roomservice.bus.redis import RedisBus


def open_bus(url: str) -> LocalBus | RedisBus:
    """Empty for one instance, or Redis's. ValueError, with a sentence."""
    if not url:
        return LocalBus()
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("Redis has a URL like redis://127.0.0.1:6379/0.")
    try:
        return RedisBus(url)
    except ModuleNotFoundError:
        raise ValueError("For Redis the Python package redis is needed: pip install 'voicerooms[redis]'.") from None
    except ValueError:
        raise ValueError("Redis has a URL like redis://127.0.0.1:6379/0.") from None
