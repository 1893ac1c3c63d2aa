"""avisioctl: the command line of staff and technicians."""
