"""ZenML's metadata database, releases 0.55 to 0.98, over SQLAlchemy Core: tables are reflected from the database met."""
