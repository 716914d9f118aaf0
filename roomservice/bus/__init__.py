"""How an instance learns at once of what another has committed: by nothing, or by Redis."""
