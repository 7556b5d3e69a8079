#include "trainer/replicas.h"

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "trainer/data.h"
#include "trainer/member_state.h"

namespace loglog {
namespace {

// Of all members' weights. A sum of words would not see two that changed places.
uint64_t Digest(const Engine& engine) {
  constexpr uint64_t kPrime = 1099511628211u;  // of the FNV hash
  uint64_t digest = 14695981039346656037u;
  std::vector<uint32_t> words;
  for (size_t i = 0; i < engine.state_buffers().size(); ++i) {
    const StateBuffer& buffer = engine.state_buffers()[i];
    if (buffer.name.find("/weights/") == std::string::npos) continue;
    words.resize(static_cast<size_t>(buffer.bytes) / sizeof(uint32_t));
    engine.ReadState(i, words.data());
    for (const uint32_t word : words) digest = (digest ^ word) * kPrime;
  }
  return digest;
}

// What rank 0 says of one member; ranks of one host share its layout.
struct Message {
  int32_t order = 0;
  int32_t active = 0;
  int64_t limited = 0;
  StepLimits limits;
};

}  // namespace

int64_t ShareState(Engine& engine, Ranks& ranks, int64_t step) {
  ranks.Broadcast(&step, sizeof step);
  std::vector<char> bytes;
  for (size_t i = 0; i < engine.state_buffers().size(); ++i) {
    bytes.resize(static_cast<size_t>(engine.state_buffers()[i].bytes));
    if (ranks.rank() == 0) engine.ReadState(i, bytes.data());
    ranks.Broadcast(bytes.data(), bytes.size());
    if (ranks.rank() != 0) engine.WriteState(i, bytes.data());
  }
  return step;
}

void GiveOrder(const Engine& engine, Ranks& ranks, const Ordered& ordered) {
  std::vector<Message> messages(static_cast<size_t>(engine.members()));
  for (size_t member = 0; member < messages.size(); ++member) {
    Message& message = messages[member];
    message.order = static_cast<int32_t>(ordered.order);
    message.active = engine.active(static_cast<int>(member));
    if (ordered.limits.empty() || !ordered.limits[member]) continue;
    message.limited = 1;
    message.limits = *ordered.limits[member];
  }
  ranks.Broadcast(messages.data(), messages.size() * sizeof(Message));
}

Ordered TakeOrder(Engine& engine, Ranks& ranks) {
  std::vector<Message> messages(static_cast<size_t>(engine.members()));
  ranks.Broadcast(messages.data(), messages.size() * sizeof(Message));
  Ordered ordered{.order = static_cast<RankOrder>(messages[0].order), .limits = {}};
  for (size_t member = 0; member < messages.size(); ++member) {
    const Message& message = messages[member];
    if (message.active == 0) engine.Deactivate(static_cast<int>(member));
    ordered.limits.push_back(message.limited != 0 ? std::optional(message.limits) : std::nullopt);
  }
  return ordered;
}

void CheckReplicas(const Engine& engine, Ranks& ranks, int64_t step) {
  const uint64_t own = Digest(engine);
  uint64_t first = own;
  ranks.Broadcast(&first, sizeof first);
  if (ranks.All(own == first)) return;
  throw std::runtime_error(
      "at step " + std::to_string(step) + " the ranks' weights are no longer the same" +
      (own == first ? "" : ": rank " + std::to_string(ranks.rank()) + " has others than rank 0") +
      "; memory or a GPU of this host miscalculates, so run its diagnostics and resume elsewhere");
}

void FollowTask(const Task& task, Ranks& ranks) {
  const MemberConfig& first = task.first();
  const TrainingData data(first, task.data_root);
  const Cadence cadence(task);
  Engine engine(task.members, {.device = task.device, .threads = task.threads, .ranks = &ranks});
  int64_t step = ShareState(engine, ranks, 0);
  std::vector<int32_t> batch;
  while (true) {
    const Ordered ordered = TakeOrder(engine, ranks);
    switch (ordered.order) {
      case RankOrder::kLeave:
        return;
      case RankOrder::kCheck:
        CheckReplicas(engine, ranks, step);
        break;
      case RankOrder::kStep:
        FillBatch(task.members, data, step, &batch);
        // Gathering metrics takes another loop over the weights, whose last bits may differ.
        engine.StartStep(batch.data(), step, cadence.Metrics(step + 1), ordered.limits);
        while (engine.TakeStep(/*wait=*/false)) {
        }
        ++step;
    }
  }
}

}  // namespace loglog
