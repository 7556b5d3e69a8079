#ifndef LOGLOG_COORDINATOR_ID_MAP_H_
#define LOGLOG_COORDINATOR_ID_MAP_H_

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/check.h"

namespace loglog {

// A map by positive ids that come in runs, as those of a sweep's trials and tasks do: blocks of
// ids next to each other, in which a value takes its own size and a few bytes. (Of a million
// values, a hash table has room for two, and a B-tree's nodes are a third empty.) What is left
// of a run holds the blocks that it lies in.
// Pointers and references hold until their id is erased. Confined to one thread.
template <typename Value>
class IdMap {
 public:
  size_t size() const { return size_; }
  bool contains(int64_t id) const { return find(id) != nullptr; }
  // nullptr: not there.
  const Value* find(int64_t id) const {
    const auto it = blocks_.find(id / kBlockIds);
    if (it == blocks_.end()) return nullptr;
    const Block& block = *it->second;
    return block.used.test(id % kBlockIds) ? &block.values[id % kBlockIds] : nullptr;
  }
  Value* find(int64_t id) { return const_cast<Value*>(std::as_const(*this).find(id)); }
  // Is there.
  const Value& at(int64_t id) const {
    const Value* const value = find(id);
    LOGLOG_CHECK(value != nullptr);
    return *value;
  }
  Value& at(int64_t id) { return const_cast<Value&>(std::as_const(*this).at(id)); }
  // Made when it is not there.
  Value& operator[](int64_t id) {
    std::unique_ptr<Block>& block = blocks_[id / kBlockIds];
    if (block == nullptr) block = std::make_unique<Block>();
    if (!block->used.test(id % kBlockIds)) {
      block->used.set(id % kBlockIds);
      ++size_;
    }
    return block->values[id % kBlockIds];
  }
  // Whether it was there.
  bool erase(int64_t id) {
    const auto it = blocks_.find(id / kBlockIds);
    if (it == blocks_.end() || !it->second->used.test(id % kBlockIds)) return false;
    Block& block = *it->second;
    block.values[id % kBlockIds] = Value();
    block.used.reset(id % kBlockIds);
    --size_;
    if (block.used.none()) blocks_.erase(it);
    return true;
  }

 private:
  static constexpr int64_t kBlockIds = 16;
  struct Block {
    std::bitset<kBlockIds> used;
    std::array<Value, kBlockIds> values;
  };

  absl::flat_hash_map<int64_t, std::unique_ptr<Block>> blocks_;  // by id / kBlockIds; none empty
  size_t size_ = 0;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_ID_MAP_H_
