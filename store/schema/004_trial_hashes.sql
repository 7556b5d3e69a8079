-- Version 4: the hash of a trial has no index. It is made of its cell's hash and its seed,
-- and (cell_id, seed) is unique; nothing looks a trial up by it. A hash falls anywhere in
-- an index, so each new trial of a large store had one more page to read, log and fold in.

-- Rows stay where they are: the index that UNIQUE had made gets a name, and is dropped.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'sha256 TEXT NOT NULL UNIQUE CHECK',
    'sha256 TEXT NOT NULL CHECK') WHERE type = 'table' AND name = 'trials';
UPDATE sqlite_schema SET name = 'trials_sha256',
    sql = 'CREATE UNIQUE INDEX trials_sha256 ON trials (sha256)'
WHERE name = 'sqlite_autoindex_trials_1';
-- SQLite numbers what it makes for a table's UNIQUEs, and this was the second.
UPDATE sqlite_schema SET name = 'sqlite_autoindex_trials_1'
WHERE name = 'sqlite_autoindex_trials_2';
PRAGMA writable_schema = RESET;
DROP INDEX trials_sha256;
