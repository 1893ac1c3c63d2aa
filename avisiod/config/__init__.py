"""The settings: a class for each section, all that is wrong with them at once, what a reload may change."""
