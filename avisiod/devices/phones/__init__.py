"""Phones: how they are asked, how they are, what is done with them."""
