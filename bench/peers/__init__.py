"""Other servers beside this one: `scripts/bench peers` is comparison.py, the rest starts them and speaks with them."""
