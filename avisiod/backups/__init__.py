"""Backups of the whole box: database, settings, keys by choice, the list of recordings, in one sealed file."""
