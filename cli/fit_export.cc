#include "cli/fit_export.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/fit_report.h"
#include "cli/render/text.h"
#include "fit/status.h"
#include "nlohmann/json.hpp"

namespace loglog::cli {
namespace {

using nlohmann::json;

constexpr int kDigits = 4;

// What JSON has no number for is stored as text.
double NumberOf(const json& value) {
  if (value.is_number()) return value.get<double>();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  return NAN;
}

std::string FitName(const std::string& sweep, const FitRow& fit) {
  return absl::StrCat("sweeps/", sweep, "/fits/", fit.number);
}

// `make` of the parsed JSON; what is no fit is DATA_LOSS.
absl::StatusOr<std::string> Reading(const std::string& sweep,
                                    const std::function<std::string()>& make) try {
  return make();
} catch (const json::exception& error) {
  return absl::DataLossError(
      absl::StrCat("a stored fit of sweep ", sweep, " cannot be read: ", error.what()));
}

std::string Latex(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"\\", "\\textbackslash{}"},
                                    {"_", "\\_"},
                                    {"%", "\\%"},
                                    {"&", "\\&"},
                                    {"#", "\\#"},
                                    {"$", "\\$"},
                                    {"{", "\\{"},
                                    {"}", "\\}"},
                                    {"~", "\\textasciitilde{}"},
                                    {"^", "\\textasciicircum{}"}});
}

std::string LatexNumber(double value) {
  if (std::isnan(value)) return "--";
  if (std::isinf(value)) return value > 0 ? "\\infty" : "-\\infty";
  const std::string text = Significant(value, kDigits);
  const size_t e = text.find('e');
  if (e == std::string::npos) return text;
  return absl::StrCat(text.substr(0, e), "\\times 10^{", std::atoi(text.c_str() + e + 1), "}");
}

std::string VerdictText(const std::string& verdict) {
  if (verdict == "OK") return "ok";
  if (verdict == "IDENTIFIED") return "identified";
  return verdict == "NOT_IDENTIFIED" ? "not identified" : "refused";
}

// The stored name and what it means; the name alone where a later version has another.
std::string StatusText(const std::string& name) {
  for (const FitStatus status :
       {FitStatus::kConverged, FitStatus::kAtBound, FitStatus::kMultimodal,
        FitStatus::kTooFewPoints, FitStatus::kNotIdentified, FitStatus::kRefused}) {
    if (name == FitStatusName(status)) return absl::StrCat(name, ": ", FitStatusWords(status));
  }
  return name;
}

std::string Subject(const FitRow& fit) {
  return fit.arm_b.empty() ? fit.arm : absl::StrCat(fit.arm, " against ", fit.arm_b);
}

constexpr char kPython[] = R"py(
import csv
import json
import sys

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt

FITS = json.loads(@FITS@)
COLUMN = {"D": "tokens", "N": "params_non_embedding", "C": "flops"}
WORD = {"D": "tokens D", "N": "parameters N", "C": "FLOPs C"}


def loss(fit, x):
    p = fit["parameters"]
    term = p.get("A", p.get("B"))
    if fit["kind"] == "local_slope":
        return term * x ** p["slope"]
    exponent = p.get("alpha", p.get("beta"))
    return p.get("E", 0.0) + term * x ** -exponent


def main(trials, figure):
    with open(trials, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["state"] == "done"]
    axes = sorted({fit["axis"] for fit in FITS}) or ["D"]
    _, panels = plt.subplots(1, len(axes), squeeze=False, figsize=(5 * len(axes), 4))
    for axis, panel in zip(axes, panels[0]):
        arms = sorted({row["arm"] for row in rows})
        for i, arm in enumerate(arms):
            own = [row for row in rows if row["arm"] == arm]
            panel.scatter([float(row[COLUMN[axis]]) for row in own],
                          [float(row["final_loss"]) for row in own], s=12, color=f"C{i}", label=arm)
            for fit in FITS:
                if fit["arm"] != arm or fit["axis"] != axis:
                    continue
                low, high = fit["x_min"], fit["x_max"]
                x = [low * (high / low) ** (k / 60) for k in range(61)]
                panel.plot(x, [loss(fit, at) for at in x], color=f"C{i}",
                           linestyle="-" if fit["kind"] == "saturating" else "--",
                           label=fit["label"])
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlabel(WORD[axis])
        panel.set_ylabel("loss, nats per token")
        panel.legend(fontsize=7)
    plt.tight_layout()
    plt.savefig(figure)


main(*sys.argv[1:3])
)py";

}  // namespace

absl::StatusOr<std::string> FitsAsJson(const std::string& sweep, const std::vector<FitRow>& fits) {
  return Reading(sweep, [&] {
    json list = json::array();
    for (const FitRow& fit : fits) {
      json one = json::parse(fit.fit_json);
      one.update({{"name", FitName(sweep, fit)},
                  {"kind", fit.kind},
                  {"axis", fit.axis},
                  {"arm", fit.arm},
                  {"definition", fit.definition},
                  {"verdict", fit.verdict},
                  {"message", fit.message},
                  {"n_trials", fit.n_trials},
                  {"inputs_sha256", fit.inputs_sha256},
                  {"created", UtcTime(fit.create_ms)}});
      if (!fit.arm_b.empty()) {
        one["arm_b"] = fit.arm_b;
        if (!std::isnan(fit.p_value)) one["p_value"] = fit.p_value;
      }
      list.push_back(std::move(one));
    }
    return json({{"format", "loglog/fits/v1"}, {"sweep", sweep}, {"fits", std::move(list)}})
               .dump(2) +
           "\n";
  });
}

absl::StatusOr<std::string> FitsAsLatex(const std::string& sweep, const std::vector<FitRow>& fits) {
  return Reading(sweep, [&] {
    std::string out = absl::StrCat("% fits of sweep ", OneLine(sweep),
                                   "\n% arm & law & parameter & estimate & 95% interval & trials & "
                                   "range & verdict \\\\\n");
    for (const FitRow& fit : fits) {
      const json all = json::parse(fit.fit_json);
      for (const json& p : all.at("parameters")) {
        const double low = NumberOf(p.at("low")), high = NumberOf(p.at("high"));
        absl::StrAppend(
            &out, Latex(Subject(fit)), " & ", Latex(fit.kind), " in $", fit.axis, "$ & ",
            Latex(p.at("name").get<std::string>()), " & $", LatexNumber(NumberOf(p.at("estimate"))),
            "$ & ",
            std::isnan(low) ? "--"
                            : absl::StrCat("$[", LatexNumber(low), ", ", LatexNumber(high), "]$"),
            " & ", fit.n_trials, " & $", LatexNumber(NumberOf(all.at("x_min"))), "$ to $",
            LatexNumber(NumberOf(all.at("x_max"))), "$ & ", VerdictText(fit.verdict), " \\\\\n");
      }
    }
    return out;
  });
}

absl::StatusOr<std::string> FitsAsPython(const std::string& sweep,
                                         const std::vector<FitRow>& fits) {
  return Reading(sweep, [&] {
    json curves = json::array();
    int left_out = 0;
    for (const FitRow& fit : fits) {
      const json all = json::parse(fit.fit_json);
      const bool line =
          fit.kind == "local_slope" || fit.kind == "power" || fit.kind == "saturating";
      json parameters = json::object();
      for (const json& p : all.at("parameters")) {
        const double value = NumberOf(p.at("estimate"));
        if (std::isfinite(value)) parameters[p.at("name").get<std::string>()] = value;
      }
      if (!line || !(parameters.contains("A") || parameters.contains("B"))) {
        ++left_out;
        continue;
      }
      curves.push_back(
          {{"arm", fit.arm},
           {"axis", fit.axis},
           {"kind", fit.kind},
           {"label", absl::StrCat(fit.parameter, " ", Significant(fit.estimate, kDigits), " ",
                                  Interval(fit.low, fit.high, kDigits))},
           {"x_min", all.at("x_min")},
           {"x_max", all.at("x_max")},
           {"parameters", std::move(parameters)}});
    }
    // A JSON text that is a JSON string is a Python literal too, whatever names hold.
    return absl::StrCat("# Draws sweep ", OneLine(sweep), ": loglog export csv ", OneLine(sweep),
                        " --file trials.csv, then\n#   python3 THIS trials.csv figure.svg\n# ",
                        left_out, " of ", fits.size(), " fits have no curve along one axis.",
                        absl::StrReplaceAll(kPython, {{"@FITS@", json(curves.dump()).dump()}}));
  });
}

absl::StatusOr<std::string> DescribeFit(const std::string& sweep, const FitRow& fit, int columns) {
  return Reading(sweep, [&] {
    const json all = json::parse(fit.fit_json);
    const json& provenance = all.at("provenance");
    std::string out = absl::StrCat(OneLine(FitName(sweep, fit)), "\n");
    const auto line = [&](absl::string_view key, const std::string& value) {
      if (value.empty()) return;
      const std::vector<std::string> lines = Wrap(OneLine(value), std::max(40, columns - 18));
      for (size_t i = 0; i < lines.size(); ++i) {
        absl::StrAppend(&out, "  ", PadRight(i == 0 ? key : "", 15), " ", lines[i], "\n");
      }
    };
    const auto number = [&](const json& value, int digits = kDigits) {
      const double n = NumberOf(value);
      return std::isnan(n) ? std::string("-") : Significant(n, digits);
    };
    const auto percent = [&](double share) {
      return absl::StrCat(share > 0 ? "+" : "", Significant(100 * share, 3), "%");
    };
    line("law", absl::StrCat(fit.kind, " in ", fit.axis, " of ", Subject(fit)));
    line("definition", fit.definition);
    line("form", all.value("form", ""));
    line("verdict", absl::StrCat(VerdictText(fit.verdict), ": ", fit.message));
    line("status", StatusText(provenance.value("status", "")));
    line("cure", provenance.value("cure", ""));
    for (const json& p : all.at("parameters")) {
      const double low = NumberOf(p.at("low"));
      line(
          p.at("name").get<std::string>(),
          absl::StrCat(number(p.at("estimate"), 6), "  ",
                       std::isnan(low) ? "no interval" : Interval(low, NumberOf(p.at("high")), 6)));
    }
    if (!std::isnan(fit.p_value)) line("p, one-sided", PValue(fit.p_value, 3));
    if (const auto holm = provenance.find("holm"); holm != provenance.end()) {
      line("p, Holm", absl::StrCat(PValue(NumberOf(holm->at("p_adjusted")), 3), " as one of ",
                                   holm->at("m").dump(), " planned comparisons"));
    }
    line("n", absl::StrCat(Plural(fit.n_trials, "trial"), ", ",
                           Plural(all.value("n_configs", 0), "configuration"),
                           all.value("n_pairs", 0) > 0
                               ? absl::StrCat(", ", Plural(all.value("n_pairs", 0), "pair"))
                               : ""));
    line("range", absl::StrCat(fit.axis, " from ", number(all.at("x_min")), " to ",
                               number(all.at("x_max"))));
    const int unfinished = all.value("n_unfinished", 0), stopped = all.value("n_stopped", 0);
    const bool takes_censored = stopped > 0 && fit.kind != "comparison" && fit.kind != "isoflop";
    line("left out",
         absl::StrCat(all.value("n_diverged", 0), " diverged (no final loss), ", stopped,
                      " stopped early (their loss is not final",
                      takes_censored && !provenance.contains("censored")
                          ? "; `loglog fit --with-censored` takes it as an end"
                          : "",
                      "), ", unfinished - stopped, " unfinished or failed (no loss yet)"));
    line("censored", CensoredText(provenance));
    line("objective", provenance.value("objective", ""));
    for (const auto& [name, triple] : provenance.at("triples").items()) {
      line(
          absl::StrCat(name, " by"),
          absl::StrCat("least squares ", number(triple.at("least_squares"), 6), ", Huber(",
                       number(provenance.at("huber_delta"), 2), ") ", number(triple.at("huber"), 6),
                       ", least absolute deviations ", number(triple.at("lad"), 6)));
    }
    line("intervals", provenance.value("interval_method", ""));
    if (provenance.value("starts_polished", 0) > 0) {
      line("optimizer",
           absl::StrCat(provenance.value("optimizer_status", ""), ": ",
                        provenance.value("starts_agreed", 0), " of ",
                        provenance.value("starts_polished", 0), " polished starts agree, of ",
                        provenance.value("starts_grid", 0), " ranked"));
    }
    line("at a bound", absl::StrJoin(provenance.at("active_bounds"), "; ",
                                     [](std::string* to, const json& bound) {
                                       absl::StrAppend(to, bound.get<std::string>());
                                     }));
    const double in_sample = NumberOf(provenance.value("in_sample_error", json("nan")));
    if (!std::isnan(in_sample)) {
      line("in sample", absl::StrCat(Significant(100 * in_sample, 3),
                                     "% root mean square (no guide beyond the data)"));
    }
    const double left_out = NumberOf(all.at("leave_largest_out_error"));
    if (!std::isnan(left_out)) {
      line("largest out", absl::StrCat(percent(left_out), " when predicted from the rest"));
    }
    if (const auto folds = provenance.find("folds"); folds != provenance.end()) {
      for (const json& fold : *folds) {
        const int covered = fold.at("covered").get<int>();
        line("rolling origin",
             absl::StrCat("the cheapest ", fold.at("n_fitted").dump(), " predict ", fit.axis, " = ",
                          number(fold.at("x")), ": ", percent(NumberOf(fold.at("error"))),
                          covered < 0    ? ""
                          : covered == 1 ? ", inside its interval"
                                         : ", outside its interval"));
      }
    }
    for (const json& note : provenance.at("notes")) line("note", note.get<std::string>());
    line("code", provenance.value("version", ""));
    line("made", UtcTime(fit.create_ms));
    line("inputs", absl::StrCat("sha256 ", fit.inputs_sha256, " over ",
                                Plural(static_cast<int64_t>(all.at("trials").size()), "trial"),
                                " by their own hashes; `loglog fit verify` makes it again"));
    return out;
  });
}

}  // namespace loglog::cli
