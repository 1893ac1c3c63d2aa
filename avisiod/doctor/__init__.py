"""avisioctl doctor: each part is tried for real (`probes`), the facts are judged (`verdicts`), by `examination`."""
