// Training text from several domains in given shares.
#ifndef LOGLOG_TRAINER_DOMAINS_H_
#define LOGLOG_TRAINER_DOMAINS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace loglog {

struct Domain {
  std::string name;
  double weight = 0;
  std::string glob;
};

// Of "<name> <weight> <glob>; ..." such as "web 0.7 web/train-*.bin; code 0.3 code/train-*.bin".
// Weights are positive and in any unit; names differ and are letters, digits, - and _. Throws
// ConfigError that begins with `field`.
std::vector<Domain> ParseDomains(const std::string& text, const std::string& field);

// Which domain gives which sequence: a pure function of the seed and the position. Every block of
// kBlock sequences has the same number of each domain, its weight's share rounded to whole
// sequences, in an order of its own. Immutable; thread-safe.
class DomainMix {
 public:
  static constexpr int64_t kBlock = 4096;
  struct Place {
    size_t domain = 0;
    int64_t position = 0;  // in the stream of that domain
  };

  // Throws ConfigError, which begins with `field`, for a weight so small that a block has no
  // sequence of it.
  DomainMix(const std::vector<Domain>& domains, const std::string& field);

  Place At(uint64_t seed, int64_t position) const;
  // How many of `sequences` are of each domain, at least one. Where a domain has no more than
  // `most` (at least one), there are fewer in all, in the same shares.
  std::vector<int64_t> Split(int64_t sequences, const std::vector<int64_t>& most) const;

 private:
  std::vector<int64_t> first_;  // of each domain in a block before it is shuffled, and kBlock
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_DOMAINS_H_
