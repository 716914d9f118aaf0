"""The room service: rooms with seats, invitations and calls, which drive a media server by its control API.

Start reading at model/rooms.py (what may happen in a room) and interface.py (what an app can bring of its own).
"""
