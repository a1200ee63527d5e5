"""HTTP in and out, against real servers on loopback."""
