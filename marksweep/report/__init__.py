"""Showing plans and outcomes to people: every output is one document, encoded as JSON or rendered for a terminal."""
