"""The HTTP edge: WHIP, WHEP, the control API, event streams, the page. It decides nothing; it asks the node."""
