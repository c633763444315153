"""How long a report takes to write, to open and to filter in Debian's Chromium, and how large it is.

    python -m tests.bench.html_bench [ENTRIES ...]

Medians of five, in seconds. Opening: from the beginning of the navigation to a frame that shows a table that can be used.
Filtering: from the input event of one letter typed into the search to a frame that shows the rows.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.browser.chromium import chromium, opened, seconds_to_filter, seconds_to_open
from tests.browser.plans import realistic

ROUNDS = 5


def main(numbers: list[int]) -> None:
    print(f"{'entries':>9} {'MB':>7} {'write':>7} {'open':>7} {'filter':>7}")
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        for number in numbers:
            plan, path = realistic(number), Path(folder, "report.html")
            began = time.perf_counter()
            plan.write(path)
            writing = time.perf_counter() - began
            openings = []
            for _ in range(ROUNDS):
                with opened(browser, path) as report:
                    openings.append(seconds_to_open(report))
                    filtering = statistics.median(seconds_to_filter(report, "train"))
            opening = statistics.median(openings)
            megabytes = path.stat().st_size / 1e6
            print(f"{number:>9,} {megabytes:>7.2f} {writing:>7.2f} {opening:>7.2f} {filtering:>7.3f}")


if __name__ == "__main__":
    main([int(number) for number in sys.argv[1:]] or [1_000, 10_000, 100_000])
