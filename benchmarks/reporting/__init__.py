"""From the figures to the page: tables, targets, losses, plots."""
