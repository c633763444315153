"""The bytes: list under a URI, delete exact keys, say what happened. The port is :mod:`marksweep.store.port`."""
