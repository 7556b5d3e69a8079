#include "trainer/domains.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <numeric>
#include <sstream>

#include "shards/random.h"
#include "shards/window_order.h"
#include "trainer/config.h"

namespace loglog {
namespace {

constexpr uint64_t kBlockKey = 0x646f6d61696e7301ULL;

bool IsName(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_'; });
}

Domain ParseDomain(const std::string& part, const std::string& field) {
  std::istringstream words(part);
  Domain domain;
  std::string weight, rest;
  words >> domain.name >> weight >> domain.glob;
  size_t used = 0;
  try {
    domain.weight = std::stod(weight, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const bool sound = used > 0 && used == weight.size() && std::isfinite(domain.weight) &&
                     domain.weight > 0 && !domain.glob.empty() && !(words >> rest) &&
                     IsName(domain.name);
  if (!sound) {
    throw ConfigError(
        field + " has the part \"" + part +
        "\"; each is a name of letters, digits, - and _, a weight above 0 and a glob, "
        "such as \"web 0.7 web/train-*.bin; code 0.3 code/train-*.bin\"");
  }
  return domain;
}

}  // namespace

std::vector<Domain> ParseDomains(const std::string& text, const std::string& field) {
  std::vector<Domain> domains;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ';');) {
    domains.push_back(ParseDomain(part, field));
    const auto last = domains.end() - 1;
    if (std::any_of(domains.begin(), last,
                    [&](const Domain& other) { return other.name == last->name; })) {
      throw ConfigError(field + " has two domains called " + last->name + "; name them apart");
    }
  }
  if (domains.empty()) throw ConfigError(field + " names no domain");
  return domains;
}

DomainMix::DomainMix(const std::vector<Domain>& domains, const std::string& field) {
  double total = 0, before = 0;
  for (const Domain& domain : domains) total += domain.weight;
  first_.push_back(0);
  for (const Domain& domain : domains) {
    before += domain.weight;
    first_.push_back(std::llround(before / total * static_cast<double>(kBlock)));
    if (first_.back() > first_[first_.size() - 2]) continue;
    throw ConfigError(field + " gives " + domain.name + " a share of " +
                      std::to_string(domain.weight / total) + ", under one sequence in " +
                      std::to_string(kBlock) + "; raise its weight or leave it out");
  }
}

DomainMix::Place DomainMix::At(uint64_t seed, int64_t position) const {
  const int64_t block = position / kBlock;
  const Permutation order(kBlock, DeriveKey({kBlockKey, seed, static_cast<uint64_t>(block)}));
  const auto slot = static_cast<int64_t>(order(static_cast<uint64_t>(position % kBlock)));
  const auto after = std::upper_bound(first_.begin(), first_.end(), slot);
  const size_t domain = static_cast<size_t>(after - first_.begin()) - 1;
  const int64_t each = first_[domain + 1] - first_[domain];
  return {.domain = domain, .position = block * each + slot - first_[domain]};
}

std::vector<int64_t> DomainMix::Split(int64_t sequences, const std::vector<int64_t>& most) const {
  while (true) {
    std::vector<int64_t> counts;
    int64_t fewer = sequences;
    for (size_t i = 0; i + 1 < first_.size(); ++i) {
      const int64_t before = first_[i] * sequences / kBlock;
      counts.push_back(std::max<int64_t>(1, first_[i + 1] * sequences / kBlock - before));
      if (counts[i] <= most[i]) continue;
      fewer = std::min({fewer, sequences - 1, sequences * most[i] / counts[i]});
    }
    if (fewer == sequences) return counts;
    sequences = fewer;
  }
}

}  // namespace loglog
