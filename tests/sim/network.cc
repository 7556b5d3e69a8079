#include "tests/sim/network.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace loglog::sim {

void Network::Cut(int worker, bool up, bool down, int64_t ms) {
  Link& link = links_[worker];
  if (up) link.up_cut_until_ms = std::max(link.up_cut_until_ms, world_->now_ms() + ms);
  if (down) link.down_cut_until_ms = std::max(link.down_cut_until_ms, world_->now_ms() + ms);
}

void Network::HealAll() {
  links_.clear();
  chances_ = Chances();
}

int64_t Network::Delay() { return 1 + world_->About(chances_.delay_ms); }

bool Network::UpCut(int worker) const {
  const auto link = links_.find(worker);
  return link != links_.end() && world_->now_ms() < link->second.up_cut_until_ms;
}

bool Network::DownCut(int worker) const {
  const auto link = links_.find(worker);
  return link != links_.end() && world_->now_ms() < link->second.down_cut_until_ms;
}

bool Network::Lost(bool cut) {
  const bool lost = cut || world_->Chance(chances_.lost);
  if (lost) ++lost_;
  return lost;
}

// ---- single calls

template <typename Request, typename Response>
void Network::Call(int worker, const Request& request, int64_t timeout_ms,
                   Server::Reply<Response> reply,
                   std::function<void(const Request&, Server::Reply<Response>)> serve) {
  // The first of answer and timeout ends the call.
  const auto end = [reply, ended = std::make_shared<bool>(false)](absl::StatusOr<Response> answer) {
    if (std::exchange(*ended, true)) return;
    reply(std::move(answer));
  };
  world_->After(timeout_ms, [end] { end(absl::DeadlineExceededError("no answer in time")); });
  const auto arrive = [this, worker, request, end, serve] {
    if (server_->down()) {
      if (Lost(DownCut(worker))) return;
      world_->After(Delay(), [end] { end(absl::UnavailableError("nobody listens")); });
      return;
    }
    serve(request, [this, worker, end](absl::StatusOr<Response> answer) {
      if (Lost(DownCut(worker))) return;
      world_->After(Delay(), [end, answer = std::move(answer)] { end(answer); });
    });
  };
  if (!Lost(UpCut(worker))) world_->After(Delay(), arrive);
  if (world_->Chance(chances_.doubled)) {
    ++doubled_;
    world_->After(Delay() * 20, arrive);
  }
}

void Network::Register(int worker, const v1::RegisterWorkerRequest& request, int64_t timeout_ms,
                       Server::Reply<v1::RegisterWorkerResponse> reply) {
  Call<v1::RegisterWorkerRequest, v1::RegisterWorkerResponse>(
      worker, request, timeout_ms, std::move(reply),
      [this](const auto& message, auto answer) { server_->Register(message, answer); });
}

void Network::Sync(int worker, const v1::SyncWorkerRequest& request, int64_t timeout_ms,
                   Server::Reply<v1::SyncWorkerResponse> reply) {
  Call<v1::SyncWorkerRequest, v1::SyncWorkerResponse>(
      worker, request, timeout_ms, std::move(reply),
      [this](const auto& message, auto answer) { server_->Sync(message, answer); });
}

// ---- streams

int64_t Network::OpenStream(int worker, StreamEvents events) {
  streams_[++last_stream_] = {
      .worker = worker, .life = server_->life(), .events = std::move(events)};
  return last_stream_;
}

void Network::Send(int64_t id, const v1::MetricBatch& batch) {
  Stream& stream = streams_.at(id);
  // A cut connection takes what is written; nothing comes of it.
  if (!stream.arrives || Lost(UpCut(stream.worker))) {
    stream.arrives = false;
    return;
  }
  stream.up_free_ms = std::max(stream.up_free_ms, world_->now_ms() + Delay());
  if (world_->Chance(chances_.broken)) {
    // What is on its way then may come when the worker has long begun anew.
    stream.up_free_ms += world_->About(500);
    BreakStreams(stream.worker);
  }
  world_->After(stream.up_free_ms - world_->now_ms(), [this, id, batch] {
    if (server_->down() || server_->life() != streams_.at(id).life) {
      return End(id, absl::UnavailableError("nobody listens"));
    }
    server_->Store(batch, [this, id](const absl::StatusOr<v1::MetricAck>& ack) {
      Stream& stream = streams_.at(id);
      if (!ack.ok()) return End(id, ack.status());
      if (!stream.open || DownCut(stream.worker)) return;
      stream.down_free_ms = std::max(stream.down_free_ms, world_->now_ms() + Delay());
      world_->After(stream.down_free_ms - world_->now_ms(), [this, id, ack = *ack] {
        const Stream& open = streams_.at(id);
        if (open.open) open.events.on_ack(id, ack);
      });
    });
  });
}

void Network::CloseStream(int64_t id) { streams_.at(id).open = false; }

void Network::End(int64_t id, const absl::Status& status) {
  Stream& stream = streams_.at(id);
  stream.arrives = false;
  if (std::exchange(stream.ended, true) || !stream.open || DownCut(stream.worker)) return;
  world_->After(Delay(), [this, id, status] {
    Stream& ending = streams_.at(id);
    if (std::exchange(ending.open, false)) ending.events.on_end(id, status);
  });
}

void Network::ServerDied() {
  for (const auto& [id, stream] : streams_) {
    if (stream.open) End(id, absl::UnavailableError("the other side has gone"));
  }
}

void Network::BreakStreams(int worker) {
  for (auto& [id, stream] : streams_) {
    if (stream.worker != worker || !stream.open) continue;
    ++lost_;
    End(id, absl::UnavailableError("the connection broke"));
  }
}

}  // namespace loglog::sim
