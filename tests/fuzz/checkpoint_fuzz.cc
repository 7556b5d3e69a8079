// A checkpoint whose manifest (or, after a first byte "L", whose loop.json) is the input: it
// is refused by one of three errors, or it is the one that was written.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "shards/sha256.h"
#include "shards/token_shard.h"
#include "trainer/checkpoint.h"
#include "trainer/config.h"

namespace loglog {
namespace {

const CheckpointIdentity kIdentity = {"config", "data", "0.1.0"};

std::vector<StateBuffer> Buffers() {
  return {{.name = "0/weights/w", .dtype = "F32", .shape = {2, 3}, .bytes = 24}};
}

// A sound checkpoint of step 5 in a folder that goes away with the process.
class Folder {
 public:
  Folder() {
    std::string name = "/dev/shm/loglog-fuzz-XXXXXX";
    LOGLOG_CHECK(mkdtemp(name.data()) != nullptr);
    dir_ = name;
    Snapshot snapshot{.step = 5, .identity = kIdentity, .buffers = Buffers()};
    snapshot.bytes.resize(24, 'w');
    snapshot.loop = {{"step", 5}};
    path_ = CommitCheckpoint(snapshot, {.dir = dir_}).path;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }
  const std::string& path() const { return path_; }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ + "/" + name, std::ios::binary | std::ios::trunc) << text;
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(path_ + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  std::string dir_;
  std::string path_;
};

}  // namespace
}  // namespace loglog

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loglog;
  static const Folder folder;
  static const std::string manifest = folder.Read("manifest.json");
  static const std::string loop = folder.Read("loop.json");
  std::string text(reinterpret_cast<const char*>(data), size);
  if (size > 0 && data[0] == 'L') {
    text.erase(0, 1);
    folder.Write("loop.json", text);
    // A manifest that vouches for it, so that it is looked at.
    std::string vouching = manifest;
    const std::string old_sha256 = Sha256Hex(loop);
    vouching.replace(vouching.find(old_sha256), old_sha256.size(), Sha256Hex(text));
    auto json = nlohmann::ordered_json::parse(vouching);
    for (auto& file : json["files"]) {
      if (file["name"] == "loop.json") file["bytes"] = text.size();
    }
    folder.Write("manifest.json", json.dump());
  } else {
    folder.Write("loop.json", loop);
    folder.Write("manifest.json", text);
  }
  try {
    const LoadedCheckpoint loaded = LoadCheckpoint(folder.path(), "", kIdentity, Buffers());
    LOGLOG_CHECK(loaded.state.size() == loaded.state_begin + 24);
    LOGLOG_CHECK(loaded.state.compare(loaded.state_begin, 24, std::string(24, 'w')) == 0);
    LOGLOG_CHECK(loaded.loop.is_object());
  } catch (const DamagedCheckpoint&) {
  } catch (const ConfigError&) {
  } catch (const DataUnavailable&) {
  }
  return 0;
}
