-- Version 1: every table and the views that are the read contract (docs/STORE.md).
-- States are words, times are wall milliseconds since the Unix epoch with 0 for "not
-- yet", hashes are lower-case hex. Indexes on open and live rows are partial: what the
-- coordinator asks all the time must not cost more as history grows.

CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sweeps (
  sweep_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'PAUSED', 'CANCELLED', 'DONE')),
  spec_sha256 TEXT NOT NULL CHECK (length(spec_sha256) = 64),
  create_ms INTEGER NOT NULL,
  end_ms INTEGER NOT NULL DEFAULT 0,
  revision INTEGER NOT NULL DEFAULT 1,
  spec_json TEXT NOT NULL
) STRICT;
CREATE INDEX sweeps_live ON sweeps (sweep_id) WHERE state IN ('ACTIVE', 'PAUSED');

-- Kept by the triggers below, so that counting never reads the trials.
CREATE TABLE sweep_counts (
  sweep_id INTEGER PRIMARY KEY REFERENCES sweeps,
  total INTEGER NOT NULL DEFAULT 0,
  pending INTEGER NOT NULL DEFAULT 0 CHECK (pending >= 0),
  running INTEGER NOT NULL DEFAULT 0 CHECK (running >= 0),
  done INTEGER NOT NULL DEFAULT 0 CHECK (done >= 0),
  diverged INTEGER NOT NULL DEFAULT 0 CHECK (diverged >= 0),
  failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
  cancelled INTEGER NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
  reused INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE cells (
  cell_id INTEGER PRIMARY KEY,
  sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64),
  params_total INTEGER NOT NULL,
  params_non_embedding INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  steps INTEGER NOT NULL,
  flops REAL NOT NULL,
  config_json TEXT NOT NULL
) STRICT;

CREATE TABLE trials (
  trial_id INTEGER PRIMARY KEY,
  cell_id INTEGER NOT NULL REFERENCES cells,
  seed INTEGER NOT NULL,
  sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64),
  state TEXT NOT NULL DEFAULT 'PENDING'
      CHECK (state IN ('PENDING', 'RUNNING', 'DONE', 'DIVERGED', 'FAILED', 'CANCELLED')),
  -- The task whose end is the trial's end.
  task_id INTEGER REFERENCES tasks,
  end_ms INTEGER NOT NULL DEFAULT 0,
  message TEXT NOT NULL DEFAULT '',
  UNIQUE (cell_id, seed)
) STRICT;
CREATE INDEX trials_open ON trials (trial_id) WHERE state IN ('PENDING', 'RUNNING');

-- How a sweep names a cell.
CREATE TABLE sweep_cells (
  sweep_id INTEGER NOT NULL REFERENCES sweeps,
  cell_id INTEGER NOT NULL REFERENCES cells,
  arm TEXT NOT NULL,
  axes_json TEXT NOT NULL,
  PRIMARY KEY (sweep_id, cell_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE sweep_trials (
  sweep_id INTEGER NOT NULL REFERENCES sweeps,
  number INTEGER NOT NULL CHECK (number > 0),
  trial_id INTEGER NOT NULL REFERENCES trials,
  reused INTEGER NOT NULL CHECK (reused IN (0, 1)),
  PRIMARY KEY (sweep_id, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX sweep_trials_trial ON sweep_trials (trial_id, sweep_id);

CREATE TRIGGER sweep_trials_counted AFTER INSERT ON sweep_trials BEGIN
  UPDATE sweep_counts SET
    total = total + 1,
    reused = reused + NEW.reused,
    pending = pending + (t.state = 'PENDING'),
    running = running + (t.state = 'RUNNING'),
    done = done + (t.state = 'DONE'),
    diverged = diverged + (t.state = 'DIVERGED'),
    failed = failed + (t.state = 'FAILED'),
    cancelled = cancelled + (t.state = 'CANCELLED')
  FROM trials t WHERE t.trial_id = NEW.trial_id AND sweep_counts.sweep_id = NEW.sweep_id;
END;
CREATE TRIGGER trials_counted AFTER UPDATE OF state ON trials WHEN NEW.state <> OLD.state BEGIN
  UPDATE sweep_counts SET
    pending = pending + (NEW.state = 'PENDING') - (OLD.state = 'PENDING'),
    running = running + (NEW.state = 'RUNNING') - (OLD.state = 'RUNNING'),
    done = done + (NEW.state = 'DONE') - (OLD.state = 'DONE'),
    diverged = diverged + (NEW.state = 'DIVERGED') - (OLD.state = 'DIVERGED'),
    failed = failed + (NEW.state = 'FAILED') - (OLD.state = 'FAILED'),
    cancelled = cancelled + (NEW.state = 'CANCELLED') - (OLD.state = 'CANCELLED')
  WHERE sweep_id IN (SELECT st.sweep_id FROM sweep_trials st WHERE st.trial_id = NEW.trial_id);
END;

CREATE TABLE tasks (
  task_id INTEGER PRIMARY KEY,
  sweep_id INTEGER NOT NULL REFERENCES sweeps,
  state TEXT NOT NULL DEFAULT 'PENDING'
      CHECK (state IN ('PENDING', 'RUNNING', 'DONE', 'FAILED', 'CANCELLED')),
  token_begin INTEGER NOT NULL,
  token_end INTEGER NOT NULL CHECK (token_end > token_begin),
  failure_count INTEGER NOT NULL DEFAULT 0,
  lost_count INTEGER NOT NULL DEFAULT 0,
  not_before_ms INTEGER NOT NULL DEFAULT 0,
  -- The newest attempt: reports of older ones are stale.
  last_attempt_id INTEGER REFERENCES attempts,
  message TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX tasks_open ON tasks (task_id) WHERE state IN ('PENDING', 'RUNNING');

-- Which trials a member of a task trains: one, or several when they share a trunk.
CREATE TABLE task_members (
  task_id INTEGER NOT NULL REFERENCES tasks,
  member INTEGER NOT NULL CHECK (member >= 0),
  trial_id INTEGER NOT NULL REFERENCES trials,
  PRIMARY KEY (task_id, member, trial_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX task_members_trial ON task_members (trial_id, task_id, member);

CREATE TABLE task_deps (
  task_id INTEGER NOT NULL REFERENCES tasks,
  parent_task_id INTEGER NOT NULL REFERENCES tasks,
  PRIMARY KEY (task_id, parent_task_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
  worker_id TEXT PRIMARY KEY,
  boot_id TEXT NOT NULL,
  session_epoch INTEGER NOT NULL,
  state TEXT NOT NULL
      CHECK (state IN ('LIVE', 'DRAINING', 'QUARANTINED', 'LOST', 'GONE')),
  reason TEXT NOT NULL,
  host TEXT NOT NULL,
  version TEXT NOT NULL,
  slots INTEGER NOT NULL,
  slots_json TEXT NOT NULL,
  labels_json TEXT NOT NULL,
  device TEXT NOT NULL,
  checkpoint_scope TEXT NOT NULL,
  register_ms INTEGER NOT NULL,
  last_sync_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
  attempt_id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES tasks,
  worker_id TEXT NOT NULL REFERENCES workers,
  slot INTEGER NOT NULL CHECK (slot >= 0),
  session_epoch INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'LEASED'
      CHECK (state IN ('LEASED', 'RUNNING', 'STOPPING', 'DONE', 'DIVERGED', 'STOPPED', 'FAILED',
                       'REFUSED', 'OUT_OF_MEMORY', 'DEVICE_ERROR', 'LOST', 'CANCELLED')),
  lease_ms INTEGER NOT NULL,
  resume_step INTEGER NOT NULL CHECK (resume_step >= 0),
  last_seq INTEGER NOT NULL DEFAULT -1,
  create_ms INTEGER NOT NULL,
  start_ms INTEGER NOT NULL DEFAULT 0,
  end_ms INTEGER NOT NULL DEFAULT 0,
  exit_code INTEGER NOT NULL DEFAULT 0,
  signal INTEGER NOT NULL DEFAULT 0,
  message TEXT NOT NULL DEFAULT '',
  trainer_version TEXT NOT NULL DEFAULT '',
  data_sha256 TEXT NOT NULL DEFAULT '',
  params_total INTEGER NOT NULL DEFAULT 0,
  params_non_embedding INTEGER NOT NULL DEFAULT 0,
  flops_per_token REAL NOT NULL DEFAULT 0,
  total_steps INTEGER NOT NULL DEFAULT 0,
  tokens_per_second REAL NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX attempts_live_task ON attempts (task_id)
    WHERE state IN ('LEASED', 'RUNNING', 'STOPPING');
CREATE UNIQUE INDEX attempts_live_slot ON attempts (worker_id, slot)
    WHERE state IN ('LEASED', 'RUNNING', 'STOPPING');
CREATE INDEX attempts_task ON attempts (task_id, attempt_id);

-- The series of one member, with its newest step.
CREATE TABLE streams (
  stream_id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES tasks,
  member INTEGER NOT NULL,
  step INTEGER NOT NULL DEFAULT 0,
  tokens INTEGER NOT NULL DEFAULT 0,
  last_loss REAL,
  UNIQUE (task_id, member)
) STRICT;

CREATE TABLE metric_names (
  metric_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200)
) STRICT;

-- Up to 32 points of one series whose steps and tokens are evenly spaced: point i has
-- step step_begin + i*step_stride, tokens tokens_begin + i*tokens_stride and value v<i>.
-- A value that is not a number is NULL (i < n); infinities are stored as they are, and
-- a negative zero as zero.
-- Only the newest chunk of a series grows. A chunk taken back by a later attempt keeps
-- its values and says by which.
CREATE TABLE points (
  chunk_id INTEGER PRIMARY KEY,
  stream_id INTEGER NOT NULL REFERENCES streams,
  metric_id INTEGER NOT NULL REFERENCES metric_names,
  attempt_id INTEGER NOT NULL REFERENCES attempts,
  superseded_by INTEGER REFERENCES attempts,
  n INTEGER NOT NULL CHECK (n BETWEEN 1 AND 32),
  step_begin INTEGER NOT NULL,
  step_stride INTEGER NOT NULL CHECK (step_stride >= 0),
  tokens_begin INTEGER NOT NULL,
  tokens_stride INTEGER NOT NULL,
  v0 REAL, v1 REAL, v2 REAL, v3 REAL, v4 REAL, v5 REAL, v6 REAL, v7 REAL, v8 REAL, v9 REAL,
  v10 REAL, v11 REAL, v12 REAL, v13 REAL, v14 REAL, v15 REAL, v16 REAL, v17 REAL, v18 REAL,
  v19 REAL, v20 REAL, v21 REAL, v22 REAL, v23 REAL, v24 REAL, v25 REAL, v26 REAL, v27 REAL,
  v28 REAL, v29 REAL, v30 REAL, v31 REAL
) STRICT;
CREATE UNIQUE INDEX points_series ON points (stream_id, metric_id, step_begin)
    WHERE superseded_by IS NULL;

CREATE TABLE chunk_slots (slot INTEGER PRIMARY KEY) STRICT;
INSERT INTO chunk_slots VALUES
  (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14), (15), (16),
  (17), (18), (19), (20), (21), (22), (23), (24), (25), (26), (27), (28), (29), (30), (31);

CREATE TABLE trial_summary (
  trial_id INTEGER PRIMARY KEY REFERENCES trials,
  attempt_id INTEGER NOT NULL REFERENCES attempts,
  step INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  final_loss REAL,
  diverged_step INTEGER,
  summary_json TEXT NOT NULL
) STRICT;

CREATE TABLE checkpoints (
  checkpoint_id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES tasks,
  attempt_id INTEGER NOT NULL REFERENCES attempts,
  worker_id TEXT NOT NULL REFERENCES workers,
  scope TEXT NOT NULL,
  step INTEGER NOT NULL CHECK (step > 0),
  path TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  create_ms INTEGER NOT NULL,
  superseded_by INTEGER REFERENCES attempts
) STRICT;
CREATE INDEX checkpoints_usable ON checkpoints (task_id, step) WHERE superseded_by IS NULL;

CREATE TABLE fits (
  fit_id INTEGER PRIMARY KEY,
  sweep_id INTEGER NOT NULL REFERENCES sweeps,
  number INTEGER NOT NULL CHECK (number > 0),
  kind TEXT NOT NULL,
  axis TEXT NOT NULL,
  arm TEXT NOT NULL,
  arm_b TEXT NOT NULL,
  inputs_sha256 TEXT NOT NULL,
  verdict TEXT NOT NULL,
  definition TEXT NOT NULL,
  parameter TEXT NOT NULL,
  estimate REAL,
  low REAL,
  high REAL,
  p_value REAL,
  n_trials INTEGER NOT NULL,
  message TEXT NOT NULL,
  create_ms INTEGER NOT NULL,
  fit_json TEXT NOT NULL,
  UNIQUE (sweep_id, number),
  UNIQUE (sweep_id, kind, axis, arm, arm_b, inputs_sha256)
) STRICT;
CREATE INDEX fits_newest ON fits (sweep_id, kind, axis, arm, arm_b, fit_id);

CREATE TABLE events (
  event_id INTEGER PRIMARY KEY,
  time_ms INTEGER NOT NULL,
  kind TEXT NOT NULL,
  sweep_id INTEGER REFERENCES sweeps,
  trial_id INTEGER REFERENCES trials,
  attempt_id INTEGER REFERENCES attempts,
  worker_id TEXT,
  detail_json TEXT NOT NULL
) STRICT;
CREATE INDEX events_sweep ON events (sweep_id, event_id) WHERE sweep_id IS NOT NULL;
CREATE INDEX events_trial ON events (trial_id, event_id) WHERE trial_id IS NOT NULL;
CREATE TRIGGER events_kept BEFORE DELETE ON events BEGIN
  SELECT RAISE(ABORT, 'events are append-only');
END;
CREATE TRIGGER events_fixed BEFORE UPDATE ON events BEGIN
  SELECT RAISE(ABORT, 'events are append-only');
END;

-- Answers to writes, so that a retried request is not applied twice.
CREATE TABLE requests (
  request_number INTEGER PRIMARY KEY,
  request_id TEXT NOT NULL UNIQUE,
  answer TEXT NOT NULL,
  time_ms INTEGER NOT NULL
) STRICT;

-- The views use only SQL that SQLite and DuckDB share. To SQLite a CROSS JOIN says that
-- the table on its right is walked innermost; left to itself it would put the slots first.

CREATE VIEW v_sweeps AS
SELECT s.sweep_id, s.name AS sweep, s.state, s.spec_sha256, s.create_ms, s.end_ms,
       c.total, c.pending, c.running, c.done, c.diverged, c.failed, c.cancelled, c.reused,
       s.spec_json
FROM sweeps s JOIN sweep_counts c ON c.sweep_id = s.sweep_id;

CREATE VIEW v_trials AS
SELECT s.name AS sweep, st.number, t.trial_id, t.sha256 AS trial_sha256,
       c.sha256 AS cell_sha256, t.seed, t.state, st.reused, sc.arm, sc.axes_json,
       c.params_total, c.params_non_embedding, c.tokens AS tokens_planned,
       c.steps AS steps_planned, c.flops,
       CASE WHEN t.state = 'DONE' THEN u.final_loss END AS final_loss,
       CASE WHEN t.state = 'DIVERGED' THEN u.diverged_step END AS diverged_step,
       m.step, m.tokens, m.last_loss, k.task_id, k.failure_count, k.lost_count,
       a.attempt_id, a.worker_id AS worker, a.data_sha256, a.trainer_version,
       a.tokens_per_second, a.start_ms, t.end_ms, t.message,
       CASE WHEN t.state IN ('DONE', 'DIVERGED') THEN u.summary_json END AS summary_json,
       c.config_json
FROM sweep_trials st
JOIN sweeps s ON s.sweep_id = st.sweep_id
JOIN trials t ON t.trial_id = st.trial_id
JOIN cells c ON c.cell_id = t.cell_id
JOIN sweep_cells sc ON sc.sweep_id = st.sweep_id AND sc.cell_id = t.cell_id
LEFT JOIN trial_summary u ON u.trial_id = t.trial_id
LEFT JOIN tasks k ON k.task_id = t.task_id
LEFT JOIN attempts a ON a.attempt_id = k.last_attempt_id
LEFT JOIN task_members tm ON tm.trial_id = t.trial_id AND tm.task_id = t.task_id
LEFT JOIN streams m ON m.task_id = tm.task_id AND m.member = tm.member;

CREATE VIEW v_points AS
SELECT t.trial_id, t.sha256 AS trial_sha256, n.name AS metric,
       p.step_begin + q.slot * p.step_stride AS step,
       p.tokens_begin + q.slot * p.tokens_stride AS tokens,
       CASE q.slot
         WHEN 0 THEN p.v0 WHEN 1 THEN p.v1 WHEN 2 THEN p.v2 WHEN 3 THEN p.v3 WHEN 4 THEN p.v4
         WHEN 5 THEN p.v5 WHEN 6 THEN p.v6 WHEN 7 THEN p.v7 WHEN 8 THEN p.v8 WHEN 9 THEN p.v9
         WHEN 10 THEN p.v10 WHEN 11 THEN p.v11 WHEN 12 THEN p.v12 WHEN 13 THEN p.v13
         WHEN 14 THEN p.v14 WHEN 15 THEN p.v15 WHEN 16 THEN p.v16 WHEN 17 THEN p.v17
         WHEN 18 THEN p.v18 WHEN 19 THEN p.v19 WHEN 20 THEN p.v20 WHEN 21 THEN p.v21
         WHEN 22 THEN p.v22 WHEN 23 THEN p.v23 WHEN 24 THEN p.v24 WHEN 25 THEN p.v25
         WHEN 26 THEN p.v26 WHEN 27 THEN p.v27 WHEN 28 THEN p.v28 WHEN 29 THEN p.v29
         WHEN 30 THEN p.v30 WHEN 31 THEN p.v31
       END AS value,
       p.attempt_id
FROM trials t
JOIN task_members tm ON tm.trial_id = t.trial_id
JOIN streams m ON m.task_id = tm.task_id AND m.member = tm.member
JOIN points p ON p.stream_id = m.stream_id
JOIN metric_names n ON n.metric_id = p.metric_id
CROSS JOIN chunk_slots q
WHERE q.slot < p.n AND p.superseded_by IS NULL;

CREATE VIEW v_points_superseded AS
SELECT t.trial_id, t.sha256 AS trial_sha256, n.name AS metric,
       p.step_begin + q.slot * p.step_stride AS step,
       p.tokens_begin + q.slot * p.tokens_stride AS tokens,
       CASE q.slot
         WHEN 0 THEN p.v0 WHEN 1 THEN p.v1 WHEN 2 THEN p.v2 WHEN 3 THEN p.v3 WHEN 4 THEN p.v4
         WHEN 5 THEN p.v5 WHEN 6 THEN p.v6 WHEN 7 THEN p.v7 WHEN 8 THEN p.v8 WHEN 9 THEN p.v9
         WHEN 10 THEN p.v10 WHEN 11 THEN p.v11 WHEN 12 THEN p.v12 WHEN 13 THEN p.v13
         WHEN 14 THEN p.v14 WHEN 15 THEN p.v15 WHEN 16 THEN p.v16 WHEN 17 THEN p.v17
         WHEN 18 THEN p.v18 WHEN 19 THEN p.v19 WHEN 20 THEN p.v20 WHEN 21 THEN p.v21
         WHEN 22 THEN p.v22 WHEN 23 THEN p.v23 WHEN 24 THEN p.v24 WHEN 25 THEN p.v25
         WHEN 26 THEN p.v26 WHEN 27 THEN p.v27 WHEN 28 THEN p.v28 WHEN 29 THEN p.v29
         WHEN 30 THEN p.v30 WHEN 31 THEN p.v31
       END AS value,
       p.attempt_id, p.superseded_by
FROM trials t
JOIN task_members tm ON tm.trial_id = t.trial_id
JOIN streams m ON m.task_id = tm.task_id AND m.member = tm.member
JOIN points p ON p.stream_id = m.stream_id
JOIN metric_names n ON n.metric_id = p.metric_id
CROSS JOIN chunk_slots q
WHERE q.slot < p.n AND p.superseded_by IS NOT NULL;

CREATE VIEW v_attempts AS
SELECT a.attempt_id, a.task_id, a.worker_id AS worker, a.slot, a.state, a.resume_step,
       a.create_ms, a.start_ms, a.end_ms, a.exit_code, a.signal, a.message,
       a.trainer_version, a.data_sha256, a.params_total, a.params_non_embedding,
       a.flops_per_token, a.total_steps, a.tokens_per_second
FROM attempts a;

CREATE VIEW v_checkpoints AS
SELECT c.checkpoint_id, tm.trial_id, t.sha256 AS trial_sha256, c.task_id, c.attempt_id,
       c.worker_id AS worker, c.step, c.path, c.sha256, c.bytes, c.create_ms, c.superseded_by
FROM checkpoints c
JOIN task_members tm ON tm.task_id = c.task_id
JOIN trials t ON t.trial_id = tm.trial_id;

CREATE VIEW v_fits AS
SELECT f.fit_id, s.name AS sweep, f.number, f.kind, f.axis, f.arm, f.arm_b, f.verdict,
       f.definition, f.parameter, f.estimate, f.low, f.high, f.p_value, f.n_trials,
       f.message, f.inputs_sha256, f.create_ms, f.fit_json
FROM fits f JOIN sweeps s ON s.sweep_id = f.sweep_id;

CREATE VIEW v_workers AS
SELECT w.worker_id AS worker, w.state, w.reason, w.host, w.version, w.slots, w.device,
       w.labels_json, w.register_ms, w.last_sync_ms
FROM workers w;

CREATE VIEW v_events AS
SELECT e.event_id, e.time_ms, e.kind, s.name AS sweep, st.number AS trial_number,
       e.trial_id, e.attempt_id, e.worker_id AS worker, e.detail_json
FROM events e
LEFT JOIN sweeps s ON s.sweep_id = e.sweep_id
LEFT JOIN sweep_trials st ON st.trial_id = e.trial_id AND st.sweep_id = e.sweep_id;
