"""Messages to groups and to users, history, read marks, and what is new where."""

from typing import Annotated

from pydantic import Field, JsonValue

from roomservice.commit import KeptMessage
from roomservice.model.messages import MAX_MENTIONS, MAX_TEXT_BYTES, MAX_URL_BYTES, Content, Kind, Reference
from roomservice.operations.fields import Line, UserId
from roomservice.operations.rooms import himself
from roomservice.operations.table import Caller, Done, Nothing, Operation, Params, Result
from roomservice.operations.talking import Data, GroupId
from roomservice.operations.world import World

TAG = "messages"
MessageId = Annotated[
    str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$", description="Id of the message")
]


class Media(Params):
    """Media that is elsewhere."""

    url: Annotated[str, Field(min_length=1, max_length=MAX_URL_BYTES, description="Where it is")]
    mime: Annotated[Line, Field(description="What it is, as image/webp")] = ""
    name: Annotated[Line, Field(description="What the file is called")] = ""
    bytes: Annotated[int | None, Field(ge=0, le=2**53, description="Its size")] = None
    duration_s: Annotated[float | None, Field(ge=0, le=1e6, description="Of audio and video, in seconds")] = None


class Said(Params):
    type: Annotated[Kind, Field(description="text, custom (the app's own), or media: image, audio, video, file")] = (
        Kind.TEXT
    )
    text: Annotated[Data, Field(max_length=MAX_TEXT_BYTES, description="The text, or the words with media")] = ""
    media: Annotated[Media | None, Field(description="Of a message of media")] = None
    mentions: Annotated[
        list[UserId], Field(max_length=MAX_MENTIONS, description="Who is meant above others, and pushed to if offline")
    ] = Field(default_factory=list)
    id: Annotated[
        MessageId | None,
        Field(description="The sender's own name for it: what comes a second time is the same message"),
    ] = None

    def content(self) -> Content:
        media = self.media
        reference = None if media is None else Reference(**media.model_dump())
        return Content(self.type, self.text, reference, tuple(self.mentions))


class SendMessage(Said):
    group: GroupId


class SendDirectMessage(Said):
    user: UserId


class Page(Params):
    before: Annotated[int | None, Field(ge=1, le=2**53, description="Those with smaller numbers, else the newest")] = (
        None
    )
    limit: Annotated[int, Field(ge=1, le=100, description="How many at most")] = 50


class GetMessages(Page):
    group: GroupId


class GetDirectMessages(Page):
    user: UserId


class RecallMessage(Params):
    group: GroupId
    message: MessageId


class RecallDirectMessage(Params):
    user: UserId
    message: MessageId


class MarkRead(Params):
    group: GroupId
    number: Annotated[int, Field(ge=0, le=2**53, description="Of the newest message that was read")]


class MarkDirectRead(Params):
    user: UserId
    number: Annotated[int, Field(ge=0, le=2**53, description="Of the newest message that was read")]


# ---- what is answered


class MessageView(Result):
    conversation: str = Field(description="Where it was said")
    number: int = Field(description="Its place there, from 1, without gaps")
    id: str = Field(description="Its id")
    by: str = Field(description="Who sent it")
    type: str = Field(description="text, custom, image, audio, video or file")
    data: dict[str, JsonValue] = Field(
        description="`text`, `mentions`, `media`, and `group` or `to`; empty when it was recalled"
    )
    at: float = Field(description="When it was sent, Unix time in seconds")
    recalled: bool = Field(description="Whether it was taken back")


class MessagePage(Result):
    messages: list[MessageView] = Field(description="The newest first")
    before: int | None = Field(description="`before` of the next page, null when there is none")


class ReadView(Result):
    number: int = Field(description="Up to which the user has read; it never goes back")


class ConversationView(Result):
    conversation: str = Field(description="Its name in messages")
    group: str | None = Field(description="With which group or room")
    user: str | None = Field(description="With which user")
    last: int = Field(description="Number of the newest message")
    read: int = Field(description="Up to which the caller has read")
    unread: int = Field(description="How many he has not")


class Conversations(Result):
    conversations: list[ConversationView] = Field(description="Those in which something was said")


def message_view(message: KeptMessage) -> MessageView:
    return MessageView(**{name: getattr(message, name) for name in MessageView.model_fields})


def _page(found: list[KeptMessage], limit: int) -> MessagePage:
    more = len(found) == limit and found[-1].number > 1
    return MessagePage(messages=[message_view(one) for one in found], before=found[-1].number if more else None)


# ---- what is done


async def send_message(world: World, caller: Caller, asked: SendMessage) -> MessageView:
    return message_view(await world.talk.messages.to_group(himself(caller), asked.group, asked.content(), asked.id))


async def send_direct_message(world: World, caller: Caller, asked: SendDirectMessage) -> MessageView:
    return message_view(await world.talk.messages.to_user(himself(caller), asked.user, asked.content(), asked.id))


async def get_messages(world: World, caller: Caller, asked: GetMessages) -> MessagePage:
    found = await world.talk.messages.of_group(himself(caller), asked.group, asked.before, asked.limit)
    return _page(list(found), asked.limit)


async def get_direct_messages(world: World, caller: Caller, asked: GetDirectMessages) -> MessagePage:
    found = await world.talk.messages.of_two(himself(caller), asked.user, asked.before, asked.limit)
    return _page(list(found), asked.limit)


async def recall_message(world: World, caller: Caller, asked: RecallMessage) -> Done:
    await world.talk.messages.recall_in_group(himself(caller), asked.group, asked.message)
    return Done()


async def recall_direct_message(world: World, caller: Caller, asked: RecallDirectMessage) -> Done:
    await world.talk.messages.recall_to_user(himself(caller), asked.user, asked.message)
    return Done()


async def mark_read(world: World, caller: Caller, asked: MarkRead) -> ReadView:
    return ReadView(number=await world.talk.messages.read_in_group(himself(caller), asked.group, asked.number))


async def mark_direct_read(world: World, caller: Caller, asked: MarkDirectRead) -> ReadView:
    return ReadView(number=await world.talk.messages.read_to_user(himself(caller), asked.user, asked.number))


async def get_conversations(world: World, caller: Caller, _: Nothing) -> Conversations:
    found = await world.talk.messages.conversations(himself(caller))
    return Conversations(
        conversations=[
            ConversationView(
                conversation=one.id,
                group=one.group,
                user=one.user,
                last=one.last,
                read=one.read,
                unread=one.last - one.read,
            )
            for one in found
        ]
    )


OPERATIONS = (
    Operation(
        "send_message",
        ("POST", "/v1/groups/{group}/messages"),
        SendMessage,
        MessageView,
        send_message,
        "Sends a message to a group, or to all who are in a room.",
        TAG,
    ),
    Operation(
        "get_messages",
        ("GET", "/v1/groups/{group}/messages"),
        GetMessages,
        MessagePage,
        get_messages,
        "What was said in a group or room. For its members.",
        TAG,
    ),
    Operation(
        "recall_message",
        ("POST", "/v1/groups/{group}/messages/{message}:recall"),
        RecallMessage,
        Done,
        recall_message,
        "Takes a message back: one's own within two minutes; owner and admins a member's at any time.",
        TAG,
    ),
    Operation(
        "mark_read",
        ("POST", "/v1/groups/{group}/messages:read"),
        MarkRead,
        ReadView,
        mark_read,
        "Up to where a group's messages were read. The user's other devices are told.",
        TAG,
    ),
    Operation(
        "send_direct_message",
        ("POST", "/v1/users/{user}/messages"),
        SendDirectMessage,
        MessageView,
        send_direct_message,
        "Sends a message to a user. Who is offline is pushed to, and finds it when he is back.",
        TAG,
    ),
    Operation(
        "get_direct_messages",
        ("GET", "/v1/users/{user}/messages"),
        GetDirectMessages,
        MessagePage,
        get_direct_messages,
        "What was said between a user and the caller.",
        TAG,
    ),
    Operation(
        "recall_direct_message",
        ("POST", "/v1/users/{user}/messages/{message}:recall"),
        RecallDirectMessage,
        Done,
        recall_direct_message,
        "Takes one's own message back, within two minutes.",
        TAG,
    ),
    Operation(
        "mark_direct_read",
        ("POST", "/v1/users/{user}/messages:read"),
        MarkDirectRead,
        ReadView,
        mark_direct_read,
        "Up to where a user's messages were read. He is told.",
        TAG,
    ),
    Operation(
        "get_conversations",
        ("GET", "/v1/conversations"),
        Nothing,
        Conversations,
        get_conversations,
        "Where something was said, and how much of it was not read: for who comes back.",
        TAG,
    ),
)
