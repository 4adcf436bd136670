-- How a database of an earlier version of schema.sql becomes one of the next, by whoever writes first; while others may be
-- at work in it, so nothing is taken away. Statements of a heading are one transaction with that write.

-- from_1 --
-- What an attempt leaves at a fixed path is known again.
ALTER TABLE fixed_path ADD COLUMN leftover TEXT;
PRAGMA user_version = 2
