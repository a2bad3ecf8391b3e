"""Everything read from or written to the database, by subject.

Plain functions on a Connection; `core.database.Database` runs them in `read` and `write`. A function that may
refuse does so before it writes anything (see there why).
"""
