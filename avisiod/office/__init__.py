"""What staff do: one function for each thing, with who did it and why; the same for the daemon and for avisioctl."""
