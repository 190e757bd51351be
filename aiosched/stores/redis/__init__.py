"""The store on one Redis or Valkey server; ``docs/explanation/redis-protocol.md``.

Importing this room imports redis; ``aiosched`` itself does so only when a Redis
store is asked for.
"""
