#include "cli/fixtures_testing.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace loglog::cli {

v1::Trial MakeTrial(int number, const std::string& arm,
                    const std::map<std::string, std::string>& axes, int64_t tokens, int64_t seed,
                    v1::Trial::State state, double loss) {
  v1::Trial trial;
  trial.set_name(absl::StrCat("sweeps/demo/trials/", number));
  trial.set_trial_sha256(absl::StrCat("trial", number));
  trial.set_cell_sha256(absl::StrCat("cell", number));
  trial.set_seed(seed);
  trial.set_state(state);
  trial.set_arm(arm);
  trial.mutable_axes()->insert(axes.begin(), axes.end());
  (*trial.mutable_axes())["D"] = absl::StrCat(tokens);
  trial.set_tokens_planned(tokens);
  trial.set_steps(tokens / 2000);
  trial.set_params_total(100000);
  trial.set_params_non_embedding(80000);
  trial.set_flops(6e5 * static_cast<double>(tokens));
  const bool ended = state == v1::Trial::DONE;
  trial.set_final_loss(ended ? loss : NAN);
  trial.set_last_loss(NAN);
  if (ended) {
    trial.set_step(trial.steps());
    trial.set_tokens(tokens);
    trial.set_worker("workers/w1");
    trial.set_trainer_version("0.1.0");
    trial.set_data_sha256("data");
    trial.set_attempts(1);
    trial.set_attempt_id(number);
  }
  if (state == v1::Trial::PENDING) trial.set_pending_reason("waits for a free slot");
  return trial;
}

void Recount(CheckInput* input) {
  v1::TrialCounts n;
  for (const v1::Trial& trial : input->trials) {
    n.set_total(n.total() + 1);
    switch (trial.state()) {
      case v1::Trial::PENDING:
        n.set_pending(n.pending() + 1);
        break;
      case v1::Trial::RUNNING:
        n.set_running(n.running() + 1);
        break;
      case v1::Trial::DONE:
        n.set_done(n.done() + 1);
        break;
      case v1::Trial::DIVERGED:
        n.set_diverged(n.diverged() + 1);
        break;
      case v1::Trial::FAILED:
        n.set_failed(n.failed() + 1);
        break;
      case v1::Trial::CANCELLED:
        n.set_cancelled(n.cancelled() + 1);
        break;
      case v1::Trial::STOPPED:
        n.set_stopped(n.stopped() + 1);
        break;
      default:
        break;
    }
  }
  *input->sweep.mutable_counts() = n;
}

CheckInput DoneSweep() {
  CheckInput input;
  input.sweep.set_name("sweeps/demo");
  input.sweep.set_state(v1::Sweep::DONE);
  input.sweep.set_spec_sha256("5bec");
  input.sweep.set_create_time_ms(1700000000000);
  input.sweep.set_end_time_ms(1700000600000);
  input.sweep.set_slot_seconds_used(1200);
  input.sweep.set_slots_total(2);
  int number = 0;
  for (const int64_t seed : {0, 1}) {
    for (const int64_t tokens : {16'000'000, 4'000'000, 2'000'000, 1'000'000}) {
      for (const char* arm : {"small", "large"}) {
        const double b = std::string(arm) == "small" ? 60 : 90;
        const double loss = (2 + b * std::pow(static_cast<double>(tokens), -0.3)) *
                            (1 + 0.001 * (seed == 0 ? -1 : 1));
        input.trials.push_back(MakeTrial(++number, arm, {}, tokens, seed, v1::Trial::DONE, loss));
      }
    }
  }
  v1::Worker worker;
  worker.set_name("workers/w1");
  worker.set_state(v1::Worker::LIVE);
  worker.set_slots(2);
  worker.set_device("cpu");
  input.workers = {worker};
  Recount(&input);
  return input;
}

namespace {

void AddParameter(v1::Fit* fit, const std::string& name, double estimate, double low, double high) {
  v1::Parameter* p = fit->add_parameters();
  p->set_name(name);
  p->set_estimate(estimate);
  p->set_low(low);
  p->set_high(high);
}

v1::Fit Base(const std::string& kind, const std::string& arm) {
  v1::Fit fit;
  fit.set_name("sweeps/demo/fits/1");
  fit.set_sweep("sweeps/demo");
  fit.set_kind(kind);
  fit.set_axis("D");
  fit.set_arm(arm);
  fit.set_n_trials(8);
  fit.set_n_configs(4);
  fit.set_x_min(1e6);
  fit.set_x_max(1.6e7);
  fit.set_leave_largest_out_error(NAN);
  fit.set_inputs_sha256("0123456789abcdef0123");
  return fit;
}

}  // namespace

void AddPrediction(v1::Fit* fit, double x, double loss) {
  v1::PredictedLoss* one = fit->add_predictions();
  one->set_x(x);
  one->set_loss(loss);
  one->set_law_low(0.99 * loss);
  one->set_law_high(1.01 * loss);
  one->set_trial_low(0.97 * loss);
  one->set_trial_high(1.03 * loss);
  one->set_band_low(0.98 * loss);
  one->set_band_high(1.02 * loss);
  one->set_extrapolated(x > fit->x_max());
}

v1::Fit SlopeFit(const std::string& arm, double slope, double low, double high) {
  v1::Fit fit = Base("local_slope", arm);
  fit.set_definition("local slope d ln L / d ln D over the range fitted");
  fit.set_form("L = B*D^slope");
  fit.set_verdict(v1::Fit::OK);
  fit.set_leave_largest_out_error(0.0042);
  AddParameter(&fit, "slope", slope, low, high);
  AddParameter(&fit, "B", 8.5, 8.1, 8.9);
  fit.set_provenance_json(
      R"({"version":"fit-1","notes":["a note"],"triples":{"slope":{"least_squares":-0.07,"huber":-0.071,"lad":"nan"}}})");
  return fit;
}

v1::Fit SaturatingFit(const std::string& arm, v1::Fit::Verdict verdict) {
  v1::Fit fit = Base("saturating", arm);
  fit.set_definition("exponent beta of D with a free floor E");
  fit.set_form("L = E + B*D^-beta");
  fit.set_verdict(verdict);
  if (verdict == v1::Fit::REFUSED) {
    fit.set_message("3 values of D; at least 4 are needed");
    return fit;
  }
  if (verdict == v1::Fit::NOT_IDENTIFIED)
    fit.set_message("the interval of beta is wider than 0.15");
  AddParameter(&fit, "beta", 0.31, 0.25, 0.37);
  AddParameter(&fit, "E", 2.02, 1.9, 2.1);
  AddParameter(&fit, "B", 60, 40, INFINITY);
  return fit;
}

v1::Fit ComparisonFit(double difference, double low, double high) {
  v1::Fit fit = Base("comparison", "small");
  fit.set_arm_b("large");
  fit.set_definition("difference of the local slopes of small and large");
  fit.set_verdict(v1::Fit::OK);
  fit.set_n_pairs(8);
  fit.set_n_trials(16);
  fit.set_p_value(0.0004);
  AddParameter(&fit, "slope_difference", difference, low, high);
  AddParameter(&fit, "efficiency_ratio", 1.4, 1.2, 1.6);
  return fit;
}

}  // namespace loglog::cli
