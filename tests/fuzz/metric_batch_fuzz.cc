// Metric batches from the wire into a store: each is refused as a whole or applied as a
// whole, acknowledged numbers grow by one rule, and the points are those that were sent.
#include <spdlog/spdlog.h>

#include "base/check.h"
#include "coordinator/worker_service_convert.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "loglog/v1/worker_service.pb.h"
#include "tests/fuzz/batch_world.h"
#include "tests/fuzz/fuzz_input.h"

namespace loglog {
namespace {

constexpr int kBatchesMax = 12;
constexpr const char* kNames[] = {"loss/train", "loss/val", "norm/grad", "bad name", ""};

// Wraps around: steps here may be anything.
int64_t TokensAt(int64_t step) { return static_cast<int64_t>(10 * static_cast<uint64_t>(step)); }

// Mostly the next one, now and then anything.
int64_t Near(int64_t next, FuzzInput* input) {
  const int choice = input->Small(15);
  if (choice < 12) return static_cast<int64_t>(static_cast<uint64_t>(next) + choice % 4);
  if (choice == 12) return static_cast<int64_t>(static_cast<uint64_t>(next) - 1);
  if (choice == 13) return 0;
  return input->Integer();
}

void FillRow(int64_t step, FuzzInput* input, v1::MetricRow* row) {
  row->set_member(input->Small(7) == 7 ? input->Byte() : input->Small(1));
  row->set_step(Near(step, input));
  row->set_tokens(Near(TokensAt(row->step()), input));
  const int values = input->Small(4);
  for (int i = 0; i < values; ++i) {
    row->add_name(input->Small(15) == 15 ? static_cast<uint32_t>(input->Integer()) : i);
    row->add_value(input->Small(3) == 3 ? input->Real() : 0.5 * input->Byte());
  }
  if (input->Small(31) == 31) row->add_value(1);
}

void FillEvent(int64_t step, FuzzInput* input, v1::TrainerEvent* event) {
  switch (input->Small(10)) {
    default:
      return FillRow(step, input, event->mutable_row());
    case 5:
      event->mutable_started()->set_resume_step(Near(0, input));
      event->mutable_started()->set_flops_per_token(input->Real());
      event->mutable_started()->set_total_steps(input->Integer());
      return;
    case 6:
      event->mutable_checkpoint()->set_step(Near(step, input));
      event->mutable_checkpoint()->set_path(input->Text(32));
      event->mutable_checkpoint()->set_bytes(input->Integer());
      return;
    case 7:
      event->mutable_member_ended()->set_member(input->Small(2));
      event->mutable_member_ended()->set_diverged(input->Small(1) == 1);
      event->mutable_member_ended()->set_step(Near(step, input));
      event->mutable_member_ended()->set_tokens(Near(TokensAt(step), input));
      event->mutable_member_ended()->set_final_loss(input->Real());
      event->mutable_member_ended()->set_summary_json(input->Text(32));
      return;
    case 8:
      event->mutable_notice()->set_kind(input->Text(16));
      event->mutable_notice()->set_detail_json(input->Text(64));
      return;
    case 9:
      event->mutable_ignored();
      return;
    case 10:
      return;  // of a kind that is not known
  }
}

v1::MetricBatch MakeBatch(const BatchWorld& world, FuzzInput* input) {
  v1::MetricBatch batch;
  const int which = input->Small(15);
  batch.set_attempt_id(which < 6 ? 2 : which < 12 ? 3 : which < 15 ? which - 11 : input->Integer());
  const bool known = batch.attempt_id() >= 1 && batch.attempt_id() <= BatchWorld::kAttempts;
  const int64_t next = known ? world.last_seq(batch.attempt_id()) + 1 : 0;
  batch.set_first_seq(input->Small(3) == 3 ? Near(next, input) : next);
  for (const char* name : kNames) batch.add_names(name);
  batch.add_names(input->Text(16));
  const int events = input->Small(20);
  for (int i = 0; i < events; ++i) {
    FillEvent((known ? world.last_step(batch.attempt_id()) : 0) + 1 + i, input, batch.add_events());
  }
  return batch;
}

struct Silent : google::protobuf::io::ErrorCollector {
  void AddError(int, google::protobuf::io::ColumnNumber, const std::string&) override {}
};

}  // namespace
}  // namespace loglog

// First byte: whether the rest is one batch as text, or choices from which batches are made;
// and whether the end is committed and checked, which is slow.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loglog;
  spdlog::set_level(spdlog::level::off);
  static BatchWorld world;
  FuzzInput input(data, size);
  const uint8_t mode = input.Byte();
  world.Begin();
  const auto send = [](const v1::MetricBatch& sent) {
    // Text that is not UTF-8 does not pass the wire.
    v1::MetricBatch batch;
    if (!batch.ParseFromString(sent.SerializeAsString())) return;
    absl::StatusOr<BatchRequest> request = FromProto(batch);
    if (!request.ok()) return;
    world.Apply(std::move(request->batch));
  };
  if (mode == 'T') {
    Silent silent;
    google::protobuf::TextFormat::Parser parser;
    parser.RecordErrorsTo(&silent);
    v1::MetricBatch batch;
    if (parser.ParseFromString(std::string(input.Rest()), &batch)) send(batch);
  } else {
    for (int i = 0; i < kBatchesMax && !input.empty(); ++i) send(MakeBatch(world, &input));
  }
  world.CheckCurves();
  if (mode % 16 == 15) {
    world.CommitAndCheck();
  } else {
    world.Rollback();
  }
  return 0;
}
