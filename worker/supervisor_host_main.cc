// A daemon in little for tests that kill daemons: runs one task in a run directory and
// waits. Prints the trainer's pid. Arguments: run directory, trainer.

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>

#include "worker/supervisor.h"
#include "worker/worker_testing.h"

int main(int, char** argv) {
  spdlog::set_level(spdlog::level::off);  // standard output carries the pid
  auto run_dir = loglog::worker::RunDir::Open({.root = argv[1]});
  if (!run_dir.ok()) return 1;
  loglog::worker::Supervisor supervisor(
      {.run_dir = run_dir->get(), .trainer = argv[2], .devices = {loglog::worker::Device()}});
  if (!supervisor.SetStore("5eed").ok()) return 1;
  const loglog::worker::TaskOrder order = loglog::worker::MakeOrder(17, 1, 1'000'000);
  supervisor.Apply({{.slot = 0, .kind = loglog::worker::SlotEvent::Kind::kRun, .order = order}}, {},
                   false, loglog::worker::kNever);
  const std::string dir = (*run_dir)->AttemptDir("5eed", 17);
  if (!loglog::worker::Eventually([&] { return loglog::PathExists(dir + "/events.jsonl"); }))
    return 1;
  std::printf("%s", loglog::ReadFile(dir + "/pid")->c_str());
  std::fflush(stdout);
  for (;;) pause();
}
