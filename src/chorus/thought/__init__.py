"""A mind: encoder, thought pool, processor, workspace, competition, halting, decoder; training; tasks."""
