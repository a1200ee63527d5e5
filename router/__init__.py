"""From journal to sinks."""
