// The main function of the tests. Commands start `loglog` itself to bind programs to their life,
// and in a test that is the test's own program: with a command of loglog it does as loglog does.
#include <iostream>
#include <string>
#include <vector>

#include "cli/binaries.h"
#include "cli/context.h"
#include "gmock/gmock.h"

int main(int argc, char** argv) {
  if (argc > 1 && argv[1][0] != '-') {
    loglog::cli::Io io = {.out = &std::cout,
                          .err = &std::cerr,
                          .env = loglog::cli::Environment(),
                          .exec = loglog::cli::Exec};
    return loglog::cli::RunLoglog(std::vector<std::string>(argv + 1, argv + argc), io);
  }
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
