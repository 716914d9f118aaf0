"""A real-time audio media server: WHIP in, WHEP out, rooms in between.

Start reading at node.py (what a server is made of); a packet's way is in native/src.
"""

__version__ = "0.1.0"
