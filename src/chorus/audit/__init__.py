"""Where a system breaks."""
