"""What could not be delivered, and how it gets out again."""
