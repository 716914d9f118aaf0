"""What is true and what may happen: `(state, command, now) -> (state, effects)`. Pure: no clock, no sockets, no dice.

States, commands and effects are frozen; `now` is Unix time in seconds. An illegal move raises Illegal and changes
nothing. What lasts beyond a command is derived from the state, timers and the wishes to the media server alike, and
the effects are the differences between before and after (effects.py): so none is forgotten, and none comes twice.
"""
