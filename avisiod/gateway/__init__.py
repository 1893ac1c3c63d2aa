"""SIP and media workers, and the typed boundary between them and control."""
