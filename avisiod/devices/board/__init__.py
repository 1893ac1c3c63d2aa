"""Serial boards: an emergency key in the guard's post, lamps that show calls."""
