-- Version 3: trials that were stopped early, attempts that hold several slots, and why an
-- attempt was asked to leave.

-- A CHECK is all that changes of this table, so its rows stay where they are.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql,
    '''DIVERGED'', ''FAILED'', ''CANCELLED'')', '''DIVERGED'', ''FAILED'', ''CANCELLED'', ''STOPPED'')')
WHERE type = 'table' AND name = 'trials';
PRAGMA writable_schema = RESET;

ALTER TABLE sweep_counts ADD COLUMN stopped INTEGER NOT NULL DEFAULT 0 CHECK (stopped >= 0);

DROP TRIGGER sweep_trials_counted;
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
DROP TRIGGER trials_counted;
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

-- The slot of an attempt is its lead. How many it holds is kept, which ones only while it
-- is live: in live_slots, whose key refuses a slot to a second attempt.
ALTER TABLE attempts ADD COLUMN slot_count INTEGER NOT NULL DEFAULT 1 CHECK (slot_count > 0);
ALTER TABLE attempts ADD COLUMN stop_cause TEXT NOT NULL DEFAULT ''
    CHECK (stop_cause IN ('', 'DRAIN', 'PREEMPTED', 'UNWANTED'));

CREATE TABLE live_slots (
  worker_id TEXT NOT NULL REFERENCES workers,
  slot INTEGER NOT NULL CHECK (slot >= 0),
  attempt_id INTEGER NOT NULL REFERENCES attempts,
  PRIMARY KEY (worker_id, slot)
) STRICT, WITHOUT ROWID;
CREATE INDEX live_slots_attempt ON live_slots (attempt_id, slot);
INSERT INTO live_slots SELECT worker_id, slot, attempt_id FROM attempts
    WHERE state IN ('LEASED', 'RUNNING', 'STOPPING');
DROP INDEX attempts_live_slot;
CREATE TRIGGER attempts_leave_slots AFTER UPDATE OF state ON attempts
WHEN OLD.state IN ('LEASED', 'RUNNING', 'STOPPING')
    AND NEW.state NOT IN ('LEASED', 'RUNNING', 'STOPPING') BEGIN
  DELETE FROM live_slots WHERE attempt_id = NEW.attempt_id;
END;

DROP VIEW v_sweeps;
CREATE VIEW v_sweeps AS
SELECT s.sweep_id, s.name AS sweep, s.state, s.spec_sha256, s.create_ms, s.end_ms,
       c.total, c.pending, c.running, c.done, c.diverged, c.failed, c.cancelled, c.stopped,
       c.reused, s.spec_json
FROM sweeps s JOIN sweep_counts c ON c.sweep_id = s.sweep_id;

DROP VIEW v_attempts;
CREATE VIEW v_attempts AS
SELECT a.attempt_id, a.task_id, a.worker_id AS worker, a.slot, a.slot_count, a.state,
       a.resume_step, a.create_ms, a.start_ms, a.end_ms, a.exit_code, a.signal, a.message,
       a.stop_cause, a.trainer_version, a.data_sha256, a.params_total, a.params_non_embedding,
       a.flops_per_token, a.total_steps, a.tokens_per_second
FROM attempts a;
