-- Version 5: what branches off a task is found by that task.
CREATE INDEX task_deps_parent ON task_deps (parent_task_id);
