"""Subcommands that ask or tell a running server over its control API. One file for each concern; cli.py knows them by
this table, and imports a file when its command is called."""

# Command -> the file that has it under this name, and what --help says of it.
COMMANDS = {
    "rooms": ("rooms", "List rooms: who is there, who talks, what is lost."),
    "speakers": ("speakers", "List the seats of ROOM."),
    "mute": ("speakers", "Mute USER in ROOM."),
    "unmute": ("speakers", "Undo a mute of USER in ROOM."),
    "kick": ("participants", "Remove USER from ROOM."),
    "move": ("participants", "Move USER from ROOM to the room TO."),
    "token": ("tokens", "Print a token with which USER can join ROOM."),
    "music": ("music", "Play music in ROOM, or show what is played."),
    "effect": ("effects", "Play the sound effect SOUND in ROOM."),
    "sounds": ("effects", "List the sounds that effects can play."),
    "media": ("media", "List the media library, or change it."),
    "stats": ("nodes", "Show the server at a glance."),
    "drain": ("nodes", "Let the server take no new rooms."),
    "load": ("load", "Load a server with WebRTC peers, and verify what each of them hears."),
    "top": ("top", "Watch the server and its busiest rooms."),
}
