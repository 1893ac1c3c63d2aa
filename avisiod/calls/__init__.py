"""The heart: rules without I/O, clock or async; time comes in as an argument."""
