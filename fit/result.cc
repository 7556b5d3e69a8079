#include "fit/result.h"

#include <cmath>

#include "fit/status.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

nlohmann::json Number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

}  // namespace

const FitParameter* FitResult::Find(absl::string_view name) const {
  for (const FitParameter& parameter : parameters) {
    if (parameter.name == name) return &parameter;
  }
  return nullptr;
}

const char* VerdictWord(FitVerdict verdict) {
  switch (verdict) {
    case FitVerdict::kOk:
      return "ok";
    case FitVerdict::kIdentified:
      return "identified";
    case FitVerdict::kNotIdentified:
      return "not identified";
    case FitVerdict::kRefused:
      return "refused";
  }
  return "?";
}

nlohmann::json ProvenanceJson(const FitResult& result) {
  const FitProvenance& p = result.provenance;
  nlohmann::json triples = nlohmann::json::object();
  for (const FitTriple& triple : result.triples) {
    triples[triple.name] = {{"least_squares", Number(triple.least_squares)},
                            {"huber", Number(triple.huber)},
                            {"lad", Number(triple.lad)}};
  }
  nlohmann::json folds = nlohmann::json::array();
  for (const FitFold& fold : result.folds) {
    folds.push_back({{"n_fitted", fold.n_fitted},
                     {"x", Number(fold.x)},
                     {"error", Number(fold.error)},
                     {"covered", fold.covered}});
  }
  return {{"version", p.version},
          {"objective", p.objective},
          {"interval_method", p.interval_method},
          {"interval_basis", p.interval_basis},
          {"confidence", Number(p.confidence)},
          {"huber_delta", Number(p.huber_delta)},
          {"starts_grid", p.starts_grid},
          {"starts_polished", p.starts_polished},
          {"starts_agreed", p.starts_agreed},
          {"objective_value", Number(p.objective_value)},
          {"projected_gradient", Number(p.projected_gradient)},
          {"optimizer_status", p.optimizer_status},
          {"active_bounds", p.active_bounds},
          {"correlation_e_exponent", Number(p.correlation_e_exponent)},
          {"lack_of_fit_p", Number(p.lack_of_fit_p)},
          {"aicc", Number(p.aicc)},
          {"in_sample_error", Number(p.in_sample_error)},
          {"status", FitStatusName(result.status)},
          {"cure", result.cure},
          {"folds", folds},
          {"triples", triples},
          {"n_distinct_x", result.n_distinct_x},
          {"notes", result.notes}};
}

}  // namespace loglog
