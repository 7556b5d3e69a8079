// loglog-fake-trainer TASK.JSON: speaks the trainer's contract without training.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

#include "tests/fake_trainer/event_log.h"
#include "tests/fake_trainer/journal.h"
#include "tests/fake_trainer/misbehaviour.h"
#include "tests/fake_trainer/task.h"
#include "tests/fake_trainer/training.h"

namespace loglog {
namespace {

// The signal first, then the look at the parent: in the other order a parent that dies
// in between would go unnoticed.
void DieWithParent() {
  const char* parent = std::getenv("LOGLOG_PARENT_PID");
  if (parent == nullptr) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != std::atoi(parent)) std::_Exit(1);
}

int Train(Task task) {
  const auto misbehaviour = Misbehaviour::FromEnvironment(task.members.at(0).seed);
  Journal journal(misbehaviour.journal, task, misbehaviour.misfortune);
  EventLog log(task.run_dir + "/events.jsonl", /*bell_fd=*/3);
  FakeTraining training(std::move(task), &log,
                        [&](const Task& it) { return misbehaviour.DivergesAt(it); });
  misbehaviour.Start();
  training.Start();
  for (;;) {
    if (stop_requested != 0) {
      training.Save();
      return kExitAskedToStop;
    }
    misbehaviour.AtStep(training.step() + 1, &log);
    const int exit_code = training.Advance();
    if (exit_code < 0) continue;
    misbehaviour.End();
    return exit_code;
  }
}

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) {
  loglog::DieWithParent();
  if (argc != 2) {
    std::fprintf(stderr, "usage: loglog-fake-trainer TASK.JSON\n");
    return 2;
  }
  loglog::Task task;
  try {
    task = loglog::ReadTask(argv[1]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return loglog::kExitRefused;
  }
  try {
    return loglog::Train(std::move(task));
  } catch (const std::exception& e) {
    // Whatever is thrown on the way is a file that cannot be written or read.
    std::fprintf(stderr, "error: %s\n", e.what());
    return loglog::kExitHostUnusable;
  }
}
