#include "worker/fake_service_testing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/worker_testing.h"

namespace loglog::worker {
namespace {

grpc::Status Stale() {
  return {grpc::StatusCode::FAILED_PRECONDITION,
          "STALE_SESSION: session 1 is over; register again"};
}

}  // namespace

void FakeService::Start() {
  {
    MutexLock lock(mutex_);
    stopping_ = false;
  }
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  ASSERT_NE(server_, nullptr) << address_;
}

void FakeService::Stop() {
  if (server_ == nullptr) return;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
}

void FakeService::Order(int slot, const TaskOrder& order) {
  MutexLock lock(mutex_);
  orders_[slot] = order;
  changed_.NotifyAll();
}

void FakeService::OrderNext(int slot, const TaskOrder& order) {
  MutexLock lock(mutex_);
  next_orders_[slot].push_back(order);
  changed_.NotifyAll();
}

void FakeService::StopAttempt(int64_t attempt_id) {
  MutexLock lock(mutex_);
  to_stop_.insert(attempt_id);
  changed_.NotifyAll();
}

void FakeService::KillAttempt(int64_t attempt_id) {
  MutexLock lock(mutex_);
  to_kill_.insert(attempt_id);
  changed_.NotifyAll();
}

void FakeService::EndSession() {
  MutexLock lock(mutex_);
  ++epoch_;
  changed_.NotifyAll();
}

template <typename Condition>
bool FakeService::WaitUntil(Condition condition) {
  MutexLock lock(mutex_);
  return changed_.WaitFor(mutex_, kLongMs, condition);
}

bool FakeService::WaitForState(int slot, v1::SlotReport::State state, int64_t attempt_id) {
  return WaitUntil([&]() LOGLOG_REQUIRES(mutex_) {
    return slot < last_sync_.slots_size() && last_sync_.slots(slot).state() == state &&
           last_sync_.slots(slot).attempt_id() == attempt_id;
  });
}

bool FakeService::WaitForOutcome(int64_t attempt_id, v1::AttemptOutcome* outcome) {
  const bool heard =
      WaitUntil([&]() LOGLOG_REQUIRES(mutex_) { return outcomes_.count(attempt_id) > 0; });
  MutexLock lock(mutex_);
  *outcome = outcomes_[attempt_id];
  return heard;
}

bool FakeService::WaitForRegistrations(int count) {
  return WaitUntil(
      [&]() LOGLOG_REQUIRES(mutex_) { return static_cast<int>(registrations_.size()) >= count; });
}

bool FakeService::WaitForSyncs(int more) {
  int target = 0;
  {
    MutexLock lock(mutex_);
    target = syncs_ + more;
  }
  return WaitUntil([&]() LOGLOG_REQUIRES(mutex_) { return syncs_ >= target; });
}

bool FakeService::WaitForEvents(int64_t attempt_id, int64_t count) {
  return WaitUntil([&]() LOGLOG_REQUIRES(mutex_) { return events_[attempt_id] >= count; });
}

std::vector<v1::RegisterWorkerRequest> FakeService::registrations() {
  MutexLock lock(mutex_);
  return registrations_;
}

v1::SyncWorkerRequest FakeService::last_sync() {
  MutexLock lock(mutex_);
  return last_sync_;
}

int64_t FakeService::event_count(int64_t attempt_id) {
  MutexLock lock(mutex_);
  return events_[attempt_id];
}

int FakeService::reports(int64_t attempt_id) {
  MutexLock lock(mutex_);
  return reports_[attempt_id];
}

bool FakeService::WaitForStreams(int count) {
  return WaitUntil([&]() LOGLOG_REQUIRES(mutex_) { return streams_ >= count; });
}

int FakeService::full_waits() {
  MutexLock lock(mutex_);
  return full_waits_;
}

int FakeService::syncs() {
  MutexLock lock(mutex_);
  return syncs_;
}

int FakeService::streams() {
  MutexLock lock(mutex_);
  return streams_;
}

grpc::Status FakeService::RegisterWorker(grpc::ServerContext*,
                                         const v1::RegisterWorkerRequest* request,
                                         v1::RegisterWorkerResponse* response) {
  MutexLock lock(mutex_);
  registrations_.push_back(*request);
  changed_.NotifyAll();
  if (!rules_.register_status.ok()) return rules_.register_status;
  response->set_session_epoch(++epoch_);
  response->set_lease_ms(rules_.lease_ms);
  response->set_lease_margin_ms(rules_.lease_margin_ms);
  response->set_sync_interval_ms(rules_.sync_interval_ms);
  response->set_store_id(rules_.store_id);
  return grpc::Status::OK;
}

grpc::Status FakeService::SyncWorker(grpc::ServerContext* context,
                                     const v1::SyncWorkerRequest* request,
                                     v1::SyncWorkerResponse* response) {
  const int64_t arrival_ms = Clock::Real()->monotonic_ms();
  const int64_t until_ms = arrival_ms + request->wait_ms();
  MutexLock lock(mutex_);
  if (rules_.sync_status.ok() && request->session_epoch() == epoch_) Note(*request);
  // Short waits, because nothing wakes this thread when the caller gives up.
  for (;;) {
    if (stopping_) return {grpc::StatusCode::UNAVAILABLE, "stopping"};
    if (!rules_.sync_status.ok()) return rules_.sync_status;
    if (request->session_epoch() != epoch_) return Stale();
    if (context->IsCancelled()) return grpc::Status::CANCELLED;
    response->Clear();
    const bool thought = Clock::Real()->monotonic_ms() >= arrival_ms + rules_.think_ms;
    if (thought && Desire(*request, response)) break;
    response->Clear();
    if (thought && Clock::Real()->monotonic_ms() >= until_ms) {
      full_waits_ += request->wait_ms() > 0 ? 1 : 0;
      break;
    }
    changed_.WaitFor(mutex_, 5, [] { return false; });
  }
  response->set_lease_ms(rules_.lease_ms);
  response->set_sync_interval_ms(rules_.sync_interval_ms);
  response->set_drain(rules_.drain);
  return grpc::Status::OK;
}

void FakeService::Note(const v1::SyncWorkerRequest& request) {
  last_sync_ = request;
  ++syncs_;
  for (const v1::SlotReport& report : request.slots()) {
    if (report.state() != v1::SlotReport::FINISHED) continue;
    outcomes_[report.attempt_id()] = report.outcome();
    ++reports_[report.attempt_id()];
  }
  for (const v1::HeldReport& held : request.held()) {
    outcomes_[held.attempt_id()] = held.outcome();
    ++reports_[held.attempt_id()];
  }
  changed_.NotifyAll();
}

bool FakeService::Desire(const v1::SyncWorkerRequest& request, v1::SyncWorkerResponse* response) {
  for (const v1::SlotReport& report : request.slots()) {
    v1::SlotDesired desired;
    desired.set_slot(report.slot());
    desired.set_attempt_id(report.attempt_id());
    std::deque<TaskOrder>& next = next_orders_[report.slot()];
    const bool over =
        orders_.count(report.slot()) == 0 || outcomes_.count(orders_[report.slot()].attempt_id) > 0;
    if (report.state() == v1::SlotReport::IDLE && over && !next.empty()) {
      orders_[report.slot()] = next.front();
      next.pop_front();
    }
    const auto order = orders_.find(report.slot());
    const bool works = report.state() == v1::SlotReport::RUNNING;
    if (rules_.forever_killed != 0) {
      desired.set_attempt_id(rules_.forever_killed);
      desired.set_action(v1::SlotDesired::KILL);
      *response->add_slots() = desired;
      continue;
    }
    if (report.state() == v1::SlotReport::IDLE && order != orders_.end() && !request.draining() &&
        outcomes_.count(order->second.attempt_id) == 0 &&
        to_kill_.count(order->second.attempt_id) == 0 &&
        rules_.fenced_attempt != order->second.attempt_id) {
      desired.set_action(v1::SlotDesired::RUN);
      desired.set_attempt_id(order->second.attempt_id);
      v1::TaskOrder* task = desired.mutable_task();
      task->set_attempt_id(order->second.attempt_id);
      task->set_task_id(order->second.task_id);
      task->set_task_json(order->second.task_json);
      task->mutable_slots()->Add(order->second.slots.begin(), order->second.slots.end());
    } else if (report.state() == v1::SlotReport::FINISHED && rules_.forget) {
      desired.set_action(v1::SlotDesired::FORGET);
    } else if (works && to_kill_.count(report.attempt_id()) > 0) {
      desired.set_action(v1::SlotDesired::KILL);
    } else if (works && to_stop_.count(report.attempt_id()) > 0) {
      desired.set_action(v1::SlotDesired::STOP);
    } else {
      continue;
    }
    *response->add_slots() = desired;
  }
  for (const v1::HeldReport& held : request.held()) {
    if (rules_.forget) response->add_forget(held.attempt_id());
  }
  return response->slots_size() > 0 || response->forget_size() > 0 || rules_.drain;
}

grpc::Status FakeService::StreamMetrics(
    grpc::ServerContext*, grpc::ServerReaderWriter<v1::MetricAck, v1::MetricBatch>* stream) {
  {
    MutexLock lock(mutex_);
    ++streams_;
    changed_.NotifyAll();
  }
  v1::MetricBatch batch;
  while (stream->Read(&batch)) {
    v1::MetricAck ack;
    const grpc::Status status = StoreBatch(batch, &ack);
    if (!status.ok()) return status;
    stream->Write(ack);
  }
  return grpc::Status::OK;
}

grpc::Status FakeService::StoreBatch(const v1::MetricBatch& batch, v1::MetricAck* ack) {
  MutexLock lock(mutex_);
  if (batch.session_epoch() != epoch_) return Stale();
  if (!rules_.stream_status.ok()) return rules_.stream_status;
  if (batch.events_size() == 0 && rules_.broken_questions > 0) {
    --rules_.broken_questions;
    return {grpc::StatusCode::UNAVAILABLE, "broken by the test"};
  }
  int64_t& stored = events_[batch.attempt_id()];
  const bool breaks = batch.events_size() > 0 && rules_.breaks > 0;
  if (breaks) --rules_.breaks;
  if (batch.events_size() > 0 && batch.attempt_id() == rules_.refused_attempt) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "too odd to store"};
  }
  if (!breaks || rules_.store_before_break) {
    if (batch.events_size() > 0 && batch.first_seq() > stored) {
      return {grpc::StatusCode::INVALID_ARGUMENT,
              absl::StrCat("gap: ", stored, " to ", batch.first_seq())};
    }
    stored = std::max<int64_t>(stored, batch.first_seq() + batch.events_size());
  }
  changed_.NotifyAll();
  if (breaks) return {grpc::StatusCode::UNAVAILABLE, "broken by the test"};
  ack->set_attempt_id(batch.attempt_id());
  ack->set_last_seq(stored - 1);
  ack->set_forget(batch.attempt_id() == rules_.fenced_attempt);
  return grpc::Status::OK;
}

}  // namespace loglog::worker
