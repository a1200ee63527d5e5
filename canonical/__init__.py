"""The language everything speaks; imports nothing of ours."""
