// A flood of submits and many watchers, over the wire.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/refusal.h"
#include "coordinator/service_testing.h"
#include "proto/rpc_status.h"

namespace loglog {
namespace {

class OverloadServiceTest : public ServiceWorld {};

TEST_F(OverloadServiceTest, AFloodOfSubmitsLeavesWorkersAlone) {
  constexpr int kFlood = 5'000;
  struct Submit {
    std::unique_ptr<grpc::ClientContext> context = NewContext(300'000);
    v1::CreateSweepRequest request;
    v1::CreateSweepResponse response;
  };
  std::vector<Submit> submits(kFlood);
  std::atomic<int> created = 0;
  std::atomic<int> advised = 0;
  std::atomic<int> answered = 0;
  const int64_t epoch = Register("w");
  for (int i = 0; i < kFlood; ++i) {
    Submit* const submit = &submits[i];
    submit->request.set_spec_json(TinySpec(absl::StrCat("s", i)));
    sweeps_->async()->CreateSweep(submit->context.get(), &submit->request, &submit->response,
                                  [&](const grpc::Status& status) {
                                    if (status.ok()) {
                                      ++created;
                                    } else if (RetryAfterMs(FromGrpcStatus(status)) == 1'000) {
                                      ++advised;
                                    }
                                    ++answered;
                                  });
  }
  // Meanwhile the worker's calls are answered, each of them.
  int syncs = 0;
  while (answered < kFlood || syncs < 10) {
    v1::SyncWorkerRequest request = IdleSync("w", epoch);
    request.set_unhealthy("takes no work");
    v1::SyncWorkerResponse response;
    const grpc::Status status = workers_->SyncWorker(NewContext().get(), request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ++syncs;
  }
  EXPECT_EQ(created + advised, kFlood);
  EXPECT_GE(created, limits::kSubmitsMax);
  int found = 0;
  v1::ListSweepsRequest list;
  list.set_page_size(limits::kPageSizeMax);
  do {
    v1::ListSweepsResponse page;
    ASSERT_TRUE(sweeps_->ListSweeps(NewContext().get(), list, &page).ok());
    found += page.sweeps_size();
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  EXPECT_EQ(found, created) << "each sweep that was answered, and no other";
}

// Events of the verbs that a watcher has seen, in order, and how often it began anew.
struct Seen {
  std::vector<int64_t> verbs;
  int64_t last_event_id = 0;
};

TEST_F(OverloadServiceTest, ManyWatchersASlowOneAndOneThatIsCut) {
  Submit("s");
  constexpr int kWatchers = 30;
  constexpr int kVerbs = 400;  // more events than a page, and than a window of the transport
  const auto watch = [&](Seen* seen, int verbs) {
    v1::WatchSweepRequest request;
    request.set_name("sweeps/s");
    request.set_after_event_id(seen->last_event_id);
    const auto context = NewContext(300'000);
    const auto stream = sweeps_->WatchSweep(context.get(), request);
    v1::Event event;
    while (static_cast<int>(seen->verbs.size()) < verbs && stream->Read(&event)) {
      EXPECT_GT(event.event_id(), seen->last_event_id);
      seen->last_event_id = event.event_id();
      if (event.kind() == "sweep.paused" || event.kind() == "sweep.resumed") {
        seen->verbs.push_back(event.event_id());
      }
    }
    context->TryCancel();
    stream->Finish();
  };
  std::vector<Seen> seen(kWatchers);
  std::vector<std::thread> watchers;
  for (int i = 0; i < kWatchers; ++i) {
    // A third of them are cut off again and again, and go on where they were.
    watchers.emplace_back([&, i] {
      for (int verbs = i % 3 == 0 ? 50 : kVerbs; verbs <= kVerbs; verbs += 50) {
        watch(&seen[i], verbs);
      }
    });
  }
  // Reads nothing until all is over.
  const auto context = NewContext(300'000);
  v1::WatchSweepRequest request;
  const auto slow = sweeps_->WatchSweep(context.get(), request);
  v1::SweepVerbRequest verb;
  verb.set_name("sweeps/s");
  v1::Sweep sweep;
  for (int i = 0; i < kVerbs / 2; ++i) {
    ASSERT_TRUE(sweeps_->PauseSweep(NewContext().get(), verb, &sweep).ok());
    ASSERT_TRUE(sweeps_->ResumeSweep(NewContext().get(), verb, &sweep).ok());
  }
  for (std::thread& watcher : watchers) watcher.join();
  Seen slowly;
  v1::Event event;
  while (static_cast<int>(slowly.verbs.size()) < kVerbs && slow->Read(&event)) {
    if (event.kind() == "sweep.paused" || event.kind() == "sweep.resumed") {
      slowly.verbs.push_back(event.event_id());
    }
  }
  EXPECT_EQ(static_cast<int>(slowly.verbs.size()), kVerbs);
  for (int i = 0; i < kWatchers; ++i) EXPECT_EQ(seen[i].verbs, slowly.verbs) << i;
  context->TryCancel();
  slow->Finish();
}

}  // namespace
}  // namespace loglog
