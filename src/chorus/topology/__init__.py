"""Who may read whom."""
