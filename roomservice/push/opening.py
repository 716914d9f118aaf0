"""The ways to push that the settings name."""

from collections.abc import Callable

import httpx

from roomservice.push.both import PushByAll
from roomservice.push.hook import HookPush
from roomservice.settings import ServiceSettings
from roomservice.talk.people import KeptSubscriptions, People
from roomservice.talk.talk import BrowserPush


def open_pushes(
    settings: ServiceSettings, push: PushByAll, people: People, http: httpx.AsyncClient, clock: Callable[[], float]
) -> BrowserPush | None:
    """Adds them to `push`. Web Push, if it is one of them. ValueError, with a sentence."""
    if settings.push_hook:
        push.add(HookPush(http, settings.push_hook, settings.push_hook_secret, clock))
    if not settings.vapid_key:
        return None
    # It takes half a second to import, and is not always wanted.
    from roomservice.push.webpush import KNOWN_SERVICES, WebPush, vapid_key  # noqa: PLC0415

    if not settings.vapid_subject.startswith(("mailto:", "https:")):
        raise ValueError("The VAPID subject starts with mailto: or https:, and is where push services turn to.")
    browsers = WebPush(
        http,
        KeptSubscriptions(people),
        vapid_key(settings.vapid_key),
        settings.vapid_subject,
        clock,
        services=(*KNOWN_SERVICES, *settings.push_services),
    )
    push.add(browsers)
    return browsers
