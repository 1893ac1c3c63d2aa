"""The settings of the site's own scripts: what they are told of."""

from avisiod.config.section import Section


class Hooks(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The site's own scripts in /etc/avisiod-hooks, run by the service avisiod-hooks, see docs/hooks.md."""

    socket_file: str = "/run/avisiod-hooks.sock"
    """Where that service listens; empty: nobody is told."""
    silent: tuple[str, ...] = ()
    """Events of which it is not told, such as call-ended."""
