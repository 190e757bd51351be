"""The engine: one loop a file, wired by :mod:`aiosched._engine.engine`.

Services take plain values and the ports; they know neither a store's kind nor
the public façade.  Nothing here decides what happens to a job: that is
:mod:`aiosched.planning`.
"""
