"""The fault matrix: each fault injected as it is named, against real peers; README.md maps them."""
