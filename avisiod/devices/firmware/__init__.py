"""Firmware of phones: files that were checked, and how they get out."""
