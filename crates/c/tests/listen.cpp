// A controller in C++ for the tests, on rcl, of which rclcpp is made: rclcpp itself is not among the
// wheels that the tests run with. examples/rclcpp has the same on rclcpp.
//
//   listen TRUST GATE [STATE [SOCKET]]
//
// Prints each change of state, and each policy with its tensors and an Adler-32 of their bytes,
// until its standard input ends.

#include <poll.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <rcl/error_handling.h>
#include <rcl/rcl.h>
#include <tensorgate_msgs/msg/policy_manifest.h>
#include <tensorgate_msgs/msg/policy_status.h>
#include <tensorgate_msgs/msg/tensor_fragment.h>
#include <tensorgate_msgs/srv/get_fragments.h>

#include "tensorgate_client.hpp"

namespace
{

void require(rcl_ret_t result, const char * what)
{
  if (result != RCL_RET_OK) {
    throw std::runtime_error(std::string(what) + ": " + rcl_get_error_string().str);
  }
}

/// The same where nothing can be thrown.
void tell(rcl_ret_t result, const char * what)
{
  if (result != RCL_RET_OK) {
    std::fprintf(stderr, "%s: %s\n", what, rcl_get_error_string().str);
    rcl_reset_error();
  }
}

/// What came of a message; a bad one ends nothing.
void report(tensorgate_result result)
{
  if (result != TENSORGATE_RESULT_OK) {
    std::printf("refused %s: %s\n", tensorgate_error_code(), tensorgate_error_message());
  }
}

/// A subscription, and the message that it takes.
template<typename Message>
class Subscription
{
public:
  Subscription(
    rcl_node_t & node, const rosidl_message_type_support_t * type, const std::string & topic,
    size_t depth, bool latched)
  : node_(node)
  {
    auto options = rcl_subscription_get_default_options();
    options.qos.depth = depth;
    options.qos.reliability = RMW_QOS_POLICY_RELIABILITY_RELIABLE;
    options.qos.durability = latched ?
      RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL : RMW_QOS_POLICY_DURABILITY_VOLATILE;
    require(
      rcl_subscription_init(&handle_, &node_, type, topic.c_str(), &options), topic.c_str());
  }
  ~Subscription() {tell(rcl_subscription_fini(&handle_, &node_), "subscription");}
  Subscription(const Subscription &) = delete;
  Subscription & operator=(const Subscription &) = delete;

  const rcl_subscription_t * handle() const {return &handle_;}

  bool take(Message & message)
  {
    const auto taken = rcl_take(&handle_, &message, nullptr, nullptr);
    if (taken != RCL_RET_SUBSCRIPTION_TAKE_FAILED) {
      require(taken, "take");
    }
    return taken == RCL_RET_OK;
  }

private:
  rcl_node_t & node_;
  rcl_subscription_t handle_ = rcl_get_zero_initialized_subscription();
};

using Manifest = tensorgate_msgs__msg__PolicyManifest;
using Fragment = tensorgate_msgs__msg__TensorFragment;
using Status = tensorgate_msgs__msg__PolicyStatus;

template<typename Sequence>
tensorgate_bytes bytes(const Sequence & sequence) {return {sequence.data, sequence.size};}

/// Whether anything may come of it: anybody may announce, and what was refused changed nothing.
bool take(const tensorgate::Receiver & receiver, const Manifest & manifest)
{
  std::vector<tensorgate_file> files;
  for (size_t i = 0; i < manifest.files.size; ++i) {
    const auto & file = manifest.files.data[i];
    files.push_back({file.path.data, bytes(file.data)});
  }
  tensorgate_announcement announcement = {};
  std::memcpy(announcement.session_id, manifest.session_id, sizeof(announcement.session_id));
  announcement.epoch = manifest.epoch;
  announcement.envelope = bytes(manifest.envelope);
  announcement.files = {files.data(), files.size()};
  announcement.fragment_size = manifest.fragment_size;
  announcement.fragment_count = manifest.fragment_count;
  announcement.delivery = manifest.delivery;
  announcement.fragment_digests = bytes(manifest.fragment_digests);
  const auto result = tensorgate_receiver_announce(receiver.get(), &announcement);
  report(result);
  return result == TENSORGATE_RESULT_OK;
}

void take(const tensorgate::Receiver & receiver, const Fragment & message)
{
  tensorgate_fragment fragment = {};
  std::memcpy(fragment.session_id, message.session_id, sizeof(fragment.session_id));
  fragment.epoch = message.epoch;
  fragment.fragment_index = message.fragment_index;
  fragment.data = bytes(message.data);
  report(tensorgate_receiver_fragment(receiver.get(), &fragment));
}

void take(const tensorgate::Receiver & receiver, const Status & message)
{
  tensorgate_status status = {};
  std::memcpy(status.session_id, message.session_id, sizeof(status.session_id));
  status.epoch = message.epoch;
  status.sequence = message.sequence;
  status.state = message.state;
  std::memcpy(status.manifest_digest, message.manifest_digest, sizeof(status.manifest_digest));
  status.lease_sec = message.lease.sec;
  status.lease_nanosec = message.lease.nanosec;
  report(tensorgate_receiver_status(receiver.get(), &status));
}

/// Asks for what does not come by itself.
class Puller
{
public:
  Puller(rcl_node_t & node, const std::string & service)
  : node_(node)
  {
    const auto options = rcl_client_get_default_options();
    const auto type = ROSIDL_GET_SRV_TYPE_SUPPORT(tensorgate_msgs, srv, GetFragments);
    require(rcl_client_init(&handle_, &node_, type, service.c_str(), &options), "client");
    tensorgate_msgs__srv__GetFragments_Response__init(&response_);
  }
  ~Puller()
  {
    tensorgate_msgs__srv__GetFragments_Response__fini(&response_);
    tell(rcl_client_fini(&handle_, &node_), "client");
  }
  Puller(const Puller &) = delete;
  Puller & operator=(const Puller &) = delete;

  const rcl_client_t * handle() const {return &handle_;}

  void ask(const tensorgate::Receiver & receiver)
  {
    for (;;) {
      tensorgate_pull pull;
      const auto result = tensorgate_receiver_pull(receiver.get(), &pull);
      if (result != TENSORGATE_RESULT_OK || pull.count == 0) {
        return report(result);
      }
      tensorgate_msgs__srv__GetFragments_Request request = {};
      std::memcpy(request.session_id, pull.session_id, sizeof(request.session_id));
      request.epoch = pull.epoch;
      request.first = pull.first;
      request.count = pull.count;
      int64_t number;
      require(rcl_send_request(&handle_, &request, &number), "request");
      if (asked_.size() >= 2) {
        asked_.erase(asked_.begin());  // It was lost.
      }
      asked_.emplace(number, pull);
    }
  }

  void take_answer(const tensorgate::Receiver & receiver)
  {
    rmw_request_id_t header;
    const auto taken = rcl_take_response(&handle_, &header, &response_);
    if (taken == RCL_RET_CLIENT_TAKE_FAILED) {
      return;
    }
    require(taken, "response");
    for (size_t i = 0; i < response_.fragments.size; ++i) {
      take(receiver, response_.fragments.data[i]);
    }
    if (const auto asked = asked_.extract(header.sequence_number)) {
      std::printf("pulled %zu\n", response_.fragments.size);
      report(tensorgate_receiver_pulled(receiver.get(), &asked.mapped()));
    }
  }

private:
  rcl_node_t & node_;
  rcl_client_t handle_ = rcl_get_zero_initialized_client();
  std::map<int64_t, tensorgate_pull> asked_;  // by the requests' numbers, which grow
  tensorgate_msgs__srv__GetFragments_Response response_;
};

unsigned adler32(tensorgate_bytes bytes)
{
  unsigned a = 1, b = 0;
  for (size_t i = 0; i < bytes.size; ++i) {
    a = (a + bytes.data[i]) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

void print(const tensorgate::Policy & policy)
{
  tensorgate_evidence evidence;
  tensorgate_bytes config;
  report(tensorgate_policy_evidence(policy.get(), &evidence));
  report(tensorgate_policy_file(policy.get(), "config.json", &config));
  std::printf(
    "policy %s@%s %llu %s %s for '%s' %.*s\n", evidence.repo, evidence.revision,
    static_cast<unsigned long long>(evidence.sequence), evidence.manifest_digest,
    evidence.policy_type, evidence.robot, static_cast<int>(config.size), config.data);
  for (size_t i = 0; i < tensorgate_policy_tensor_count(policy.get()); ++i) {
    tensorgate_tensor tensor, found;
    report(tensorgate_policy_tensor(policy.get(), i, &tensor));
    report(tensorgate_policy_find_tensor(policy.get(), tensor.name, &found));
    if (found.data.data != tensor.data.data) {
      throw std::runtime_error("another tensor by its name");
    }
    std::printf("tensor %s %s %s", tensor.file, tensor.name, tensor.dtype);
    for (size_t d = 0; d < tensor.rank; ++d) {
      std::printf(" %zu", tensor.shape[d]);
    }
    std::printf(" = %08x\n", adler32(tensor.data));
  }
}

const char * name(tensorgate_state state)
{
  switch (state) {
    case TENSORGATE_STATE_NO_POLICY: return "no-policy";
    case TENSORGATE_STATE_RECEIVING: return "receiving";
    case TENSORGATE_STATE_VERIFIED: return "verified";
    case TENSORGATE_STATE_ACTIVE: return "active";
    case TENSORGATE_STATE_STALE: return "stale";
    case TENSORGATE_STATE_REVOKED: return "revoked";
    default: return "unknown";
  }
}

bool input_has_ended()
{
  pollfd input = {0, POLLIN, 0};
  char byte;
  return poll(&input, 1, 0) == 1 && std::fread(&byte, 1, 1, stdin) == 0;
}

class Controller
{
public:
  Controller(rcl_context_t & context, rcl_node_t & node, const std::string & gate)
  : context_(context), node_(node), gate_(gate),
    manifests_(
      node, ROSIDL_GET_MSG_TYPE_SUPPORT(tensorgate_msgs, msg, PolicyManifest), gate + "/manifest",
      10, true),
    statuses_(
      node, ROSIDL_GET_MSG_TYPE_SUPPORT(tensorgate_msgs, msg, PolicyStatus), gate + "/status", 1,
      false),
    puller_(node, gate + "/get_fragments")
  {
    tensorgate_msgs__msg__PolicyManifest__init(&manifest_);
    tensorgate_msgs__msg__TensorFragment__init(&fragment_);
    tensorgate_msgs__msg__PolicyStatus__init(&status_);
  }
  ~Controller()
  {
    tensorgate_msgs__msg__PolicyManifest__fini(&manifest_);
    tensorgate_msgs__msg__TensorFragment__fini(&fragment_);
    tensorgate_msgs__msg__PolicyStatus__fini(&status_);
  }

  void spin_once(const tensorgate::Receiver & receiver)
  {
    wait();
    if (manifests_.take(manifest_) && take(receiver, manifest_)) {
      fragments_.reset();
      if (tensorgate_receiver_receiving(receiver.get()) &&
        manifest_.delivery != tensorgate_msgs__msg__PolicyManifest__DELIVERY_PULLED)
      {
        subscribe_fragments();
      }
    }
    while (fragments_ && fragments_->take(fragment_)) {
      take(receiver, fragment_);
    }
    if (statuses_.take(status_)) {
      take(receiver, status_);
    }
    puller_.take_answer(receiver);
    puller_.ask(receiver);
  }

private:
  /// A late joiner gets as many latched fragments as its queue is deep, and no more. The count is
  /// that of what was signed, now that this announcement is being received.
  void subscribe_fragments()
  {
    std::printf("subscribes to %u fragments\n", manifest_.fragment_count);
    fragments_ = std::make_unique<Subscription<Fragment>>(
      node_, ROSIDL_GET_MSG_TYPE_SUPPORT(tensorgate_msgs, msg, TensorFragment),
      gate_ + "/fragments", manifest_.fragment_count, true);
  }

  void wait()
  {
    auto set = rcl_get_zero_initialized_wait_set();
    require(
      rcl_wait_set_init(&set, 3, 0, 0, 1, 0, 0, &context_, rcl_get_default_allocator()), "wait set");
    require(rcl_wait_set_add_subscription(&set, manifests_.handle(), nullptr), "wait set");
    require(rcl_wait_set_add_subscription(&set, statuses_.handle(), nullptr), "wait set");
    if (fragments_) {
      require(rcl_wait_set_add_subscription(&set, fragments_->handle(), nullptr), "wait set");
    }
    require(rcl_wait_set_add_client(&set, puller_.handle(), nullptr), "wait set");
    const auto waited = rcl_wait(&set, 50 * 1000 * 1000);
    require(rcl_wait_set_fini(&set), "wait set");
    if (waited != RCL_RET_TIMEOUT) {
      require(waited, "wait");
    }
  }

  rcl_context_t & context_;
  rcl_node_t & node_;
  std::string gate_;
  Subscription<Manifest> manifests_;
  Subscription<Status> statuses_;
  Puller puller_;
  std::unique_ptr<Subscription<Fragment>> fragments_;
  Manifest manifest_;
  Fragment fragment_;
  Status status_;
};

void run(const tensorgate::Receiver & receiver, rcl_context_t & context, const std::string & gate)
{
  auto node = rcl_get_zero_initialized_node();
  const auto options = rcl_node_get_default_options();
  require(rcl_node_init(&node, "listener", "", &context, &options), "node");
  {
    Controller controller(context, node, gate);
    auto last = TENSORGATE_STATE_UNKNOWN;
    tensorgate::Policy policy;
    while (!input_has_ended()) {
      controller.spin_once(receiver);
      const auto state = tensorgate_receiver_state(receiver.get());
      if (state != last) {
        std::printf("state %s\n", name(last = state));
      }
      auto active = tensorgate::active(receiver);
      if (active && active != policy) {
        print(active);
        policy = std::move(active);
      }
      std::fflush(stdout);
    }
  }
  require(rcl_node_fini(&node), "node");
}

}  // namespace

int main(int argc, char ** argv)
{
  if (argc < 3) {
    return 2;
  }
  tensorgate_options options = {};
  options.trust = argv[1];
  options.state = argc > 3 ? argv[3] : nullptr;
  const auto receiver = tensorgate::open(options);
  if (!receiver) {
    std::fprintf(stderr, "%s\n", tensorgate_error_message());
    return 2;
  }
  if (argc > 4) {
    report(tensorgate_receiver_take_handed(receiver.get(), argv[2], argv[4], 5000));
  }
  auto init = rcl_get_zero_initialized_init_options();
  auto context = rcl_get_zero_initialized_context();
  try {
    require(rcl_init_options_init(&init, rcl_get_default_allocator()), "options");
    require(rcl_init(argc, argv, &init, &context), "rcl");
    run(receiver, context, argv[2]);
    require(rcl_shutdown(&context), "shutdown");
    require(rcl_context_fini(&context), "context");
    require(rcl_init_options_fini(&init), "options");
  } catch (const std::exception & error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  return 0;
}
