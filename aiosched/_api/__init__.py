"""The public verbs, by subject; :class:`aiosched.Scheduler` puts them together."""
