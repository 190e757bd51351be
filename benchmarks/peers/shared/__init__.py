"""What runs in the environments of the peers: the standard library alone."""
