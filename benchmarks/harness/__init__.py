"""Everything that all comparisons share: servers, processes, rounds, figures."""
