"""A phone's files, made of templates: ours, or the site's own by the same names."""

import re
from pathlib import Path

import jinja2

from avisiod.devices.phones.vendors import File, vendors
from avisiod.devices.provisioning.settings_of import Settings

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class CannotRender(Exception):
    """A template is faulty; the text names it and its fault, and no value."""


def _plain(value: object) -> object:
    """What stands in a line stays in it: a name with a line break would be a setting of its own."""
    if isinstance(value, str) and _CONTROL.search(value):
        raise CannotRender("a value holds control characters")
    return value


class Templates:
    """Renders them. For one thread."""

    def __init__(self, own_folder: str = "") -> None:
        own = [jinja2.FileSystemLoader(own_folder)] if own_folder else []
        ours = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
        self._environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader([*own, ours]),
            autoescape=jinja2.select_autoescape(enabled_extensions=("xml.j2",), default=False),
            undefined=jinja2.StrictUndefined,
            finalize=_plain,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def check(self) -> None:
        """Read every template. CannotRender for one that is none."""
        for vendor in vendors().values():
            for file in vendor.files:
                self._template(file.template)

    def render(self, file: File, settings: Settings) -> bytes:
        """The file's content. CannotRender."""
        try:
            return self._template(file.template).render(phone=settings).encode()
        except (jinja2.TemplateError, TypeError, ValueError, ZeroDivisionError) as error:
            raise CannotRender(f"the template {file.template}.j2 is faulty: {type(error).__name__}") from None

    def _template(self, name: str) -> jinja2.Template:
        try:
            return self._environment.get_template(f"{name}.j2")
        except jinja2.TemplateSyntaxError as error:
            raise CannotRender(f"the template {name}.j2 is faulty, line {error.lineno}: {error.message}") from None
        except jinja2.TemplateError as error:
            raise CannotRender(f"the template {name}.j2 cannot be read: {type(error).__name__}") from None


def file_asked(vendor: str, name: str, mac: str) -> File | None:
    """The vendor's file of that name for the phone with this MAC; None where the name is another's or no file's."""
    known = vendors().get(vendor)
    if known is None:
        return None
    return next((file for file in known.files if file.name.format(mac=mac).lower() == name.lower()), None)
