"""What people and IT systems touch; the composition root."""
