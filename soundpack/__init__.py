"""The built-in sound effects, synthesised: `scripts/sounds` writes them to mediaserver/sounds/. Nothing is recorded, so
nobody else has rights in them; all randomness is seeded, so that what is in the repository can be made again."""
