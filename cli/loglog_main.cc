#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <iostream>

#include "cli/binaries.h"
#include "cli/context.h"

namespace {

// The errno of a failed write may be long gone; a pipe that nobody reads still says so.
bool ReaderLeft() {
  pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
  return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that went away (`loglog trial list | head`) is an error of write, not death.
  signal(SIGPIPE, SIG_IGN);
  std::ios::sync_with_stdio(false);
  loglog::cli::Io io = {.out = &std::cout,
                        .err = &std::cerr,
                        .out_terminal = isatty(STDOUT_FILENO) == 1,
                        .err_terminal = isatty(STDERR_FILENO) == 1,
                        .env = loglog::cli::Environment(),
                        .reader_left = ReaderLeft,
                        .exec = loglog::cli::Exec};
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    io.columns = size.ws_col;
    io.rows = size.ws_row;
  }
  return loglog::cli::RunLoglog(std::vector<std::string>(argv + 1, argv + argc), io);
}
