"""What the process may use, found out before the first peer joins."""

import resource

SPARE = 512
"""Descriptors beside the peers': connections of HTTP, the event loop's, files."""


def raise_descriptors(peers: int) -> None:
    """As many as the peers need. ValueError, with a sentence, when the system does not permit so many."""
    needed = peers + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard not in (resource.RLIM_INFINITY,) and hard < needed:
        raise ValueError(f"These peers need {needed:,} open files, and the system permits {hard:,}: see ulimit -n.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
