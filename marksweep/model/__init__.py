"""What the words mean: versions, references, URIs, verdicts, policy, outcomes. No I/O, no clock, no async."""
