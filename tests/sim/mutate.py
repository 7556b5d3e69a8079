"""Copies sources with rules broken in them, each broken only when it is asked for by name:

    mutate.py ROOT OUT_DIR          writes the copies and OUT_DIR/mutations.txt, the names

A rule is one expression of one file. A text that is not there any more is an error here, so
that the list cannot fall behind the code."""

import pathlib
import sys

# name, file, what stands there, what stands there when the rule is broken; where that stands
# there more than once, what stands before it
MUTATIONS = [
    # An attempt that is not its task's newest writes nothing any more.
    ("fence", "store/store_attempts.cc",
     "context.newest_attempt_id != batch.attempt_id", "false"),
    # What was acknowledged survives a loss of power.
    ("durability", "store/connection.cc",
     '"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4096;"\n'
     '        "PRAGMA journal_size_limit = 67108864; SELECT 1 FROM sqlite_schema"',
     '"PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 4096;"\n'
     '        "PRAGMA journal_size_limit = 67108864; SELECT 1 FROM sqlite_schema"'),
    # Events that were stored before are passed over.
    ("resend", "store/store_attempts.cc",
     "static_cast<int>(std::min(size, context.last_seq + 1 - batch.first_seq))", "0"),
    # What an earlier attempt wrote after the step of resumption is superseded.
    ("supersede", "store/store_attempts.cc",
     "points_->Supersede(stream_id, attempt_id, points_after)", "absl::StatusOr<int64_t>(0)"),
    # A worker kills its trainers when its lease ends.
    ("lease_kill", "worker/slot.cc", "now_ms >= lease_deadline_ms", "false"),
    # No lease ends within one lease after the coordinator's start.
    ("grace", "coordinator/scheduler_attempts.cc",
     "std::max(LeaseMs(), row.lease_ms)", "1"),
    # A host's fault does not spend the user's retries.
    ("budgets", "coordinator/scheduler_attempts.cc", "++task->mutable_past()->lost_count",
     "++task->mutable_past()->failure_count"),
    # A loss that is not finite is an outcome.
    ("divergence", "coordinator/scheduler_attempts.cc",
     "kind == OutcomeKind::kDone || kind == OutcomeKind::kDiverged",
     "kind == OutcomeKind::kDone"),
    # No more trials of a sweep run than it allows.
    ("limit", "coordinator/scheduler_dispatch.cc", "sweep.trials_live < most", "true"),
    # Only workers that a sweep selects are given its trials.
    ("selector", "coordinator/scheduler_dispatch.cc",
     "has != worker.labels.end() && has->second == label.second", "true"),
    # Who made room for others has lost nothing.
    ("preempted", "coordinator/scheduler_attempts.cc",
     "attempt.cause == StopCause::kPreempted || attempt.cause == StopCause::kUnwanted", "false"),
    # Leases end by a clock that nobody sets.
    ("monotonic", "coordinator/engine.cc",
     "clock_->monotonic_ms()", "clock_->wall_ms()", "void Engine::BeginGroup() {\n  now_ms_ = "),
    # A host that fails cell after cell gets no more of them.
    ("quarantine", "coordinator/scheduler_attempts.cc",
     "keys.size() < options_.quarantine_failures || worker.state == WorkerState::kQuarantined",
     "true"),
]

HEAD = '#include "tests/sim/mutation.h"\n'


def main(root, out):
    texts = {}
    for name, file, right, wrong, *before in MUTATIONS:
        text = texts.get(file) or (root / file).read_text()
        before = before[0] if before else ""
        # What an earlier rule has replaced still stands there, once, in its brackets.
        place = before + right
        if text.count(place) != 1:
            sys.exit(f"mutate.py: rule {name}: {file} has {text.count(place)} times '{place}', not once; "
                     "bring MUTATIONS up to date")
        texts[file] = text.replace(
            place, f'{before}(::loglog::sim::Broken("{name}") ? ({wrong}) : ({right}))')
    for file, text in texts.items():
        path = out / file.replace("/", "_")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEAD + text)
    (out / "mutations.txt").write_text("".join(name + "\n" for name, *_ in MUTATIONS))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
