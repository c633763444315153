"""``python -m marksweep``."""

from marksweep.cli.main import main

main()
