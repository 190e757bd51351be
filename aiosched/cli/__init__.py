"""The command line.  Nothing imports this room; it imports what it needs late."""
