// Who may call what: every RPC of every service, by every kind of caller, for what is there
// and for what is not or is another's.
#include <gmock/gmock.h>
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/generic/generic_stub.h>

#include <map>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "coordinator/service_testing.h"
#include "loglog/v1/admin_service.grpc.pb.h"
#include "store/token.h"

namespace loglog {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::StartsWith;
namespace pb = google::protobuf;

// What a call of any method came to: one message there, and the first one back.
struct Outcome {
  grpc::StatusCode code = grpc::UNKNOWN;
  std::string message;
  std::string response;  // bytes of the first message
};

std::string Bytes(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  buffer.Dump(&slices).ok();
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

Outcome CallRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
                const std::string& request, const std::vector<std::string>& authorization) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
  for (const std::string& value : authorization) context.AddMetadata("authorization", value);
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  const auto call = stub.PrepareCall(&context, path, &queue);
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  const grpc::Slice slice(request);
  const grpc::ByteBuffer sent(&slice, 1);
  call->WriteLast(sent, grpc::WriteOptions(), nullptr);
  queue.Next(&tag, &ok);
  grpc::ByteBuffer received;
  call->Read(&received, nullptr);
  queue.Next(&tag, &ok);
  const bool answered = ok;
  Outcome outcome;
  if (answered) {
    outcome.response = Bytes(received);
    context.TryCancel();  // a stream that would go on
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  outcome.code = answered ? grpc::OK : status.error_code();
  outcome.message = status.error_message();
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return outcome;
}

// Field 1, 2, ... of a message as length-delimited values.
std::vector<std::string> Fields(const std::string& bytes, int number) {
  pb::Empty message;
  EXPECT_TRUE(message.ParseFromString(bytes));
  const pb::UnknownFieldSet& fields = message.GetReflection()->GetUnknownFields(message);
  std::vector<std::string> values;
  for (int i = 0; i < fields.field_count(); ++i) {
    if (fields.field(i).number() == number &&
        fields.field(i).type() == pb::UnknownField::TYPE_LENGTH_DELIMITED) {
      values.push_back(fields.field(i).length_delimited());
    }
  }
  return values;
}

constexpr char kReflection[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
const std::string kListServices = "\x3a\x01*";  // list_services = 7: "*"

class AccessTest : public ::testing::Test {
 protected:
  AccessTest() {
    spdlog::set_level(spdlog::level::off);
    EngineOptions options;
    options.refit = false;  // numbers of fits are those that the test makes
    engine_ = Engine::Open(folder_ / "store.db", options).value();
    host_ = Serve(ServiceOptions::Auth::kRequired, "socket");
    channel_ = host_->InProcessChannel();
  }
  ~AccessTest() override {
    host_->Shutdown(/*grace_ms=*/0);
    engine_->Stop();
  }

  std::unique_ptr<ServiceHost> Serve(ServiceOptions::Auth auth, const std::string& socket) {
    ServiceOptions options;
    options.listen = "unix:" + (folder_ / socket);
    options.version = "0.1.0";
    options.auth = auth;
    return ServiceHost::Start(engine_.get(), options).value();
  }

  struct Made {
    int64_t id = 0;
    std::string header;
  };
  Made MakeFor(const std::string& name, Role role, const std::string& worker = "",
               int64_t ttl_ms = 0) {
    const std::string token = MakeToken();
    const absl::StatusOr<TokenRow> row = loglog::Call<TokenRow>([&](auto reply) {
      engine_->CreateToken({name, role, worker, TokenSha256(token), ttl_ms}, reply);
    });
    EXPECT_TRUE(row.ok()) << row.status();
    return {row->token_id, "Bearer " + token};
  }
  void Revoke(int64_t id) {
    const auto row =
        loglog::Call<TokenRow>([&](auto reply) { engine_->RevokeToken(id, reply, "root"); });
    EXPECT_TRUE(row.ok()) << row.status();
  }
  std::unique_ptr<grpc::ClientContext> ContextOf(const Made& made) {
    auto context = NewContext();
    context->AddMetadata("authorization", made.header);
    return context;
  }
  // Sweep s with trials 1 and 2 (cancelled) and fit 1; worker w1.
  void Populate(const Made& admin) {
    const auto sweeps = v1::SweepService::NewStub(channel_);
    v1::CreateSweepRequest create;
    create.set_spec_json(TinySpec("s"));
    v1::CreateSweepResponse created;
    ASSERT_TRUE(sweeps->CreateSweep(ContextOf(admin).get(), create, &created).ok());
    v1::CancelTrialRequest cancel;
    cancel.set_name("sweeps/s/trials/2");
    v1::Trial trial;
    ASSERT_TRUE(sweeps->CancelTrial(ContextOf(admin).get(), cancel, &trial).ok());
    v1::CreateFitRequest fit;
    fit.set_sweep("sweeps/s");
    fit.set_arm("a");
    fit.set_kind("local_slope");
    v1::Fit made;
    const grpc::Status fitted = sweeps->CreateFit(ContextOf(admin).get(), fit, &made);
    ASSERT_TRUE(fitted.ok()) << fitted.error_message();
    Register(admin, "w1");
  }
  int64_t Register(const Made& made, const std::string& worker_id) {
    v1::RegisterWorkerRequest request;
    request.set_protocol(v1::PROTOCOL_CURRENT);
    request.set_worker_id(worker_id);
    request.set_boot_id("boot");
    request.add_slots()->set_device("cpu");
    v1::RegisterWorkerResponse response;
    const auto workers = v1::WorkerService::NewStub(channel_);
    const grpc::Status status = workers->RegisterWorker(ContextOf(made).get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.session_epoch();
  }
  std::vector<EventRow> Events() {
    return loglog::Call<std::vector<EventRow>>(
               [&](auto reply) { engine_->ListEvents("", 0, 1000, reply); })
        .value();
  }

  ScratchFolder folder_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ServiceHost> host_;
  std::shared_ptr<grpc::Channel> channel_;
};

// Requests in text; `code` is what a caller gets who is let in.
struct Row {
  const char* allowed;  // v, s, w (as the worker it is for), a
  const char* request;  // for what is there
  grpc::StatusCode code;
  const char* wrong;  // for what is not, or is malformed
  grpc::StatusCode wrong_code;
};

const std::map<std::string, Row>& Rows() {
  constexpr auto kOk = grpc::OK;
  constexpr auto kNone = grpc::NOT_FOUND;
  constexpr auto kBad = grpc::INVALID_ARGUMENT;
  constexpr auto kNot = grpc::FAILED_PRECONDITION;
  constexpr auto kAborted = grpc::ABORTED;
  static const auto* rows = new std::map<std::string, Row>{
      {"SweepService.GetSweep", {"vsa", "name: 's'", kOk, "name: 'none'", kNone}},
      {"SweepService.ListSweeps", {"vsa", "", kOk, "page_token: 'x'", kBad}},
      {"SweepService.WatchSweep", {"vsa", "name: 's'", kOk, "name: 'none'", kNone}},
      {"SweepService.ListTrials", {"vsa", "sweep: 's'", kOk, "sweep: 'none'", kNone}},
      {"SweepService.GetTrial",
       {"vsa", "name: 'sweeps/s/trials/1'", kOk, "name: 'sweeps/none/trials/1'", kNone}},
      {"SweepService.ListPoints", {"vsa", "sweep: 's'", kOk, "sweep: 'none'", kNone}},
      {"SweepService.GetTrialEvents",
       {"vsa", "name: 'sweeps/s/trials/1'", kOk, "name: 'sweeps/none/trials/1'", kNone}},
      {"SweepService.GetFit",
       {"vsa", "name: 'sweeps/s/fits/1'", kOk, "name: 'sweeps/none/fits/1'", kNone}},
      {"SweepService.ListFits", {"vsa", "sweep: 's'", kOk, "sweep: 'none'", kNone}},
      {"SweepService.ListWorkers", {"vsa", "", kOk, "page_token: 'x'", kBad}},
      {"SweepService.GetServerInfo", {"vsa", "", kOk, "", kOk}},
      {"SweepService.CreateSweep",
       {"sa", "validate_only: true spec_json: 'SPEC'", kOk, "spec_json: '{'", kBad}},
      // Not of this revision, so that nobody's call changes what the next one finds.
      {"SweepService.PauseSweep", {"sa", "name: 's' etag: 'r99'", kAborted, "name: 'none'", kNone}},
      {"SweepService.ResumeSweep", {"sa", "name: 's'", kNot, "name: 'none'", kNone}},
      {"SweepService.CancelSweep",
       {"sa", "name: 's' etag: 'r99'", kAborted, "name: 'none'", kNone}},
      {"SweepService.RetryTrials", {"sa", "sweep: 's'", kOk, "sweep: 'none'", kNone}},
      {"SweepService.CancelTrial",
       {"sa", "name: 'sweeps/s/trials/2'", kNot, "name: 'sweeps/none/trials/1'", kNone}},
      {"SweepService.StopTrial",
       {"sa", "name: 'sweeps/s/trials/2'", kNot, "name: 'sweeps/none/trials/1'", kNone}},
      {"SweepService.CreateFit",
       {"sa", "sweep: 's' arm: 'a' kind: 'local_slope'", kOk,
        "sweep: 'none' arm: 'a' kind: 'local_slope'", kNone}},
      {"SweepService.CompareArms",
       {"sa", "sweep: 's' arm: 'a' arm_b: 'b'", kOk, "sweep: 'none' arm: 'a' arm_b: 'b'", kNone}},
      {"SweepService.DrainWorker", {"a", "name: 'w1'", kOk, "name: 'none'", kNone}},
      {"SweepService.ResumeWorker", {"a", "name: 'w1'", kOk, "name: 'none'", kNone}},
      {"WorkerService.RegisterWorker",
       {"wa", "protocol: 1 worker_id: 'w1' boot_id: 'b' slots { device: 'cpu' }", kOk,
        "protocol: 1 worker_id: 'w9' boot_id: 'b' slots { device: 'cpu' }", kOk}},
      // Of no session, which is found out after who calls.
      {"WorkerService.SyncWorker", {"wa", "worker_id: 'w1'", kNot, "worker_id: 'w9'", kNot}},
      {"WorkerService.StreamMetrics", {"wa", "worker_id: 'w1'", kNot, "worker_id: 'w9'", kNot}},
      {"AdminService.CreateToken",
       {"a", "caller: 'x' role: VIEWER sha256: 'SHA256'", kOk, "caller: 'X'", kBad}},
      {"AdminService.ListTokens", {"a", "", kOk, "page_token: 'x'", kBad}},
      {"AdminService.RevokeToken", {"a", "name: 'tokens/SPARE'", kOk, "name: '99999'", kNone}},
  };
  return *rows;
}

TEST_F(AccessTest, EveryRpcForEveryCaller) {
  const Made admin = MakeFor("root", Role::kAdmin);
  Populate(admin);
  if (HasFatalFailure()) return;
  const Made spare = MakeFor("spare", Role::kViewer);
  const Made revoked = MakeFor("revoked", Role::kAdmin);
  Revoke(revoked.id);
  const Made expired = MakeFor("expired", Role::kAdmin, "", /*ttl_ms=*/1);
  while (engine_->CheckToken(expired.id).ok()) std::this_thread::yield();
  struct Caller {
    const char* name;
    char letter;  // 0: nobody
    std::string header;
  };
  const Caller callers[] = {
      {"none", 0, ""},
      {"unknown", 0, "Bearer " + MakeToken()},
      {"expired", 0, expired.header},
      {"revoked", 0, revoked.header},
      {"viewer", 'v', MakeFor("vera", Role::kViewer).header},
      {"submitter", 's', MakeFor("sam", Role::kSubmitter).header},
      {"this worker", 'w', MakeFor("w1", Role::kWorker, "w1").header},
      {"another worker", 'o', MakeFor("w2", Role::kWorker, "w2").header},
      {"admin", 'a', admin.header},
  };
  std::string spec = TinySpec("t");
  const std::pair<std::string, std::string> words[] = {
      {"SPEC", absl::StrReplaceAll(spec, {{"\n", "\\n"}, {"'", "\\'"}})},
      {"SHA256", std::string(64, 'a')},
      {"SPARE", absl::StrCat(spare.id)}};

  // Which services there are, a server without asking says.
  const auto open = Serve(ServiceOptions::Auth::kOff, "open");
  const Outcome listed = CallRaw(open->InProcessChannel(), kReflection, kListServices, {});
  ASSERT_EQ(listed.code, grpc::OK) << listed.message;
  std::set<std::string> rpcs;
  for (const std::string& list : Fields(listed.response, 6)) {
    for (const std::string& service : Fields(list, 1)) {
      const std::string name = Fields(service, 1).at(0);
      if (absl::StartsWith(name, "grpc.")) continue;
      const pb::ServiceDescriptor* const descriptor =
          pb::DescriptorPool::generated_pool()->FindServiceByName(name);
      ASSERT_NE(descriptor, nullptr) << name;
      for (int i = 0; i < descriptor->method_count(); ++i) {
        const pb::MethodDescriptor& method = *descriptor->method(i);
        const std::string rpc = absl::StrCat(descriptor->name(), ".", method.name());
        rpcs.insert(rpc);
        const auto row = Rows().find(rpc);
        ASSERT_NE(row, Rows().end()) << rpc << ": say in this table who may call it";
        EXPECT_TRUE(LeastRole(rpc).has_value()) << rpc;
        for (const bool wrong : {false, true}) {
          std::string text = wrong ? row->second.wrong : row->second.request;
          for (const auto& [word, value] : words) {
            text = absl::StrReplaceAll(text, {{word, value}});
          }
          const std::unique_ptr<pb::Message> request(
              pb::MessageFactory::generated_factory()->GetPrototype(method.input_type())->New());
          ASSERT_TRUE(pb::TextFormat::ParseFromString(text, request.get())) << rpc << ": " << text;
          for (const Caller& caller : callers) {
            const bool allowed = absl::StrContains(row->second.allowed, caller.letter);
            const bool other_worker =
                allowed && caller.letter == 'w' && wrong;  // asks for w9 with w1's token
            const grpc::StatusCode expected = caller.letter == 0         ? grpc::UNAUTHENTICATED
                                              : !allowed || other_worker ? grpc::PERMISSION_DENIED
                                              : wrong                    ? row->second.wrong_code
                                                                         : row->second.code;
            const std::string path = absl::StrCat("/", name, "/", method.name());
            const Outcome outcome =
                CallRaw(channel_, path, request->SerializeAsString(),
                        caller.header.empty() ? std::vector<std::string>{}
                                              : std::vector<std::string>{caller.header});
            EXPECT_EQ(outcome.code, expected)
                << rpc << " by " << caller.name << (wrong ? ", wrong" : "") << ": "
                << outcome.message;
            if (expected == grpc::UNAUTHENTICATED || expected == grpc::PERMISSION_DENIED) {
              EXPECT_THAT(outcome.message, Not(HasSubstr("llg_0"))) << "no token in messages";
              EXPECT_NE(outcome.message, "");
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(rpcs.size(), Rows().size()) << "a row for what is not there";
  open->Shutdown(0);
}

TEST_F(AccessTest, HealthIsForEverybodyAndReflectionIsOff) {
  // service = "" is the server as a whole; status = SERVING.
  const Outcome health = CallRaw(channel_, "/grpc.health.v1.Health/Check", "", {});
  EXPECT_EQ(health.code, grpc::OK) << health.message;
  EXPECT_EQ(health.response, "\x08\x01");
  EXPECT_EQ(CallRaw(channel_, kReflection, kListServices, {}).code, grpc::UNIMPLEMENTED);
}

TEST_F(AccessTest, OnlyOneBearerHeaderIsTaken) {
  const Made admin = MakeFor("root", Role::kAdmin);
  const std::string path = "/loglog.v1.SweepService/ListSweeps";
  const std::string token = admin.header.substr(7);
  EXPECT_EQ(CallRaw(channel_, path, "", {admin.header}).code, grpc::OK);
  for (const std::vector<std::string>& headers :
       std::vector<std::vector<std::string>>{{token},
                                             {"Basic " + token},
                                             {"bearer " + token},
                                             {"Bearer  " + token},
                                             {"Bearer " + token + "0"},
                                             {"Bearer "},
                                             {admin.header, admin.header}}) {
    const Outcome outcome = CallRaw(channel_, path, "", headers);
    EXPECT_EQ(outcome.code, grpc::UNAUTHENTICATED) << headers[0];
    EXPECT_THAT(outcome.message, Not(HasSubstr(token)));
  }
}

TEST_F(AccessTest, MessagesSayHowToGetIn) {
  const std::string drain = "/loglog.v1.SweepService/DrainWorker";
  EXPECT_THAT(CallRaw(channel_, drain, "", {}).message,
              AllOf(HasSubstr("LOGLOG_TOKEN"), HasSubstr("loglog token create")));
  EXPECT_THAT(CallRaw(channel_, drain, "", {MakeFor("vera", Role::kViewer).header}).message,
              AllOf(HasSubstr("vera has the role viewer"), HasSubstr("needs admin")));
  const Made gone = MakeFor("old", Role::kViewer);
  Revoke(gone.id);
  EXPECT_THAT(CallRaw(channel_, drain, "", {gone.header}).message,
              HasSubstr(absl::StrCat("tokens/", gone.id, " of old was revoked")));
}

TEST_F(AccessTest, AnOldAndANewTokenHoldTogetherAndRevokingIsAtOnceAndLasts) {
  const std::string path = "/loglog.v1.SweepService/ListSweeps";
  const Made old_one = MakeFor("alice", Role::kViewer);
  const Made new_one = MakeFor("alice", Role::kViewer);
  EXPECT_EQ(CallRaw(channel_, path, "", {old_one.header}).code, grpc::OK);
  EXPECT_EQ(CallRaw(channel_, path, "", {new_one.header}).code, grpc::OK);
  Revoke(old_one.id);
  EXPECT_EQ(CallRaw(channel_, path, "", {old_one.header}).code, grpc::UNAUTHENTICATED);
  EXPECT_EQ(CallRaw(channel_, path, "", {new_one.header}).code, grpc::OK);
  host_->Shutdown(0);
  host_.reset();
  engine_.reset();
  engine_ = Engine::Open(folder_ / "store.db", EngineOptions()).value();
  host_ = Serve(ServiceOptions::Auth::kRequired, "socket");
  channel_ = host_->InProcessChannel();
  EXPECT_EQ(CallRaw(channel_, path, "", {old_one.header}).code, grpc::UNAUTHENTICATED);
  EXPECT_EQ(CallRaw(channel_, path, "", {new_one.header}).code, grpc::OK);
}

TEST_F(AccessTest, AWatchEndsWhenItsTokenIsRevoked) {
  const Made viewer = MakeFor("vera", Role::kViewer);
  const auto sweeps = v1::SweepService::NewStub(channel_);
  const auto context = ContextOf(viewer);
  const auto stream = sweeps->WatchSweep(context.get(), v1::WatchSweepRequest());
  v1::Event event;
  ASSERT_TRUE(stream->Read(&event));  // it was created
  Revoke(viewer.id);
  while (stream->Read(&event)) {
    EXPECT_NE(event.kind(), "token.revoked") << "what came after is not for it";
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::UNAUTHENTICATED);
}

TEST_F(AccessTest, AMetricStreamAsksWithEachBatch) {
  const Made gpus = MakeFor("gpus", Role::kWorker, "gpu-*");
  const int64_t epoch = Register(gpus, "gpu-1");
  const auto workers = v1::WorkerService::NewStub(channel_);
  v1::MetricBatch batch;
  batch.set_worker_id("gpu-1");
  batch.set_session_epoch(epoch);
  batch.set_attempt_id(77);
  v1::MetricAck ack;
  {
    const auto context = ContextOf(gpus);
    const auto stream = workers->StreamMetrics(context.get());
    ASSERT_TRUE(stream->Write(batch));
    ASSERT_TRUE(stream->Read(&ack));
    batch.set_worker_id("cpu-1");
    stream->Write(batch);
    EXPECT_FALSE(stream->Read(&ack));
    EXPECT_EQ(stream->Finish().error_code(), grpc::PERMISSION_DENIED);
  }
  batch.set_worker_id("gpu-1");
  const auto context = ContextOf(gpus);
  const auto stream = workers->StreamMetrics(context.get());
  ASSERT_TRUE(stream->Write(batch));
  ASSERT_TRUE(stream->Read(&ack));
  Revoke(gpus.id);
  stream->Write(batch);
  EXPECT_FALSE(stream->Read(&ack));
  EXPECT_EQ(stream->Finish().error_code(), grpc::UNAUTHENTICATED);
}

TEST_F(AccessTest, AParkedSyncOfARevokedTokenIsNotAnswered) {
  const Made gpu = MakeFor("gpu-1", Role::kWorker, "gpu-1");
  const int64_t epoch = Register(gpu, "gpu-1");
  const auto workers = v1::WorkerService::NewStub(channel_);
  v1::SyncWorkerRequest request;
  request.set_worker_id("gpu-1");
  request.set_session_epoch(epoch);
  request.set_wait_ms(10'000);
  request.add_slots()->set_state(v1::SlotReport::IDLE);
  v1::SyncWorkerResponse response;
  grpc::Status status;
  const auto context = ContextOf(gpu);
  std::thread caller([&] { status = workers->SyncWorker(context.get(), request, &response); });
  while (engine_->Poke() == 0) std::this_thread::yield();
  Revoke(gpu.id);
  const auto submitted = loglog::Call<CreateAnswer>(
      [&](auto reply) { engine_->CreateSweep(TinySpec("s"), "", false, reply); });
  EXPECT_TRUE(submitted.ok()) << submitted.status();
  caller.join();
  EXPECT_EQ(status.error_code(), grpc::UNAUTHENTICATED) << status.error_message();
}

TEST_F(AccessTest, EventsSayWhoAskedAndTheListWhenATokenWasUsed) {
  const Made root = MakeFor("root", Role::kAdmin);
  const Made sam = MakeFor("sam", Role::kSubmitter);
  const Made gpu = MakeFor("gpu", Role::kWorker, "*");
  const Made unused = MakeFor("unused", Role::kViewer);
  const auto sweeps = v1::SweepService::NewStub(channel_);
  v1::CreateSweepRequest create;
  create.set_spec_json(TinySpec("s"));
  v1::CreateSweepResponse created;
  ASSERT_TRUE(sweeps->CreateSweep(ContextOf(sam).get(), create, &created).ok());
  v1::SweepVerbRequest verb;
  verb.set_name("sweeps/s");
  v1::Sweep sweep;
  ASSERT_TRUE(sweeps->CancelSweep(ContextOf(sam).get(), verb, &sweep).ok());
  Register(gpu, "gpu-1");
  v1::WorkerVerbRequest drain;
  drain.set_name("workers/gpu-1");
  v1::Worker worker;
  ASSERT_TRUE(sweeps->DrainWorker(ContextOf(root).get(), drain, &worker).ok());
  std::map<std::string, std::string> details;
  for (const EventRow& event : Events()) details[event.kind] = event.detail_json;
  EXPECT_THAT(details["sweep.created"], StartsWith("{\"by\":\"sam\","));
  EXPECT_THAT(details["sweep.cancelled"], StartsWith("{\"by\":\"sam\","));
  EXPECT_THAT(details["worker.registered"], StartsWith("{\"by\":\"gpu\","));
  EXPECT_THAT(details["worker.draining"], StartsWith("{\"by\":\"root\","));
  EXPECT_THAT(details["token.created"], Not(HasSubstr("sha256")));

  const auto admin = v1::AdminService::NewStub(channel_);
  v1::ListTokensResponse listed;
  ASSERT_TRUE(admin->ListTokens(ContextOf(root).get(), v1::ListTokensRequest(), &listed).ok());
  ASSERT_EQ(listed.tokens_size(), 4);
  for (const v1::Token& token : listed.tokens()) {
    if (token.caller() == "unused") {
      EXPECT_EQ(token.last_use_time_ms(), 0);
    } else {
      EXPECT_GT(token.last_use_time_ms(), 0) << token.caller();
      EXPECT_EQ(token.last_use_time_ms() % 86'400'000, 0);
    }
  }
  v1::ServerInfo info;
  ASSERT_TRUE(sweeps->GetServerInfo(ContextOf(sam).get(), v1::GetServerInfoRequest(), &info).ok());
  EXPECT_TRUE(info.auth_required());
  EXPECT_EQ(info.caller(), "sam");
  EXPECT_EQ(info.caller_role(), "submitter");
}

TEST_F(AccessTest, TheSameHashIsTheSameTokenAndBadOnesAreRefused) {
  const Made root = MakeFor("root", Role::kAdmin);
  const auto admin = v1::AdminService::NewStub(channel_);
  v1::CreateTokenRequest request;
  request.set_caller("alice");
  request.set_role(v1::VIEWER);
  request.set_sha256(TokenSha256("x"));
  v1::Token first, again;
  ASSERT_TRUE(admin->CreateToken(ContextOf(root).get(), request, &first).ok());
  ASSERT_TRUE(admin->CreateToken(ContextOf(root).get(), request, &again).ok());
  EXPECT_EQ(first.name(), again.name());
  const auto refused = [&](const std::function<void(v1::CreateTokenRequest*)>& change) {
    v1::CreateTokenRequest bad = request;
    change(&bad);
    v1::Token token;
    return admin->CreateToken(ContextOf(root).get(), bad, &token).error_code() ==
           grpc::INVALID_ARGUMENT;
  };
  EXPECT_TRUE(refused([](auto* bad) { bad->set_caller("Alice\n"); }));
  EXPECT_TRUE(refused([](auto* bad) { bad->set_sha256("zz"); }));
  EXPECT_TRUE(refused([](auto* bad) { bad->set_role(v1::WORKER); }));
  EXPECT_TRUE(refused([](auto* bad) { bad->set_worker("gpu-1"); }));
  EXPECT_TRUE(refused([](auto* bad) {
    bad->set_role(v1::WORKER);
    bad->set_worker("*-1");
  }));
  EXPECT_TRUE(refused([](auto* bad) { bad->set_ttl_ms(-1); }));
}

}  // namespace
}  // namespace loglog
