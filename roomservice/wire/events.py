"""Every event that clients are told, and the fields of its data. Names are the model's.

`by` is who did it, null for the service itself. Users and rooms are ids, seats numbers from 0, times Unix time in s.
"""

STREAMS = {
    "stream_followed": "This user follows another stream from now on. `stream`, `after`: the number after which.",
    "stream_left": "This user follows a stream no more. `stream`, `last`: the last number of it that he is told.",
}

PRESENCE = {
    "session_ended": "One of his sessions ended. `session`, `device`, `reason`: replaced, logged out, lost, expired.",
    "presence_changed": "Who is followed has come, gone, or other devices. `user`, `online`, `devices`.",
}

ROOMS = {
    "room_created": "The room was made. `room`, `host`.",
    "room_listed": "What the list shows has changed. `changed`, `by`.",
    "room_configured": "How the room works has changed. `seats`, `mode`.",
    "room_info": "The app's own values have changed. `changed` (null: gone), `version`, `by`.",
    "room_dismissed": "The room has ended. `room`, `reason`: dismissed, host gone.",
    "host_changed": "The room has another host. `user`, `before`, `reason`: handed over, host gone.",
    "role_changed": "An attendee has another role. `user`, `role`.",
    "attendee_entered": "Somebody has come. `user`, `role`, `nick`, `avatar`, `extra`.",
    "attendee_left": "Somebody is not in the room any more. `user`, `reason`: left, lost, kicked, banned.",
    "attendee_lost": "There is no sign of life from an attendee. `user`.",
    "attendee_back": "There is one again. `user`.",
    "user_info": "What an attendee shows has changed. `user`, `changed`, `version`.",
    "expelled": "This user was sent out. `room`, `reason`: kicked, banned; `by`, `until` of a ban (null: for ever).",
    "seat_taken": "Somebody has a seat: he may speak. `user`, `seat`, `role`, `mutes`.",
    "seat_left": "Somebody has none any more. `user`, `seat`, `role`, `reason`: left, set to listener, fewer seats.",
    "seat_moved": "A speaker has another seat. `user`, `from`, `seat`.",
    "seat_locked": "A seat can be had by nobody. `seat`.",
    "seat_unlocked": "It can again. `seat`.",
    "muted": "A speaker was muted. `user`, `source`: self, host, system; `mutes`: all that are set.",
    "unmuted": "One mute was taken away. `user`, `source`, `mutes`: those that are left; without any he is heard.",
    "hand_raised": "Somebody asks for a seat. `user`, `seat` (null: any).",
    "hand_lowered": "A request has ended. `user`, `reason`: lowered, approved, rejected, mode; `by`.",
    "stage_invited": "This user is invited to a seat. `room`, `by`, `seat` (null: any), `until` (null: without end).",
    "stage_invite_ended": "That invitation has ended. `room`, `user`, `how`: accepted, rejected, cancelled, timed out.",
    "liked": "Somebody likes the room. `user`, `count`, `likes`: all of them.",
    "custom_command": "The app's own. `room`, `by`, `text`.",
}

INVITATIONS = {  # `callback` in each is its name in the Tencent document
    "invitation_received": "An invitation. `id`, `inviter`, `group`, `invitees`, `data`, `until` (null: without end).",
    "invitee_accepted": "An invitee accepts. `id`, `invitee`, `data`.",
    "invitee_rejected": "An invitee rejects. `id`, `invitee`, `data`.",
    "invitation_cancelled": "The inviter takes it back. `id`, `inviter`, `data`.",
    "invitation_timed_out": "Some have not answered in time. `id`, `invitees`.",
}

GROUPS = {
    "group_created": "This user has made a group. `group`, `owner`, `name`.",
    "group_invited": "This user may join a group. `group`, `name`, `by`.",
    "group_member_entered": "Somebody has joined. `group`, `user`, `card`.",
    "group_member_left": "Somebody is not in the group any more. `group`, `user`, `why`: quit, removed; `by`.",
    "group_left": "This user is not in the group any more. `group`, `user`, `why`: quit, removed; `by`.",
    "group_member_info": "What a member shows has changed. `group`, `user`, `card`.",
    "group_role": "A member has another role. `group`, `user`, `role`: admin, member; `by`.",
    "group_owner": "The group has another owner; the one before is an admin. `group`, `user`, `by`.",
    "group_info": "What the group shows has changed. `group`, `changed`, `version`, `by`.",
    "group_attributes": "A group's own values have changed. `group`, `changed` (null: gone), `version`, `by`.",
    "group_silenced": "A member (`user` null: all but owner and admins) may send no messages, or again. `group`, "
    "`silent`, `until` (null: without end), `by`.",
    "group_dismissed": "The group has ended. `group`, `by`.",
}

MESSAGES = {
    "message": "A message. `conversation`, `number` in it, `id`, `by`, `type`, `at`, and `data`: `text`, `mentions`, "
    "`media`, and `group` or `to`.",
    "message_recalled": "A message was taken back. `conversation`, `id`, `by`.",
    "message_read": "Up to which message a user has read. `conversation`, `by`, `number`, and `group` or `to`.",
    "user_attributes": "The app's own values of a user have changed. `user`, `changed` (null: gone), `version`.",
}

CALLS = {
    "call_incoming": "This user is called: ring. `call`, `by`, `data`, `until`.",
    "call_missed": "This user was called and is busy. `call`, `by`, `reason`.",
    "call_parties": "Others are called. `call`, `by`, `parties`: user -> ringing, in, or why he is out.",
    "call_ringing": "A callee's device rings. `call`, `user`.",
    "call_answered": "A callee has answered. `call`, `user`.",
    "call_answered_elsewhere": "This user has answered on another device: stop ringing. `call`, `user`.",
    "call_party_left": "A party is out. `call`, `user`, `reason`: rejected, busy, timed out, cancelled, hung up, "
    "removed, crashed; `data` of who rejects.",
    "call_party_lost": "There is no sign of life from a party's device. `call`, `user`.",
    "call_party_back": "There is one again. `call`, `user`.",
    "call_owner": "Another leads the call. `call`, `user`.",
    "call_muted": "A party was muted. `call`, `user`, `mutes`: self, host.",
    "call_unmuted": "A mute was taken away. `call`, `user`, `mutes`: those that are left; without any he is heard.",
    "call_ended": "The call is over. `call`, `reason`, `duration_s`: from when two were in, 0 when nobody answered.",
}

EVENTS: dict[str, str] = {**STREAMS, **PRESENCE, **ROOMS, **INVITATIONS, **GROUPS, **MESSAGES, **CALLS}
"""name -> what it says."""

MEDIA: dict[str, str] = {
    "speaking_started": "A speaker begins to speak. `user`.",
    "speaking_stopped": "He stopped. `user`.",
    "speaker_talks_muted": "A speaker talks though he is muted. `user`, `muted_by`.",
    "participant_joined": "A user's media is connected. `user`, `directions`.",
    "participant_left": "It is not any more. `user`, `reason`.",
    "participant_reconnecting": "It is lost, and waited for. `user`.",
    "participant_reconnected": "It is back. `user`.",
    "publishing_started": "A speaker's microphone is connected. `user`.",
    "publishing_stopped": "It is not any more. `user`, `reason`.",
    "audio_silent": "Nothing comes of a speaker's open microphone. `user`.",
    "audio_heard": "Something does again. `user`.",
    "audio_clipping": "A speaker's microphone is turned up too far. `user`.",
    "audio_clean": "It is not any more. `user`.",
    "quality_low": "Much of what a user sends or receives is lost. `user`, `direction`, `fraction_lost`.",
    "quality_recovered": "Little is. `user`, `direction`.",
    "player_changed": "A music player does something else. `player`, `status`, `reason`.",
    "player_track_started": "It begins a track. `player`, `track`.",
    "player_track_failed": "It cannot play a track. `player`, `track`, `reason`.",
    "effect_started": "A sound begins. `effect`, `sound`.",
    "effect_ended": "It is over. `effect`.",
    "effect_failed": "It cannot be played. `effect`, `reason`.",
    "media_restarted": "Some of these are missing: ask for `get_participants` and `get_players`.",
}
"""What the media server says of a room or a call, as `media` notifications: not numbered, not kept, never resumed."""
