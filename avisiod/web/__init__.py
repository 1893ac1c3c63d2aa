"""The portal of the relatives."""
