"""The words for what staff may do: a role is some of them."""

EVERYTHING = "everything"
PERMISSIONS = (
    "see_people",
    "edit_people",
    "see_rules",
    "edit_rules",
    "see_phones",
    "edit_phones",
    "see_calls",
    "cut_calls",
    "hold_recordings",
    "purge_recordings",
    "see_money",
    "edit_money",
    "see_trail",
    "purge_trail",
    "see_staff",
    "edit_staff",
    "backup",
    EVERYTHING,
)
"""`everything` includes what later versions add."""
DESIGNATED = frozenset({"cut_calls", EVERYTHING})
"""Who may do any of these must be designated for a time (article L223-1 of the French Code pénitentiaire)."""
