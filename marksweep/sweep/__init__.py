"""PHASE 2: verified plan -> recheck and claim -> delete -> outcome, with the journal. Knows the ports, never an adapter."""
