"""Music: what is fetched, decoded and played into rooms.

    an address ─▶ gate.py: checked, pinned, bounded ─▶ sources.py: bytes ─▶ deck.py ─▶ a pipe ─▶ a child process
    a library file (library.py), opened ─────────────────────────────────▶ deck.py ─▶ its descriptor ─▶ the same
    the child (decoding.py): FFmpeg's formats by allow-list, 48 kHz stereo float ─▶ the ring that the plane reads

What is played, and when, is player.py's matter, which is pure; players.py performs what it says.
"""
