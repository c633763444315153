"""PHASE 1: catalog -> orphans -> guard -> sizes -> plan. Knows the ports, never an adapter; reads, never writes them."""
