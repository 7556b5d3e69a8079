// What a message may hold at most: at the limit it is taken, one more is refused with the
// field, the value, the limit and the fix.
#include <gmock/gmock.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/refusal.h"
#include "coordinator/names.h"
#include "coordinator/service_testing.h"
#include "coordinator/worker_service_convert.h"
#include "proto/rpc_status.h"

namespace loglog {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Sweeps = v1::SweepService::Stub;

template <typename Message>
std::string Refusal(const Message& message) {
  const auto converted = FromProto(message);
  EXPECT_TRUE(converted.ok() || absl::IsInvalidArgument(converted.status())) << converted.status();
  return std::string(converted.status().message());
}

std::string Refusal(const v1::RegisterWorkerRequest& message) {
  const auto converted = FromProto(message, "0.1.0");
  EXPECT_TRUE(converted.ok() || absl::IsInvalidArgument(converted.status())) << converted.status();
  return std::string(converted.status().message());
}

v1::RegisterWorkerRequest Registration(int slots = 1) {
  v1::RegisterWorkerRequest request;
  request.set_protocol(v1::PROTOCOL_CURRENT);
  request.set_worker_id("w");
  request.set_boot_id("boot");
  for (int i = 0; i < slots; ++i) request.add_slots()->set_slot(i);
  return request;
}

TEST(WorkerLimits, Slots) {
  EXPECT_EQ(Refusal(Registration(limits::kSlotsOfWorkerMax)), "");
  EXPECT_THAT(Refusal(Registration(limits::kSlotsOfWorkerMax + 1)),
              AllOf(HasSubstr("slots: 1025, at most 1024"), HasSubstr("start several workers")));
  v1::SyncWorkerRequest sync;
  for (int i = 0; i <= limits::kSlotsOfWorkerMax; ++i) {
    sync.add_slots()->set_state(v1::SlotReport::IDLE);
  }
  EXPECT_THAT(Refusal(sync), HasSubstr("slots: 1025, at most 1024"));
}

TEST(WorkerLimits, Labels) {
  v1::RegisterWorkerRequest request = Registration();
  const std::string key(limits::kLabelKeyBytesMax, 'k');
  const std::string value(limits::kLabelValueBytesMax, 'v');
  (*request.mutable_labels())[key] = value;
  for (int i = 1; i < limits::kLabelsOfWorkerMax; ++i) {
    (*request.mutable_labels())[absl::StrCat("l", i)] = "x";
  }
  EXPECT_EQ(Refusal(request), "");
  (*request.mutable_labels())["one-more"] = "x";
  EXPECT_THAT(Refusal(request), AllOf(HasSubstr("labels: 65, at most 64"), HasSubstr("--label")));
  request = Registration();
  (*request.mutable_labels())[key + "k"] = "x";
  EXPECT_THAT(Refusal(request), HasSubstr("labels: a key: 64 bytes, at most 63"));
  request = Registration();
  (*request.mutable_labels())["l"] = value + "v";
  EXPECT_THAT(Refusal(request), HasSubstr("labels: the value of l: 257 bytes, at most 256"));
}

TEST(WorkerLimits, Texts) {
  const std::string longest(limits::kTextBytesMax, 't');
  for (const auto& [field, set] : std::vector<
           std::pair<std::string, std::function<void(v1::RegisterWorkerRequest*, std::string)>>>{
           {"boot_id", [](auto*r, const std::string&t) { r->set_boot_id(t); }},
           {"version", [](auto*r, const std::string&t) { r->set_version(t); }},
           {"host", [](auto*r, const std::string&t) { r->set_host(t); }},
           {"checkpoint_scope", [](auto*r, const std::string&t) { r->set_checkpoint_scope(t); }},
           {"device", [](auto*r, const std::string&t) { r->mutable_slots(0)->set_device(t); }},
           {"device_model",
            [](auto*r, const std::string&t) { r->mutable_slots(0)->set_device_model(t); }}}) {
    v1::RegisterWorkerRequest request = Registration();
    set(&request, longest);
    EXPECT_EQ(Refusal(request), "") << field;
    set(&request, longest + "t");
    EXPECT_THAT(Refusal(request), HasSubstr(absl::StrCat(field, ": 257 bytes, at most 256")));
  }
}

TEST(WorkerLimits, HeldAttempts) {
  v1::RegisterWorkerRequest registration = Registration();
  v1::SyncWorkerRequest sync;
  for (int i = 0; i < limits::kHeldAttemptsMax; ++i) {
    registration.add_held(i);
    sync.add_owed(i);
    sync.add_held()->mutable_outcome()->set_kind(v1::AttemptOutcome::DONE);
  }
  EXPECT_EQ(Refusal(registration), "");
  EXPECT_EQ(Refusal(sync), "");
  registration.add_held(1);
  EXPECT_THAT(Refusal(registration), HasSubstr("held: 10001, at most 10000"));
  v1::SyncWorkerRequest more = sync;
  more.add_owed(1);
  EXPECT_THAT(Refusal(more), HasSubstr("owed: 10001, at most 10000"));
  sync.add_held()->mutable_outcome()->set_kind(v1::AttemptOutcome::DONE);
  EXPECT_THAT(Refusal(sync), HasSubstr("held: 10001, at most 10000"));
}

TEST(WorkerLimits, TextsForPeopleAreCut) {
  v1::SyncWorkerRequest sync;
  sync.set_unhealthy(std::string(limits::kReasonBytesMax + 1, 'u'));
  v1::AttemptOutcome* outcome = sync.add_held()->mutable_outcome();
  outcome->set_kind(v1::AttemptOutcome::FAILED);
  outcome->set_message(std::string(limits::kOutcomeMessageBytesMax + 1, 'm'));
  const auto request = FromProto(sync);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->report.unhealthy.size(), limits::kReasonBytesMax);
  EXPECT_EQ(request->report.held[0].outcome.message.size(), limits::kOutcomeMessageBytesMax);
}

TEST(BatchLimits, Events) {
  v1::MetricBatch batch;
  for (int i = 0; i < limits::kEventsOfBatchMax; ++i) batch.add_events()->mutable_ignored();
  EXPECT_EQ(Refusal(batch), "");
  batch.add_events()->mutable_ignored();
  EXPECT_THAT(Refusal(batch),
              AllOf(HasSubstr("events: 10001, at most 10000"), HasSubstr("in parts")));
}

TEST(BatchLimits, Points) {
  v1::MetricBatch batch;
  v1::MetricRow* row = batch.add_events()->mutable_row();
  const auto add = [row] {
    row->add_name(0);
    row->add_value(1);
  };
  for (int i = 0; i < limits::kPointsOfBatchMax; ++i) add();
  EXPECT_EQ(Refusal(batch), "");
  add();
  EXPECT_THAT(Refusal(batch), HasSubstr("events: 200001 points, at most 200000"));
}

TEST(BatchLimits, Bytes) {
  v1::MetricBatch batch;
  batch.add_names(std::string(limits::kBatchBytesMax - 5, 'n'));
  ASSERT_EQ(batch.ByteSizeLong(), limits::kBatchBytesMax);
  EXPECT_EQ(Refusal(batch), "");
  batch.mutable_names(0)->push_back('n');
  EXPECT_THAT(Refusal(batch), HasSubstr("batch: 4194305 bytes, at most 4194304"));
}

TEST(BatchLimits, Texts) {
  v1::MetricBatch batch;
  v1::TrainerEvent* event = batch.add_events();
  event->mutable_notice()->set_detail_json(std::string(limits::kNoticeDetailBytesMax, '1'));
  EXPECT_EQ(Refusal(batch), "");
  event->mutable_notice()->mutable_detail_json()->push_back('1');
  EXPECT_THAT(Refusal(batch), HasSubstr("event 0: detail_json: 65537 bytes, at most 65536"));
  event->mutable_notice()->set_detail_json(std::string(limits::kJsonDepthMax, '[') +
                                           std::string(limits::kJsonDepthMax, ']'));
  EXPECT_EQ(Refusal(batch), "");
  event->mutable_notice()->set_detail_json(std::string(limits::kNoticeDetailBytesMax, '['));
  EXPECT_THAT(Refusal(batch), HasSubstr("event 0: detail_json: 65536 levels, at most 64"));
  event->mutable_member_ended()->set_summary_json(std::string(limits::kSummaryBytesMax, '1'));
  EXPECT_EQ(Refusal(batch), "");
  event->mutable_member_ended()->mutable_summary_json()->push_back('1');
  EXPECT_THAT(Refusal(batch), HasSubstr("summary_json: 262145 bytes, at most 262144"));
  event->mutable_checkpoint()->set_path(std::string(limits::kPathBytesMax, 'p'));
  EXPECT_EQ(Refusal(batch), "");
  event->mutable_checkpoint()->mutable_path()->push_back('p');
  EXPECT_THAT(Refusal(batch), AllOf(HasSubstr("path: 4097 bytes"), HasSubstr("--run-dir")));
  event->mutable_started()->set_trainer_version(std::string(limits::kTextBytesMax + 1, 'v'));
  EXPECT_THAT(Refusal(batch), HasSubstr("trainer_version: 257 bytes"));
}

// The largest answer that is not refused has to fit into a message.
TEST(AnswerLimits, AllPointsOfAnAnswerFitIntoAMessage) {
  v1::ListPointsResponse response;
  v1::Series* series = response.add_series();
  series->set_trial(TrialName(std::string(limits::kNameBytesMax, 's'), 1'000'000));
  series->set_metric("loss/train");
  series->set_total_points(std::numeric_limits<int64_t>::max());
  const size_t per_series = response.ByteSizeLong() + 10;
  v1::Point* point = series->add_points();
  point->set_step(int64_t{1} << 53);
  point->set_tokens(int64_t{1} << 53);
  point->set_value(1.5);
  EXPECT_LT(per_series * limits::kSeriesOfAnswerMax +
                (point->ByteSizeLong() + 2) * limits::kPointsOfAnswerMax,
            limits::kAnswerBytesMax);
}

TEST(RefusalTest, AdviceCrossesTheWire) {
  const absl::Status advised = FromGrpcStatus(ToGrpcStatus(Overloaded("too many", 1'500)));
  EXPECT_TRUE(absl::IsResourceExhausted(advised));
  EXPECT_EQ(advised.message(), "too many; call again in 2 s");
  EXPECT_EQ(RetryAfterMs(advised), 1'500);
  EXPECT_TRUE(IsOwnLimit(advised));
  const absl::Status full = FromGrpcStatus(ToGrpcStatus(NoRoom("full")));
  EXPECT_EQ(RetryAfterMs(full), std::nullopt);
  EXPECT_TRUE(IsOwnLimit(full));
  const absl::Status other =
      FromGrpcStatus(ToGrpcStatus(absl::ResourceExhaustedError("disk full")));
  EXPECT_FALSE(IsOwnLimit(other));
  EXPECT_EQ(RetryAfterMs(other), std::nullopt);
}

class CallLimits : public ServiceWorld {};

TEST_F(CallLimits, RequestIds) {
  v1::CreateSweepRequest request;
  request.set_spec_json(TinySpec("s"));
  request.set_request_id(std::string(limits::kRequestIdBytesMax, 'r'));
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CreateSweep, request), grpc::OK);
  request.mutable_request_id()->push_back('r');
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CreateSweep, request), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(last_status_.error_message(), HasSubstr("request_id: 129 bytes, at most 128"));
}

TEST_F(CallLimits, BytesOfASpecAndOfARequest) {
  v1::CreateSweepRequest request;
  request.set_spec_json(std::string(limits::kSpecBytesMax + 1, ' '));
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CreateSweep, request), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(last_status_.error_message(), HasSubstr("spec_json: 1048577 bytes"));
  request.set_spec_json(std::string(limits::kRequestBytesMax - 5, ' '));
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CreateSweep, request), grpc::INVALID_ARGUMENT);
  request.set_spec_json(std::string(limits::kRequestBytesMax + 1, ' '));
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CreateSweep, request), grpc::RESOURCE_EXHAUSTED);
}

TEST_F(CallLimits, Pages) {
  Submit("s", 1, limits::kPageSizeMax / 2 + 1);  // two arms: one trial more than a page has
  v1::ListTrialsRequest request;
  request.set_sweep("sweeps/s");
  v1::ListTrialsResponse page;
  ASSERT_EQ(Code(sweeps_.get(), &Sweeps::ListTrials, request, &page), grpc::OK);
  EXPECT_EQ(page.trials_size(), limits::kPageSizeDefault);
  request.set_page_size(limits::kPageSizeMax + 500);
  ASSERT_EQ(Code(sweeps_.get(), &Sweeps::ListTrials, request, &page), grpc::OK);
  EXPECT_EQ(page.trials_size(), limits::kPageSizeMax);
  EXPECT_NE(page.next_page_token(), "");
  for (int i = 0; i < 100; ++i) request.add_states(v1::Trial::PENDING);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::ListTrials, request), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(last_status_.error_message(), HasSubstr("name each state once"));
}

TEST_F(CallLimits, TrialsThatAreNamed) {
  Submit("s");
  v1::RetryTrialsRequest request;
  request.set_sweep("sweeps/s");
  for (int i = 0; i < limits::kNamesOfCallMax; ++i) request.add_trials("sweeps/s/trials/1");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::RetryTrials, request), grpc::FAILED_PRECONDITION)
      << "it is pending, but that was looked at";
  request.add_trials("sweeps/s/trials/1");
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::RetryTrials, request), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(last_status_.error_message(), HasSubstr("trials: 10001 names, at most 10000"));
}

TEST_F(CallLimits, PlacesOfAFit) {
  Submit("s");
  v1::CreateFitRequest request;
  request.set_sweep("sweeps/s");
  request.set_arm("a");
  request.set_kind("saturating");
  for (int i = 0; i < limits::kPlacesOfFitMax; ++i) request.add_at()->set_x(1e9);
  v1::Fit fit;
  ASSERT_EQ(Code(sweeps_.get(), &Sweeps::CreateFit, request, &fit), grpc::OK);
  EXPECT_EQ(fit.predictions_size(), 0);
  EXPECT_THAT(fit.why_unpredicted(), HasSubstr("there are 0"));
  request.add_at()->set_x(1e9);
  EXPECT_EQ(Code(sweeps_.get(), &Sweeps::CreateFit, request), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(last_status_.error_message(), HasSubstr("at: 1001 places, at most 1000"));
}

TEST_F(CallLimits, Watchers) {
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::Event>>> watches;
  const auto watch = [&] {
    contexts.push_back(NewContext());
    watches.push_back(sweeps_->WatchSweep(contexts.back().get(), v1::WatchSweepRequest()));
    watches.back()->WaitForInitialMetadata();
  };
  for (int i = 0; i < limits::kWatchersMax; ++i) watch();
  watch();
  v1::Event event;
  EXPECT_FALSE(watches.back()->Read(&event));
  const grpc::Status over = watches.back()->Finish();
  EXPECT_EQ(over.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(over.error_message(), AllOf(HasSubstr("500 calls"), HasSubstr("end one of them")));
  // The others are still served.
  Submit("s");
  for (int i = 0; i < limits::kWatchersMax; ++i) ASSERT_TRUE(watches[i]->Read(&event)) << i;
  for (const auto& context : contexts) context->TryCancel();
  for (int i = 0; i < limits::kWatchersMax; ++i) watches[i]->Finish();
}

}  // namespace
}  // namespace loglog
