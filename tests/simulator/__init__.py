"""The simulated company, met by clients of its protocols that are not its own."""
