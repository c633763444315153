"""The file between the two phases: write, read, verify, sign, approve."""
