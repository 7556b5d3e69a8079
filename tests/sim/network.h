#ifndef LOGLOG_TESTS_SIM_NETWORK_H_
#define LOGLOG_TESTS_SIM_NETWORK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "loglog/v1/worker_service.pb.h"
#include "tests/sim/world.h"

namespace loglog::sim {

// The answering side of the workers' calls, once a message has arrived.
class Server {
 public:
  template <typename T>
  using Reply = std::function<void(absl::StatusOr<T>)>;

  virtual ~Server() = default;
  virtual void Register(const v1::RegisterWorkerRequest& request,
                        Reply<v1::RegisterWorkerResponse> reply) = 0;
  virtual void Sync(const v1::SyncWorkerRequest& request, Reply<v1::SyncWorkerResponse> reply) = 0;
  virtual void Store(const v1::MetricBatch& batch, Reply<v1::MetricAck> reply) = 0;
  // Nobody listens there: calls fail at once.
  virtual bool down() const = 0;
  // Another one for each life of its process: connections do not outlive it.
  virtual int64_t life() const = 0;
};

// What lies between workers and coordinator. Single calls are lost, late, doubled, out of
// order, and time out; a stream keeps its order until it breaks, and what was on its way
// then may still arrive. A direction of a worker's can be cut.
class Network {
 public:
  struct Chances {
    double lost = 0;     // of a call's message, each way
    double doubled = 0;  // of a request
    double broken = 0;   // of a stream, with each message
    int64_t delay_ms = 2;
  };

  Network(World* world, Server* server) : world_(world), server_(server) {}

  void SetChances(const Chances& chances) { chances_ = chances; }
  void Cut(int worker, bool up, bool down, int64_t ms);
  void HealAll();

  void Register(int worker, const v1::RegisterWorkerRequest& request, int64_t timeout_ms,
                Server::Reply<v1::RegisterWorkerResponse> reply);
  void Sync(int worker, const v1::SyncWorkerRequest& request, int64_t timeout_ms,
            Server::Reply<v1::SyncWorkerResponse> reply);

  // ---- streams
  struct StreamEvents {
    std::function<void(int64_t stream, const v1::MetricAck&)> on_ack;
    std::function<void(int64_t stream, const absl::Status&)> on_end;
  };
  int64_t OpenStream(int worker, StreamEvents events);
  void Send(int64_t stream, const v1::MetricBatch& batch);
  // The worker gives it up; it hears nothing of it any more.
  void CloseStream(int64_t stream);
  void BreakStreams(int worker);
  // The server's process has died: its connections break.
  void ServerDied();

  int64_t lost() const { return lost_; }
  int64_t doubled() const { return doubled_; }

 private:
  struct Link {
    int64_t up_cut_until_ms = 0;
    int64_t down_cut_until_ms = 0;
  };
  struct Stream {
    int worker = 0;
    int64_t life = 0;  // of the server that it leads to
    StreamEvents events;
    bool open = true;          // to the worker
    bool ended = false;        // by the server; its first status is the one that counts
    bool arrives = true;       // what is sent or on its way still reaches the server
    int64_t up_free_ms = 0;    // the last message up arrives then
    int64_t down_free_ms = 0;  // and down
  };

  template <typename Request, typename Response>
  void Call(int worker, const Request& request, int64_t timeout_ms, Server::Reply<Response> reply,
            std::function<void(const Request&, Server::Reply<Response>)> serve);
  int64_t Delay();
  bool UpCut(int worker) const;
  bool DownCut(int worker) const;
  bool Lost(bool cut);
  void End(int64_t stream, const absl::Status& status);

  World* const world_;
  Server* const server_;
  Chances chances_;
  std::map<int, Link> links_;
  std::map<int64_t, Stream> streams_;
  int64_t last_stream_ = 0;
  int64_t lost_ = 0;
  int64_t doubled_ = 0;
};

}  // namespace loglog::sim

#endif  // LOGLOG_TESTS_SIM_NETWORK_H_
