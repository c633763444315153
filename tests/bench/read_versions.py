"""Read the facts of every version of a catalog once, through SQLAlchemy and in pages, and keep none of them.

    python tests/bench/read_versions.py URL [FILE]

With FILE, put the query there as text instead, for :mod:`tests.bench.plain_read`, and read every table that a mark reads, so
that it is in memory. The columns are those that a mark needs of a version.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from marksweep.catalog.zenml.catalog import open_database
from marksweep.catalog.zenml.schema import reflect
from marksweep.catalog.zenml.survey import version_columns

_OTHERS = ("artifact_visualization", "logs", "pipeline_snapshot", "step_configuration", "step_run")


def main() -> None:
    """Read the command line, read the rows, and print how many there were."""
    url, *file = sys.argv[1:]
    with closing(open_database(url, writes=False, lagging=False)) as database:
        with database.reading() as connection:
            schema = reflect(connection, database.shown)
            columns, source = version_columns(schema)
            query = sa.select(*columns).select_from(source)
            if file:
                text = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
                Path(file[0]).write_text(text.replace("%%", "%"))
                links = (str(column.table.name) for column in schema.references.values())
                for table in map(schema.table, ("artifact", "artifact_version", *_OTHERS, *links)):
                    connection.execute(sa.select(*(sa.func.max(column) for column in table.c))).fetchall()
                return
        print(sum(len(page) for page in database.pages(schema.table("artifact_version"), query)))


if __name__ == "__main__":
    main()
