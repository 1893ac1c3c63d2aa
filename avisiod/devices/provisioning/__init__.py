"""Phones that set themselves up: what they are told, who may ask, and the server that answers."""
