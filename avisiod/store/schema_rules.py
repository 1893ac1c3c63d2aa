"""The tables that staff edit: people, classes, authorisations, hours, allowances, tariffs.

Each row has a `version`; the rules that span several rows (windows that overlap, tariffs with a gap) are kept by the
operations in avisiod/office.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from avisiod.store.columns import BigId, DayText, LocalText, UtcText, metadata, name_column, version_column

_SCOPES = "scope_kind IN ('site', 'building', 'regime', 'detainee')"

regimes = Table(
    "regimes",
    metadata,
    name_column(primary_key=True),
    Column("name", Text, nullable=False),
    version_column(),
)
"""Ways of detention that have rules of their own."""

contact_classes = Table(
    "contact_classes",
    metadata,
    name_column(primary_key=True),
    Column("name", Text, nullable=False),
    Column("confidential", Boolean, nullable=False),
    Column("exempt", Text, nullable=False),
    version_column(),
)
"""What the law says of a kind of contact; `exempt`: words with a comma between them."""

authorities = Table(
    "authorities",
    metadata,
    Column("status", String(16), primary_key=True),
    Column("authority", String(16), nullable=False),
    version_column(),
)
"""Who must have granted an authorisation, by the detainee's status."""

detainees = Table(
    "detainees",
    metadata,
    name_column(primary_key=True),
    Column("register_number", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("language", String(16), nullable=False),
    name_column("regime", nullable=False),
    Column("building", String(64), nullable=False),
    Column("cell", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("suspended", Boolean, nullable=False),
    Column("identifier", String(16)),
    Column("pin_hash", Text, nullable=False),
    Column("listed", Boolean, nullable=False),
    version_column(),
    ForeignKeyConstraint(["regime"], ["regimes.id"], name="fk_detainees_regime"),
    CheckConstraint("status IN ('remand', 'convicted')", name="status"),
)
"""Who is detained. One who has left stays, unlisted: calls and ledger refer to the id."""
Index(
    "uq_detainees_identifier",
    detainees.c.identifier,
    unique=True,
    sqlite_where=detainees.c.listed,
    postgresql_where=detainees.c.listed,
)
Index(
    "uq_detainees_register_number",
    detainees.c.register_number,
    unique=True,
    sqlite_where=detainees.c.listed,
    postgresql_where=detainees.c.listed,
)

authorisations = Table(
    "authorisations",
    metadata,
    name_column("detainee", primary_key=True),
    name_column("contact", primary_key=True),
    Column("state", String(16), nullable=False),
    Column("authority", String(16), nullable=False),
    Column("author", Text, nullable=False),
    Column("decided_on", DayText, nullable=False),
    Column("ends_on", DayText),
    Column("class", String(64), key="cls"),
    Column("changed_utc", UtcText, nullable=False),
    version_column(),
    ForeignKeyConstraint(["detainee"], ["detainees.id"], name="fk_authorisations_detainee"),
    ForeignKeyConstraint(["contact"], ["contacts.id"], name="fk_authorisations_contact"),
    ForeignKeyConstraint(["cls"], ["contact_classes.id"], name="fk_authorisations_class"),
    CheckConstraint("state IN ('requested', 'granted', 'refused', 'suspended', 'withdrawn')", name="state"),
    CheckConstraint("authority IN ('magistrate', 'head')", name="authority"),
)
"""Whether a detainee may call a contact; who decided, and until when it holds."""
Index("ix_authorisations_contact", authorisations.c.contact)

authorisation_history = Table(
    "authorisation_history",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    name_column("detainee", nullable=False),
    name_column("contact", nullable=False),
    Column("state", String(16), nullable=False),
    Column("authority", String(16), nullable=False),
    Column("author", Text, nullable=False),
    Column("decided_on", DayText, nullable=False),
    Column("ends_on", DayText),
    Column("class", String(64), key="cls"),
    Column("changed_utc", UtcText, nullable=False),
    Column("version", Integer, nullable=False),
    sqlite_autoincrement=True,
)
"""Every state that an authorisation has had, written by the database itself; rows are never changed."""
Index("ix_authorisation_history_detainee", authorisation_history.c.detainee, authorisation_history.c.contact)

windows = Table(
    "windows",
    metadata,
    name_column(primary_key=True),
    Column("scope_kind", String(16), nullable=False),
    name_column("scope_id", nullable=False),
    Column("weekday", Integer, nullable=False),
    Column("begins", Integer, nullable=False),
    Column("ends", Integer, nullable=False),
    Column("valid_from", DayText),
    Column("valid_to", DayText),
    version_column(),
    CheckConstraint(_SCOPES, name="scope"),
    CheckConstraint("weekday BETWEEN 0 AND 6", name="weekday"),
    CheckConstraint("begins >= 0 AND begins < ends AND ends <= 1440", name="minutes"),
)
"""When calls may be made, each week; minutes of the local day."""
Index("ix_windows_scope", windows.c.scope_kind, windows.c.scope_id)

schedule_exceptions = Table(
    "schedule_exceptions",
    metadata,
    name_column(primary_key=True),
    Column("scope_kind", String(16), nullable=False),
    name_column("scope_id", nullable=False),
    Column("kind", String(16), nullable=False),
    Column("from_local", LocalText, nullable=False),
    Column("to_local", LocalText, nullable=False),
    Column("why", Text, nullable=False),
    version_column(),
    CheckConstraint(_SCOPES, name="scope"),
    CheckConstraint("kind IN ('closed', 'open', 'extra')", name="kind"),
    CheckConstraint("from_local < to_local", name="order"),
)
"""What differs from the weeks' windows: a closure, an opening, a granted extra call."""
Index("ix_schedule_exceptions_scope", schedule_exceptions.c.scope_kind, schedule_exceptions.c.scope_id)

allowances = Table(
    "allowances",
    metadata,
    Column("scope_kind", String(16), primary_key=True),
    name_column("scope_id", primary_key=True),
    *(
        Column(name, Integer)
        for name in (
            "call_s",
            "calls_day",
            "calls_week",
            "calls_month",
            "minutes_day",
            "minutes_week",
            "minutes_month",
            "rolling_days",
            "rolling_calls",
            "pause_s",
            "contacts_max",
        )
    ),
    version_column(),
    CheckConstraint(_SCOPES, name="scope"),
    CheckConstraint("(rolling_days IS NULL) = (rolling_calls IS NULL)", name="rolling"),
)
"""How long, how often, with what pause; what is NULL a less specific scope decides."""

tariffs = Table(
    "tariffs",
    metadata,
    name_column(primary_key=True),
    Column("class", String(64), key="cls"),
    Column("unit", String(8), nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("valid_from", DayText, nullable=False),
    Column("valid_to", DayText),
    Column("weekdays", String(7), nullable=False),
    Column("begins", Integer, nullable=False),
    Column("ends", Integer, nullable=False),
    version_column(),
    ForeignKeyConstraint(["cls"], ["contact_classes.id"], name="fk_tariffs_class"),
    CheckConstraint("unit IN ('call', 'minute', 'second', 'free')", name="unit"),
    CheckConstraint("price >= 0", name="price"),
    CheckConstraint("begins >= 0 AND begins < ends AND ends <= 1440", name="minutes"),
)
"""Prices in hundredths of a cent per unit; `weekdays`: the digits 0 (Monday) to 6 of the days that it holds on."""

pin_attempts = Table(
    "pin_attempts",
    metadata,
    Column("subject", String(80), primary_key=True),
    Column("wrong", Integer, nullable=False),
    Column("last_utc", UtcText, nullable=False),
    CheckConstraint("wrong > 0", name="wrong"),
)
"""Wrong PINs since the last right one, by `phone:ID` and `detainee:ID`: a restart forgives nothing."""
