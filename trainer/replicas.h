// What ranks tell each other besides gradients: rank 0 leads, and the others hold replicas of its
// engine. All of this is collective: rank 0 calls the one function while the others call its
// counterpart.
#ifndef LOGLOG_TRAINER_REPLICAS_H_
#define LOGLOG_TRAINER_REPLICAS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "trainer/engine.h"
#include "trainer/ranks.h"
#include "trainer/task.h"

namespace loglog {

// Gives every rank rank 0's state and returns rank 0's `step`.
int64_t ShareState(Engine& engine, Ranks& ranks, int64_t step);

enum class RankOrder : char {
  kStep,   // train one step
  kCheck,  // CheckReplicas
  kLeave,
};

struct Ordered {
  RankOrder order = RankOrder::kLeave;
  std::vector<std::optional<StepLimits>> limits;  // of kStep, for Engine::TrainStep
};

// Of rank 0, with which members are still active and which steps they skip: it alone evaluates,
// which may end a member, and watches the losses. `limits` is empty, or has one for each member.
void GiveOrder(const Engine& engine, Ranks& ranks, const Ordered& ordered);
Ordered TakeOrder(Engine& engine, Ranks& ranks);

// Throws std::runtime_error on every rank unless all have the same weights, to the bit.
void CheckReplicas(const Engine& engine, Ranks& ranks, int64_t step);

// What a rank other than 0 does: follows the orders until it is told to leave.
void FollowTask(const Task& task, Ranks& ranks);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_REPLICAS_H_
