"""SIP and media workers, and the typed boundary between them and control."""

from avisiod import compiled

compiled.install()  # before any module of the package is imported
