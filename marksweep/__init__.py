"""marksweep: mark the orphans of an ML artifact store in a signed plan, then sweep them."""

__version__ = "0.1.0"
