#include "tests/fake_trainer/misbehaviour.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace loglog {

volatile int stop_requested = 0;

namespace {

void OnSigterm(int) { stop_requested = 1; }

void DieBy(int signal_number) {
  // Sanitizers catch crashes and exit instead.
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

using Pairs = std::map<std::string, std::string>;

Pairs ParsePairs(const std::string& text) {
  Pairs pairs;
  std::stringstream stream(text);
  for (std::string item; std::getline(stream, item, ';');) {
    const size_t equals = item.find('=');
    if (equals == std::string::npos) {
      std::fprintf(stderr, "LOGLOG_FAKE_TRAINER: '%s' is not key=value\n", item.c_str());
      std::exit(2);
    }
    pairs[item.substr(0, equals)] = item.substr(equals + 1);
  }
  return pairs;
}

void TakeNumber(Pairs* pairs, const char* key, int64_t* value) {
  const auto found = pairs->find(key);
  if (found == pairs->end()) return;
  *value = std::atoll(found->second.c_str());
  pairs->erase(found);
}

std::string TakeText(Pairs* pairs, const char* key) {
  const auto node = pairs->extract(key);
  return node.empty() ? "" : node.mapped();
}

// The text of one of the folder's files, which whoever removes it has for itself; empty
// when there is none. Files that are still being written begin with a dot.
std::string TakeOneOf(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().filename().string()[0] == '.') continue;
    std::string text;
    std::getline(std::ifstream(entry.path()), text);
    if (unlink(entry.path().c_str()) == 0) return text;
  }
  return "";
}

// For a child that was forked: keeps one of its own in the group, and leaves the group.
[[noreturn]] void KeepUnburied(const std::string& path) {
  if (fork() == 0) {
    for (;;) pause();
  }
  setsid();
  alarm(600);  // goes away by itself should the test not see to it
  std::ofstream(path) << getpid();
  for (;;) pause();
}

}  // namespace

Misbehaviour Misbehaviour::FromEnvironment(int64_t first_seed) {
  Misbehaviour result;
  const char* text = std::getenv("LOGLOG_FAKE_TRAINER");
  if (text == nullptr) return result;
  Pairs pairs = ParsePairs(text);
  const auto take = [&pairs](const char* key, int64_t* value) { TakeNumber(&pairs, key, value); };
  take("step_ms", &result.step_ms);
  result.hello = pairs["hello"];
  pairs.erase("hello");
  result.journal = TakeText(&pairs, "journal");
  take("diverge_one_in", &result.diverge_one_in);
  const std::string misfortunes = TakeText(&pairs, "misfortunes");
  if (!misfortunes.empty()) result.misfortune = TakeOneOf(misfortunes);
  pairs.merge(ParsePairs(result.misfortune));
  TakeText(&pairs, "id");
  int64_t only_seed = first_seed;
  take("seed", &only_seed);
  if (only_seed != first_seed) return result;
  const std::string once = TakeText(&pairs, "once");
  if (!once.empty()) {
    const int fd = open(once.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return result;
    close(fd);
  }
  result.unburied = TakeText(&pairs, "unburied");
  int64_t ignore_sigterm = 0, orphan = 0;
  take("exit_at", &result.exit_at);
  take("exit_code", &result.exit_code);
  take("signal_at", &result.signal_at);
  take("signal", &result.signal);
  take("hang_at", &result.hang_at);
  take("ignore_sigterm", &ignore_sigterm);
  take("diverge_at", &result.diverge_at);
  take("bad_line_at", &result.bad_line_at);
  take("partial_at", &result.partial_at);
  take("orphan", &orphan);
  take("flood", &result.flood);
  take("linger_ms", &result.linger_ms);
  result.ignore_sigterm = ignore_sigterm != 0;
  result.orphan = orphan != 0;
  if (!pairs.empty()) {
    std::fprintf(stderr, "LOGLOG_FAKE_TRAINER: unknown key '%s'\n", pairs.begin()->first.c_str());
    std::exit(2);
  }
  return result;
}

void Misbehaviour::Say(char what) const {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (hello.empty() || hello.size() >= sizeof(address.sun_path)) return;
  std::memcpy(address.sun_path, hello.c_str(), hello.size());
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const ssize_t sent =
      sendto(fd, &what, 1, 0, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  if (sent != 1) std::fprintf(stderr, "fake: nobody listens at %s\n", hello.c_str());
  close(fd);
}

void Misbehaviour::End() const {
  if (linger_ms > 0) usleep(static_cast<useconds_t>(linger_ms * 1'000));
  Say('E');
}

void Misbehaviour::Start() const {
  Say('S');
  ::signal(SIGTERM, ignore_sigterm ? SIG_IGN : OnSigterm);
  for (int64_t written = 0; written < flood; written += 64) {
    std::fprintf(stderr, "%063lld\n", static_cast<long long>(written));
  }
  // An orphan of an orphan, as a careless daemonizing library leaves it.
  if (orphan && fork() == 0) {
    if (fork() == 0) {
      ::signal(SIGTERM, SIG_IGN);
      for (;;) pause();
    }
    _exit(0);
  }
  if (!unburied.empty() && fork() == 0) KeepUnburied(unburied);
}

void Misbehaviour::AtStep(int64_t step, EventLog* log) const {
  if (step_ms > 0) usleep(static_cast<useconds_t>(step_ms * 1'000));
  if (step == exit_at) {
    std::fprintf(stderr, "fake: leaving with %lld at step %lld\n",
                 static_cast<long long>(exit_code), static_cast<long long>(step));
    std::exit(static_cast<int>(exit_code));
  }
  if (step == signal_at) DieBy(static_cast<int>(signal));
  if (step == bad_line_at) log->Bytes("{\"e\":\"row\",\"member\":zero\n");
  if (step == partial_at) {
    log->Bytes("{\"e\":\"row\",\"member\":0,\"st");
    DieBy(SIGKILL);
  }
  while (step == hang_at && (stop_requested == 0 || ignore_sigterm)) usleep(1'000);
}

int64_t Misbehaviour::DivergesAt(const Task& task) const {
  if (diverge_one_in <= 0) return diverge_at;
  const uint64_t chain = task.members.at(0).chain;
  const auto one_in = static_cast<uint64_t>(diverge_one_in);
  return chain % one_in == 0 ? static_cast<int64_t>(2 + chain / one_in % 8) : diverge_at;
}

}  // namespace loglog
