#ifndef LOGLOG_PLAN_CELL_CONFIG_H_
#define LOGLOG_PLAN_CELL_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "plan/fields.h"
#include "plan/value.h"

namespace loglog {

// What decides the size and the cost of a model.
struct ModelShape {
  int64_t layers = 0;
  int64_t d_model = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t d_ff = 0;
  int64_t vocab = 0;
  int64_t seq_len = 0;
  bool tied_head = false;
  int64_t head_dim_given = 0;  // 0: d_model / heads
  std::string norm = "rms";
  std::string mlp = "swiglu";
  bool post_norm = false;
  bool learned_positions = false;
  bool embed_norm = false;
  bool sandwich_norm = false;
  bool qk_norm = false;
  bool gated_attention = false;
  bool biases = false;
  bool head_bias = false;

  int64_t head_dim() const { return head_dim_given > 0 ? head_dim_given : d_model / heads; }
  int64_t q_dim() const { return heads * head_dim(); }
  int64_t kv_dim() const { return kv_heads * head_dim(); }
};

// The fields that make up a cell's configuration, by index of CellFields().
// Value semantics; a fresh one holds nothing but nulls.
class CellConfig {
 public:
  CellConfig();

  // Paths that are no field of a cell are a programming error (checked).
  const SpecValue& Get(absl::string_view path) const;
  void Set(absl::string_view path, SpecValue value);

  const SpecValue& at(int index) const { return values_[index]; }
  SpecValue& at(int index) { return values_[index]; }

  // Shorthands; the field must hold a value of that kind (a whole number reads as a
  // double too).
  int64_t Int(absl::string_view path) const;
  double Number(absl::string_view path) const;
  std::string Text(absl::string_view path) const;
  bool IsNull(absl::string_view path) const;

  ModelShape model() const;
  int64_t tokens() const { return Int("train.tokens"); }
  int64_t batch_tokens() const { return Int("train.batch_tokens"); }
  int64_t steps() const { return tokens() / batch_tokens(); }
  // Whether weights are read from a file, so that no other field of `init` says anything.
  bool reads_weights() const { return !IsNull("init.weights.path"); }

  // The canonical JSON that the trainer reads and whose SHA-256 is the cell's identity.
  std::string CanonicalJson() const;

 private:
  std::vector<SpecValue> values_;
};

// data.synthetic.branching, ..., train.weight_decay: sorted by path, as in canonical JSON.
const std::vector<const SpecField*>& CellFields();
// A field that says how weights are drawn.
bool IsOfDrawing(absl::string_view path);
// Index into CellFields, or -1.
int CellFieldIndex(absl::string_view path);

// Reads back what CanonicalJson wrote. INVALID_ARGUMENT names the field.
absl::StatusOr<CellConfig> ParseCellConfig(absl::string_view config_json);

}  // namespace loglog

#endif  // LOGLOG_PLAN_CELL_CONFIG_H_
