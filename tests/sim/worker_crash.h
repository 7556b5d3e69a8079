#ifndef LOGLOG_TESTS_SIM_WORKER_CRASH_H_
#define LOGLOG_TESTS_SIM_WORKER_CRASH_H_

namespace loglog::sim {

// Thrown where a worker's daemon dies, caught where its simulation began to act.
struct WorkerCrash {};

}  // namespace loglog::sim

#endif  // LOGLOG_TESTS_SIM_WORKER_CRASH_H_
