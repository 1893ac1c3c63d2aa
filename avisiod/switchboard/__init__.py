"""The one place where an event meets a call's state: advance the table, store, and only then act."""
