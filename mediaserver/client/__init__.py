"""A client of the control API, for room services: docs/client.md.

    async with MediaServer("https://media.example.org", "service", secret) as server:
        await server.put_room("lobby", RoomDocument(speakers={"ann": SpeakerDocument()}))

It imports nothing that serves: no media, no web framework.
"""

from mediaserver.client.errors import BadAnswerError, CallError, Refused, UnreachableError
from mediaserver.client.following import StreamEvent
from mediaserver.client.patience import Patience
from mediaserver.client.server import MediaServer
from mediaserver.client.tagged import Tagged
from mediaserver.schema import ParticipantDocument, RoomDocument, ScenarioName, SpeakerDocument, TokenRequest
from mediaserver.schema_media import MediaDocument
from mediaserver.schema_programme import EffectDocument, EffectState, PlayerDocument, PlayerStateDocument, TrackDocument
from mediaserver.webhook_signature import sign as sign_webhook
from mediaserver.webhook_signature import verify as verify_webhook

__all__ = [
    "BadAnswerError",
    "CallError",
    "EffectDocument",
    "EffectState",
    "MediaDocument",
    "MediaServer",
    "ParticipantDocument",
    "Patience",
    "PlayerDocument",
    "PlayerStateDocument",
    "Refused",
    "RoomDocument",
    "ScenarioName",
    "SpeakerDocument",
    "StreamEvent",
    "Tagged",
    "TokenRequest",
    "TrackDocument",
    "UnreachableError",
    "sign_webhook",
    "verify_webhook",
]
