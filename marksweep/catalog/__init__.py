"""The metadata database: who exists, who refers to whom, claim. The port is :mod:`marksweep.catalog.port`."""
