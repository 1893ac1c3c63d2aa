"""Steps from each published schema to the next; run by the store when it opens."""
