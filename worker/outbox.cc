#include "worker/outbox.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <limits>

namespace loglog::worker {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

}  // namespace

void Outbox::Add(int64_t attempt_id, const std::string& events_path) {
  MutexLock lock(mutex_);
  entries_[attempt_id] = std::make_unique<Entry>(events_path);
  Changed();
}

void Outbox::Seal(int64_t attempt_id, int64_t last_seq) {
  bool uploaded = false;
  {
    MutexLock lock(mutex_);
    Entry* entry = Find(attempt_id);
    if (entry == nullptr) return;
    entry->sealed = true;
    entry->last_seq = last_seq;
    entry->next_flush_ms = 0;
    uploaded = BecameUploaded(*entry);
    Changed();
  }
  if (uploaded) options_.on_uploaded(attempt_id);
}

void Outbox::Drop(int64_t attempt_id) {
  MutexLock lock(mutex_);
  entries_.erase(attempt_id);
  Changed();  // it may have been what others waited for
}

void Outbox::Bell(int64_t attempt_id) {
  MutexLock lock(mutex_);
  Entry* entry = Find(attempt_id);
  if (entry == nullptr || entry->rung) return;
  entry->rung = true;
  Changed();
}

void Outbox::Restart() {
  MutexLock lock(mutex_);
  for (auto& [attempt_id, entry] : entries_) {
    if (entry->phase != Phase::kMute) entry->phase = Phase::kAsk;
    entry->in_flight.clear();
  }
  interrupted_ = false;
  Changed();
}

bool Outbox::NextBatch(int64_t timeout_ms, EventBatch* batch) {
  MutexLock lock(mutex_);
  const int64_t deadline_ms = options_.clock->monotonic_ms() + timeout_ms;
  while (WaitUntilDue(deadline_ms)) {
    if (TakeBatch(options_.clock->monotonic_ms(), batch)) return true;
  }
  return false;
}

bool Outbox::WaitForWork(int64_t timeout_ms) {
  MutexLock lock(mutex_);
  return WaitUntilDue(options_.clock->monotonic_ms() + timeout_ms);
}

void Outbox::Acknowledge(int64_t attempt_id, int64_t last_seq, bool forget) {
  bool uploaded = false;
  {
    MutexLock lock(mutex_);
    Entry* entry = Find(attempt_id);
    if (entry == nullptr || entry->phase == Phase::kMute) return;
    if (forget) {
      entry->phase = Phase::kMute;
      entry->in_flight.clear();
    } else if (entry->phase == Phase::kAsking) {
      entry->phase = Phase::kFlowing;
      Resume(*entry, last_seq + 1);
    } else {
      while (!entry->in_flight.empty() && entry->in_flight.front().end.seq <= last_seq + 1) {
        entry->acked = entry->in_flight.front().end;
        entry->in_flight.pop_front();
      }
    }
    uploaded = !forget && BecameUploaded(*entry);
    Changed();
  }
  if (forget) options_.on_fenced(attempt_id);
  if (uploaded) options_.on_uploaded(attempt_id);
}

void Outbox::Interrupt() {
  MutexLock lock(mutex_);
  interrupted_ = true;
  changed_.NotifyAll();
}

int64_t Outbox::OldestUnanswered() {
  MutexLock lock(mutex_);
  const int64_t now_ms = options_.clock->monotonic_ms();
  int64_t oldest_ms = now_ms;
  for (const auto& [attempt_id, entry] : entries_) {
    if (entry->phase == Phase::kAsking) oldest_ms = std::min(oldest_ms, entry->asked_ms);
    if (!entry->in_flight.empty()) {
      oldest_ms = std::min(oldest_ms, entry->in_flight.front().taken_ms);
    }
  }
  return now_ms - oldest_ms;
}

int64_t Outbox::BlameRefusal(absl::string_view why) {
  int64_t culprit = 0;
  {
    MutexLock lock(mutex_);
    one_at_a_time_ = true;
    if (Unanswered() != 1) return 0;
    one_at_a_time_ = false;
    for (auto& [attempt_id, entry] : entries_) {
      if (entry->phase != Phase::kAsking && entry->in_flight.empty()) continue;
      culprit = attempt_id;
      entry->phase = Phase::kMute;
      entry->in_flight.clear();
      entry->refusal = std::string(why);
      if (!BecameUploaded(*entry)) return culprit;
    }
  }
  options_.on_uploaded(culprit);
  return culprit;
}

Outbox::Upload Outbox::UploadOf(int64_t attempt_id) {
  MutexLock lock(mutex_);
  const Entry* entry = Find(attempt_id);
  if (entry == nullptr) return {};
  return {.last_acknowledged = entry->acked.seq - 1, .refusal = entry->refusal};
}

Outbox::Entry* Outbox::Find(int64_t attempt_id) {
  const auto found = entries_.find(attempt_id);
  return found == entries_.end() ? nullptr : found->second.get();
}

void Outbox::Changed() {
  something_changed_ = true;
  changed_.NotifyAll();
}

bool Outbox::WaitUntilDue(int64_t deadline_ms) {
  for (;;) {
    if (interrupted_) {
      interrupted_ = false;
      return false;
    }
    const int64_t now_ms = options_.clock->monotonic_ms();
    const int64_t due_ms = NextDueTime();
    if (due_ms <= now_ms) return true;
    if (now_ms >= deadline_ms) return false;
    something_changed_ = false;
    changed_.WaitFor(mutex_, std::min(due_ms, deadline_ms) - now_ms,
                     [this]()
                         LOGLOG_REQUIRES(mutex_) { return interrupted_ || something_changed_; });
  }
}

int Outbox::Unanswered() const {
  return static_cast<int>(std::count_if(entries_.begin(), entries_.end(), [](const auto& item) {
    return item.second->phase == Phase::kAsking || !item.second->in_flight.empty();
  }));
}

int64_t Outbox::DueTime(const Entry& entry) const {
  const bool unanswered = entry.phase == Phase::kAsking || !entry.in_flight.empty();
  if (one_at_a_time_ && (unanswered || Unanswered() > 0)) return kNever;
  if (entry.phase == Phase::kAsk) return 0;
  if (entry.phase != Phase::kFlowing) return kNever;
  if (static_cast<int>(entry.in_flight.size()) >= options_.in_flight_max) return kNever;
  if (entry.sealed)
    return entry.file.position().seq <= entry.last_seq ? entry.next_flush_ms : kNever;
  return entry.rung ? entry.next_flush_ms : entry.next_poll_ms;
}

int64_t Outbox::NextDueTime() const {
  int64_t earliest_ms = kNever;
  for (const auto& [attempt_id, entry] : entries_) {
    earliest_ms = std::min(earliest_ms, DueTime(*entry));
  }
  return earliest_ms;
}

bool Outbox::TakeBatch(int64_t now_ms, EventBatch* batch) {
  // Round robin: begin after the attempt that was served last.
  auto it = entries_.upper_bound(last_taken_);
  for (size_t i = 0; i < entries_.size(); ++i, ++it) {
    if (it == entries_.end()) it = entries_.begin();
    if (DueTime(*it->second) > now_ms) continue;
    if (TakeFrom(it->first, *it->second, now_ms, batch)) {
      last_taken_ = it->first;
      return true;
    }
  }
  return false;
}

bool Outbox::TakeFrom(int64_t attempt_id, Entry& entry, int64_t now_ms, EventBatch* batch) {
  *batch = EventBatch{.attempt_id = attempt_id};
  if (entry.phase == Phase::kAsk) {
    entry.phase = Phase::kAsking;
    entry.asked_ms = now_ms;
    return true;
  }
  const EventFile::Position begin = entry.file.position();
  batch->first_seq = begin.seq;
  entry.rung = false;
  entry.next_poll_ms = now_ms + options_.poll_ms;
  const absl::StatusOr<bool> read = entry.file.Read(options_.limits, batch);
  if (!read.ok() || !*read) {
    if (!read.ok())
      spdlog::error("attempt {}: {}", attempt_id, std::string(read.status().message()));
    // A file that cannot be read, or lost sealed lines, is tried again, but not often.
    if (!read.ok() || entry.sealed) entry.next_flush_ms = now_ms + options_.poll_ms;
    return false;
  }
  const EventFile::Position end = entry.file.position();
  const bool full = static_cast<int>(batch->events.size()) >= options_.limits.events_max ||
                    end.offset - begin.offset >= options_.limits.bytes_max / 2;
  entry.rung = true;
  entry.next_flush_ms = full || entry.sealed ? 0 : now_ms + options_.flush_ms;
  entry.in_flight.push_back({.end = end, .taken_ms = now_ms});
  return true;
}

void Outbox::Resume(Entry& entry, int64_t next_seq) {
  if (entry.acked.seq == next_seq) {
    entry.file.SeekTo(entry.acked);
  } else {
    const absl::StatusOr<bool> found = entry.file.SeekToSeq(next_seq);
    if (!found.ok()) spdlog::error("{}", std::string(found.status().message()));
    // A file with fewer lines than were acknowledged: what is sent of it keeps its
    // numbers, so the coordinator takes none of it twice.
    entry.acked = {.seq = next_seq, .offset = entry.file.position().offset};
  }
  entry.rung = true;
  entry.next_flush_ms = 0;
}

bool Outbox::BecameUploaded(Entry& entry) {
  const bool complete = entry.acked.seq > entry.last_seq || !entry.refusal.empty();
  if (!entry.sealed || entry.told || !complete) return false;
  entry.told = true;
  return true;
}

}  // namespace loglog::worker
