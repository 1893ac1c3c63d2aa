"""What is kept: calls, their journal, invitations, acceptances, recordings, phones, contacts."""
