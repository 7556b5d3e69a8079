-- A store of schema version 5, made by: store_child golden G; sqlite3 G .dump
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES('store_id','dd862cc052715172c6659bd30f028225');
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
INSERT INTO sweeps VALUES(1,'small','ACTIVE','d3ec3848b5829e574a52ceaecfc466aadc0c3b50608d42c539e233f5a6803144',1000,0,1,'{"name":"small"}');
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
, stopped INTEGER NOT NULL DEFAULT 0 CHECK (stopped >= 0)) STRICT;
INSERT INTO sweep_counts VALUES(1,3,1,0,1,1,0,0,0,0);
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
INSERT INTO cells VALUES(1,'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',120,100,1000,100,600000.0,'{}');
CREATE TABLE trials (
  trial_id INTEGER PRIMARY KEY,
  cell_id INTEGER NOT NULL REFERENCES cells,
  seed INTEGER NOT NULL,
  sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
  state TEXT NOT NULL DEFAULT 'PENDING'
      CHECK (state IN ('PENDING', 'RUNNING', 'DONE', 'DIVERGED', 'FAILED', 'CANCELLED', 'STOPPED')),
  -- The task whose end is the trial's end.
  task_id INTEGER REFERENCES tasks,
  end_ms INTEGER NOT NULL DEFAULT 0,
  message TEXT NOT NULL DEFAULT '',
  UNIQUE (cell_id, seed)
) STRICT;
INSERT INTO trials VALUES(1,1,0,'f489b55ffc232ff198b59ad920df45fc199c197fdcb21fc40d8a6f1b9b7d4817','DONE',1,2000,'');
INSERT INTO trials VALUES(2,1,1,'72f780635472468c202d0ef3f41fdb23e6cb7783bf01b1732b3d8aa60941346f','DIVERGED',2,2000,'the loss stopped being finite at step 2');
INSERT INTO trials VALUES(3,1,2,'815a05e98bb42fd7c74fa2ab8917d0e2d6383b105afecf7dbc84c928a48ef5eb','PENDING',3,0,'');
CREATE TABLE sweep_cells (
  sweep_id INTEGER NOT NULL REFERENCES sweeps,
  cell_id INTEGER NOT NULL REFERENCES cells,
  arm TEXT NOT NULL,
  axes_json TEXT NOT NULL,
  PRIMARY KEY (sweep_id, cell_id)
) STRICT, WITHOUT ROWID;
INSERT INTO sweep_cells VALUES(1,1,'all','{"D":"1000"}');
CREATE TABLE sweep_trials (
  sweep_id INTEGER NOT NULL REFERENCES sweeps,
  number INTEGER NOT NULL CHECK (number > 0),
  trial_id INTEGER NOT NULL REFERENCES trials,
  reused INTEGER NOT NULL CHECK (reused IN (0, 1)),
  PRIMARY KEY (sweep_id, number)
) STRICT, WITHOUT ROWID;
INSERT INTO sweep_trials VALUES(1,1,1,0);
INSERT INTO sweep_trials VALUES(1,2,2,0);
INSERT INTO sweep_trials VALUES(1,3,3,0);
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
INSERT INTO tasks VALUES(1,1,'DONE',0,1000,0,0,0,1,'');
INSERT INTO tasks VALUES(2,1,'DONE',0,1000,0,0,0,2,'');
INSERT INTO tasks VALUES(3,1,'PENDING',0,1000,0,0,0,NULL,'');
CREATE TABLE task_members (
  task_id INTEGER NOT NULL REFERENCES tasks,
  member INTEGER NOT NULL CHECK (member >= 0),
  trial_id INTEGER NOT NULL REFERENCES trials,
  PRIMARY KEY (task_id, member, trial_id)
) STRICT, WITHOUT ROWID;
INSERT INTO task_members VALUES(1,0,1);
INSERT INTO task_members VALUES(2,0,2);
INSERT INTO task_members VALUES(3,0,3);
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
INSERT INTO workers VALUES('host-a','boot-1',1,'LIVE','','','',2,'[]','{"zone":"a"}','','',1000,0);
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
, slot_count INTEGER NOT NULL DEFAULT 1 CHECK (slot_count > 0), stop_cause TEXT NOT NULL DEFAULT ''
    CHECK (stop_cause IN ('', 'DRAIN', 'PREEMPTED', 'UNWANTED'))) STRICT;
INSERT INTO attempts VALUES(1,1,'host-a',0,1,'DONE',30000,0,102,1500,2000,3000,0,0,'','0.1.0','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',120,100,600.0,100,0.0,1,'');
INSERT INTO attempts VALUES(2,2,'host-a',0,1,'DIVERGED',30000,0,2,1500,2000,3000,0,0,'','','',0,0,0.0,0,0.0,1,'');
CREATE TABLE streams (
  stream_id INTEGER PRIMARY KEY,
  task_id INTEGER NOT NULL REFERENCES tasks,
  member INTEGER NOT NULL,
  step INTEGER NOT NULL DEFAULT 0,
  tokens INTEGER NOT NULL DEFAULT 0,
  last_loss REAL,
  UNIQUE (task_id, member)
) STRICT;
INSERT INTO streams VALUES(1,1,0,100,1000,100.0);
INSERT INTO streams VALUES(2,2,0,2,20,1.0);
INSERT INTO streams VALUES(3,3,0,0,0,NULL);
CREATE TABLE metric_names (
  metric_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200)
) STRICT;
INSERT INTO metric_names VALUES(1,'loss/train');
INSERT INTO metric_names VALUES(2,'norm/grad');
INSERT INTO metric_names VALUES(3,'lr');
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
INSERT INTO points VALUES(1,1,1,1,NULL,32,1,1,10,10,1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0,10.0,11.0,12.0,13.0,14.0,15.0,16.0,17.0,18.0,19.0,20.0,21.0,22.0,23.0,24.0,25.0,26.0,27.0,28.0,29.0,30.0,31.0,32.0);
INSERT INTO points VALUES(2,1,2,1,NULL,32,1,1,10,10,-1.0,-2.0,-3.0,-4.0,-5.0,-6.0,-7.0,-8.0,-9.0,-10.0,-11.0,-12.0,-13.0,-14.0,-15.0,-16.0,-17.0,-18.0,-19.0,-20.0,-21.0,-22.0,-23.0,-24.0,-25.0,-26.0,-27.0,-28.0,-29.0,-30.0,-31.0,-32.0);
INSERT INTO points VALUES(3,1,3,1,NULL,32,1,1,10,10,0.33333333333333331482,0.66666666666666662965,1.0,1.3333333333333332593,1.6666666666666667406,2.0,2.3333333333333334813,2.6666666666666665186,3.0,3.3333333333333334813,3.6666666666666665186,4.0,4.3333333333333330372,4.6666666666666669627,5.0,5.3333333333333330372,5.6666666666666669627,6.0,6.3333333333333330372,6.6666666666666669627,7.0,7.3333333333333330372,7.6666666666666669627,8.0,8.3333333333333339254,8.6666666666666660745,9.0,9.3333333333333339254,9.6666666666666660745,10.0,10.333333333333333925,10.666666666666666074);
INSERT INTO points VALUES(4,1,1,1,NULL,32,33,1,330,10,33.0,34.0,35.0,36.0,37.0,38.0,39.0,40.0,41.0,42.0,43.0,44.0,45.0,46.0,47.0,48.0,49.0,50.0,51.0,52.0,53.0,54.0,55.0,56.0,57.0,58.0,59.0,60.0,61.0,62.0,63.0,64.0);
INSERT INTO points VALUES(5,1,2,1,NULL,32,33,1,330,10,-33.0,-34.0,-35.0,-36.0,-37.0,-38.0,-39.0,-40.0,-41.0,-42.0,-43.0,-44.0,-45.0,-46.0,-47.0,-48.0,-49.0,-50.0,-51.0,-52.0,-53.0,-54.0,-55.0,-56.0,-57.0,-58.0,-59.0,-60.0,-61.0,-62.0,-63.0,-64.0);
INSERT INTO points VALUES(6,1,3,1,NULL,32,33,1,330,10,11.0,11.333333333333333925,11.666666666666666074,12.0,12.333333333333333925,12.666666666666666074,13.0,13.333333333333333925,13.666666666666666074,14.0,14.333333333333333925,14.666666666666666074,15.0,15.333333333333333925,15.666666666666666074,16.0,16.333333333333332149,16.666666666666667851,17.0,17.333333333333332149,17.66666666666666785,18.0,18.333333333333332149,18.66666666666666785,19.0,19.333333333333332149,19.66666666666666785,20.0,20.333333333333332149,20.66666666666666785,21.0,21.333333333333332148);
INSERT INTO points VALUES(7,1,1,1,NULL,32,65,1,650,10,65.0,66.0,67.0,68.0,69.0,70.0,71.0,72.0,73.0,74.0,75.0,76.0,77.0,78.0,79.0,80.0,81.0,82.0,83.0,84.0,85.0,86.0,87.0,88.0,89.0,90.0,91.0,92.0,93.0,94.0,95.0,96.0);
INSERT INTO points VALUES(8,1,2,1,NULL,32,65,1,650,10,-65.0,-66.0,-67.0,-68.0,-69.0,-70.0,-71.0,-72.0,-73.0,-74.0,-75.0,-76.0,-77.0,-78.0,-79.0,-80.0,-81.0,-82.0,-83.0,-84.0,-85.0,-86.0,-87.0,-88.0,-89.0,-90.0,-91.0,-92.0,-93.0,-94.0,-95.0,-96.0);
INSERT INTO points VALUES(9,1,3,1,NULL,32,65,1,650,10,21.666666666666667851,22.0,22.333333333333332149,22.66666666666666785,23.0,23.333333333333332148,23.666666666666667851,24.0,24.333333333333332149,24.66666666666666785,25.0,25.333333333333332149,25.66666666666666785,26.0,26.333333333333332148,26.666666666666667851,27.0,27.333333333333332149,27.66666666666666785,28.0,28.333333333333332149,28.666666666666667851,29.0,29.333333333333332149,29.66666666666666785,30.0,30.333333333333332149,30.66666666666666785,31.0,31.333333333333332148,31.666666666666667851,32.0);
INSERT INTO points VALUES(10,1,1,1,NULL,4,97,1,970,10,97.0,98.0,99.0,100.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO points VALUES(11,1,2,1,NULL,4,97,1,970,10,-97.0,-98.0,-99.0,-100.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO points VALUES(12,1,3,1,NULL,4,97,1,970,10,32.333333333333335701,32.666666666666664298,33.0,33.333333333333335702,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO points VALUES(13,2,1,2,NULL,1,1,0,10,0,1.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO points VALUES(14,2,2,2,NULL,1,1,0,10,0,-1.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO points VALUES(15,2,3,2,NULL,1,1,0,10,0,0.33333333333333331482,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE chunk_slots (slot INTEGER PRIMARY KEY) STRICT;
INSERT INTO chunk_slots VALUES(0);
INSERT INTO chunk_slots VALUES(1);
INSERT INTO chunk_slots VALUES(2);
INSERT INTO chunk_slots VALUES(3);
INSERT INTO chunk_slots VALUES(4);
INSERT INTO chunk_slots VALUES(5);
INSERT INTO chunk_slots VALUES(6);
INSERT INTO chunk_slots VALUES(7);
INSERT INTO chunk_slots VALUES(8);
INSERT INTO chunk_slots VALUES(9);
INSERT INTO chunk_slots VALUES(10);
INSERT INTO chunk_slots VALUES(11);
INSERT INTO chunk_slots VALUES(12);
INSERT INTO chunk_slots VALUES(13);
INSERT INTO chunk_slots VALUES(14);
INSERT INTO chunk_slots VALUES(15);
INSERT INTO chunk_slots VALUES(16);
INSERT INTO chunk_slots VALUES(17);
INSERT INTO chunk_slots VALUES(18);
INSERT INTO chunk_slots VALUES(19);
INSERT INTO chunk_slots VALUES(20);
INSERT INTO chunk_slots VALUES(21);
INSERT INTO chunk_slots VALUES(22);
INSERT INTO chunk_slots VALUES(23);
INSERT INTO chunk_slots VALUES(24);
INSERT INTO chunk_slots VALUES(25);
INSERT INTO chunk_slots VALUES(26);
INSERT INTO chunk_slots VALUES(27);
INSERT INTO chunk_slots VALUES(28);
INSERT INTO chunk_slots VALUES(29);
INSERT INTO chunk_slots VALUES(30);
INSERT INTO chunk_slots VALUES(31);
CREATE TABLE trial_summary (
  trial_id INTEGER PRIMARY KEY REFERENCES trials,
  attempt_id INTEGER NOT NULL REFERENCES attempts,
  step INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  final_loss REAL,
  diverged_step INTEGER,
  summary_json TEXT NOT NULL
) STRICT;
INSERT INTO trial_summary VALUES(1,1,100,1000,3.25,NULL,'{"loss/val":3.25}');
INSERT INTO trial_summary VALUES(2,2,2,20,NULL,2,'{}');
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
INSERT INTO checkpoints VALUES(1,1,1,'host-a','',100,'/checkpoints/1','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',9,2000,NULL);
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
INSERT INTO fits VALUES(1,1,1,'local_slope','D','all','','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','REFUSED','','',NULL,NULL,NULL,NULL,0,'',0,'{}');
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
INSERT INTO events VALUES(1,3000,'trial.done',1,1,NULL,NULL,'{}');
CREATE TABLE requests (
  request_number INTEGER PRIMARY KEY,
  request_id TEXT NOT NULL UNIQUE,
  answer TEXT NOT NULL,
  time_ms INTEGER NOT NULL
) STRICT;
INSERT INTO requests VALUES(1,'request-1','small',1000);
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
CREATE TABLE live_slots (
  worker_id TEXT NOT NULL REFERENCES workers,
  slot INTEGER NOT NULL CHECK (slot >= 0),
  attempt_id INTEGER NOT NULL REFERENCES attempts,
  PRIMARY KEY (worker_id, slot)
) STRICT, WITHOUT ROWID;
CREATE INDEX sweeps_live ON sweeps (sweep_id) WHERE state IN ('ACTIVE', 'PAUSED');
CREATE INDEX trials_open ON trials (trial_id) WHERE state IN ('PENDING', 'RUNNING');
CREATE UNIQUE INDEX sweep_trials_trial ON sweep_trials (trial_id, sweep_id);
CREATE INDEX tasks_open ON tasks (task_id) WHERE state IN ('PENDING', 'RUNNING');
CREATE INDEX task_members_trial ON task_members (trial_id, task_id, member);
CREATE UNIQUE INDEX attempts_live_task ON attempts (task_id)
    WHERE state IN ('LEASED', 'RUNNING', 'STOPPING');
CREATE INDEX attempts_task ON attempts (task_id, attempt_id);
CREATE UNIQUE INDEX points_series ON points (stream_id, metric_id, step_begin)
    WHERE superseded_by IS NULL;
CREATE INDEX checkpoints_usable ON checkpoints (task_id, step) WHERE superseded_by IS NULL;
CREATE INDEX fits_newest ON fits (sweep_id, kind, axis, arm, arm_b, fit_id);
CREATE INDEX events_sweep ON events (sweep_id, event_id) WHERE sweep_id IS NOT NULL;
CREATE INDEX events_trial ON events (trial_id, event_id) WHERE trial_id IS NOT NULL;
CREATE TRIGGER events_kept BEFORE DELETE ON events BEGIN
  SELECT RAISE(ABORT, 'events are append-only');
END;
CREATE TRIGGER events_fixed BEFORE UPDATE ON events BEGIN
  SELECT RAISE(ABORT, 'events are append-only');
END;
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
CREATE TRIGGER sweep_trials_counted AFTER INSERT ON sweep_trials BEGIN
  UPDATE sweep_counts SET
    total = total + 1,
    reused = reused + NEW.reused,
    pending = pending + (t.state = 'PENDING'),
    running = running + (t.state = 'RUNNING'),
    done = done + (t.state = 'DONE'),
    diverged = diverged + (t.state = 'DIVERGED'),
    failed = failed + (t.state = 'FAILED'),
    cancelled = cancelled + (t.state = 'CANCELLED'),
    stopped = stopped + (t.state = 'STOPPED')
  FROM trials t WHERE t.trial_id = NEW.trial_id AND sweep_counts.sweep_id = NEW.sweep_id;
END;
CREATE TRIGGER trials_counted AFTER UPDATE OF state ON trials WHEN NEW.state <> OLD.state BEGIN
  UPDATE sweep_counts SET
    pending = pending + (NEW.state = 'PENDING') - (OLD.state = 'PENDING'),
    running = running + (NEW.state = 'RUNNING') - (OLD.state = 'RUNNING'),
    done = done + (NEW.state = 'DONE') - (OLD.state = 'DONE'),
    diverged = diverged + (NEW.state = 'DIVERGED') - (OLD.state = 'DIVERGED'),
    failed = failed + (NEW.state = 'FAILED') - (OLD.state = 'FAILED'),
    cancelled = cancelled + (NEW.state = 'CANCELLED') - (OLD.state = 'CANCELLED'),
    stopped = stopped + (NEW.state = 'STOPPED') - (OLD.state = 'STOPPED')
  WHERE sweep_id IN (SELECT st.sweep_id FROM sweep_trials st WHERE st.trial_id = NEW.trial_id);
END;
CREATE INDEX live_slots_attempt ON live_slots (attempt_id, slot);
CREATE TRIGGER attempts_leave_slots AFTER UPDATE OF state ON attempts
WHEN OLD.state IN ('LEASED', 'RUNNING', 'STOPPING')
    AND NEW.state NOT IN ('LEASED', 'RUNNING', 'STOPPING') BEGIN
  DELETE FROM live_slots WHERE attempt_id = NEW.attempt_id;
END;
CREATE VIEW v_sweeps AS
SELECT s.sweep_id, s.name AS sweep, s.state, s.spec_sha256, s.create_ms, s.end_ms,
       c.total, c.pending, c.running, c.done, c.diverged, c.failed, c.cancelled, c.stopped,
       c.reused, s.spec_json
FROM sweeps s JOIN sweep_counts c ON c.sweep_id = s.sweep_id;
CREATE VIEW v_attempts AS
SELECT a.attempt_id, a.task_id, a.worker_id AS worker, a.slot, a.slot_count, a.state,
       a.resume_step, a.create_ms, a.start_ms, a.end_ms, a.exit_code, a.signal, a.message,
       a.stop_cause, a.trainer_version, a.data_sha256, a.params_total, a.params_non_embedding,
       a.flops_per_token, a.total_steps, a.tokens_per_second
FROM attempts a;
CREATE INDEX task_deps_parent ON task_deps (parent_task_id);
COMMIT;
PRAGMA application_id = 1282362471;
PRAGMA user_version = 5;
