"""Texts of the code SMS, one file a language."""
