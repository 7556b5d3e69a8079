-- Version 2: who may call a coordinator. A token itself is never here, only its hash: who
-- can read the store can call nobody with it.

CREATE TABLE tokens (
  token_id INTEGER PRIMARY KEY,
  -- Whom its calls are attributed to; an old and a new token of one caller share it.
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
  role TEXT NOT NULL CHECK (role IN ('VIEWER', 'SUBMITTER', 'WORKER', 'ADMIN')),
  -- The worker id that a WORKER may be: "gpu-1", "gpu-*" for all that begin so, or "*".
  worker TEXT NOT NULL CHECK ((role = 'WORKER') = (worker <> '')),
  sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64),
  create_ms INTEGER NOT NULL,
  expire_ms INTEGER NOT NULL,
  revoke_ms INTEGER NOT NULL DEFAULT 0,
  -- The begin of the day (UTC) of its last use.
  last_use_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
