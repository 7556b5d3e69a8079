// Writes the event files of two trials for tensorboard_test.py: tensorboard_events DIR
#include <cstdio>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/tensorboard.h"

int main(int argc, char** argv) {
  using namespace loglog;
  if (argc != 2) {
    std::fprintf(stderr, "usage: tensorboard_events DIR\n");
    return 2;
  }
  for (int number : {17, 18}) {
    v1::Trial trial;
    trial.set_name(absl::StrCat("sweeps/s/trials/", number));
    trial.set_cell_sha256(absl::StrCat("cell", number));
    (*trial.mutable_axes())["init.gamma"] = number == 17 ? "0.5" : "1.0";
    (*trial.mutable_axes())["train.schedule"] = "wsd";
    trial.set_seed(number - 17);
    trial.set_state(v1::Trial::DONE);
    trial.set_start_time_ms(1'700'000'000'000);
    trial.set_end_time_ms(1'700'000'100'000);
    v1::Series series;
    series.set_metric("loss/val");
    for (int step = 0; step <= 1000; ++step) {
      v1::Point* point = series.add_points();
      point->set_step(step);
      point->set_value(step == 500 ? std::numeric_limits<double>::quiet_NaN()
                                   : number + 1.0 / (1 + step));
    }
    const absl::Status status = cli::WriteTensorBoard(argv[1], trial, {series});
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
      return 1;
    }
  }
  return 0;
}
