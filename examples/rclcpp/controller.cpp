// Copyright 2026 The tensorgate authors
// SPDX-License-Identifier: Apache-2.0
//
// A controller on rclcpp: acts only on weights that it verified itself.
//
//   ros2 run tensorgate_rclcpp_example controller --ros-args -p trust:=/etc/tensorgate/trust.toml
//
// It wants rclcpp, which the wheels that this repository is tested with lack: CI does not build it.
// crates/c/tests/listen.cpp is the same on rcl, and CI does.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "rclcpp/rclcpp.hpp"
#include "tensorgate_client.hpp"
#include "tensorgate_msgs/msg/policy_manifest.hpp"
#include "tensorgate_msgs/msg/policy_status.hpp"
#include "tensorgate_msgs/msg/tensor_fragment.hpp"
#include "tensorgate_msgs/srv/get_fragments.hpp"

using namespace std::chrono_literals;
using tensorgate_msgs::msg::PolicyManifest;
using tensorgate_msgs::msg::PolicyStatus;
using tensorgate_msgs::msg::TensorFragment;
using tensorgate_msgs::srv::GetFragments;

class Controller : public rclcpp::Node
{
public:
  Controller()
  : Node("controller")
  {
    const auto trust = declare_parameter<std::string>("trust", "");
    gate_ = declare_parameter<std::string>("gate", "/tensorgate");
    tensorgate_options options = {};
    options.trust = trust.c_str();
    receiver_ = tensorgate::open(options);
    if (!receiver_) {
      throw std::runtime_error(tensorgate_error_message());
    }
    // The weights are the gate's own pages where both are on one machine; else they come in fragments.
    (void)tensorgate_receiver_take_handed(receiver_.get(), gate_.c_str(), nullptr, 500);
    manifests_ = create_subscription<PolicyManifest>(
      gate_ + "/manifest", rclcpp::QoS(10).reliable().transient_local(),
      [this](const PolicyManifest & message) {announced(message);});
    statuses_ = create_subscription<PolicyStatus>(
      gate_ + "/status", rclcpp::QoS(1).reliable(), [this](const PolicyStatus & message) {
        tensorgate_status status = {};
        std::copy_n(message.session_id.begin(), 16, status.session_id);
        status.epoch = message.epoch;
        status.sequence = message.sequence;
        status.state = message.state;
        std::copy_n(message.manifest_digest.begin(), 32, status.manifest_digest);
        status.lease_sec = message.lease.sec;
        status.lease_nanosec = message.lease.nanosec;
        report(tensorgate_receiver_status(receiver_.get(), &status));
      });
    get_fragments_ = create_client<GetFragments>(gate_ + "/get_fragments");
    pull_ = create_wall_timer(100ms, [this] {pull();});
    // Wall time: a clock of a simulation that stands still must not keep a robot driving.
    control_ = create_wall_timer(10ms, [this] {control();});
  }

private:
  void announced(const PolicyManifest & message)
  {
    std::vector<tensorgate_file> files;
    for (const auto & file : message.files) {
      files.push_back({file.path.c_str(), {file.data.data(), file.data.size()}});
    }
    tensorgate_announcement announcement = {};
    std::copy_n(message.session_id.begin(), 16, announcement.session_id);
    announcement.epoch = message.epoch;
    announcement.envelope = {message.envelope.data(), message.envelope.size()};
    announcement.files = {files.data(), files.size()};
    announcement.fragment_size = message.fragment_size;
    announcement.fragment_count = message.fragment_count;
    announcement.delivery = message.delivery;
    announcement.fragment_digests = {
      message.fragment_digests.data(), message.fragment_digests.size()};
    const auto result = tensorgate_receiver_announce(receiver_.get(), &announcement);
    if (result != TENSORGATE_RESULT_OK) {
      return report(result);  // anybody may announce: it changes nothing
    }
    fragments_.reset();
    if (!tensorgate_receiver_receiving(receiver_.get()) ||
      message.delivery == PolicyManifest::DELIVERY_PULLED)
    {
      return;
    }
    // A late joiner gets as many latched fragments as its queue is deep, and no more. The count is
    // that of what was signed, now that this announcement is being received.
    fragments_ = create_subscription<TensorFragment>(
      gate_ + "/fragments", rclcpp::QoS(message.fragment_count).reliable().transient_local(),
      [this](const TensorFragment & fragment) {take(fragment);});
  }

  void take(const TensorFragment & message)
  {
    tensorgate_fragment fragment = {};
    std::copy_n(message.session_id.begin(), 16, fragment.session_id);
    fragment.epoch = message.epoch;
    fragment.fragment_index = message.fragment_index;
    fragment.data = {message.data.data(), message.data.size()};
    report(tensorgate_receiver_fragment(receiver_.get(), &fragment));
  }

  /// Asks for the fragments that do not come, until nothing more is due.
  void pull()
  {
    for (;;) {
      tensorgate_pull pull;
      const auto result = tensorgate_receiver_pull(receiver_.get(), &pull);
      if (result != TENSORGATE_RESULT_OK || pull.count == 0) {
        return report(result);
      }
      ask(pull);
    }
  }

  void ask(const tensorgate_pull & pull)
  {
    if (!get_fragments_->service_is_ready()) {
      return report(tensorgate_receiver_pulled(receiver_.get(), &pull));
    }
    if (asked_.size() >= 2) {
      // The oldest was lost; rclcpp would keep the request for ever.
      get_fragments_->remove_pending_request(asked_.begin()->second);
      asked_.erase(asked_.begin());
    }
    auto request = std::make_shared<GetFragments::Request>();
    std::copy_n(pull.session_id, 16, request->session_id.begin());
    request->epoch = pull.epoch;
    request->first = pull.first;
    request->count = pull.count;
    const auto sent = get_fragments_->async_send_request(
      request, [this, asked = pull](rclcpp::Client<GetFragments>::SharedFuture answer) {
        asked_.erase(asked.ticket);
        for (const auto & fragment : answer.get()->fragments) {
          take(fragment);
        }
        report(tensorgate_receiver_pulled(receiver_.get(), &asked));
        this->pull();
      });
    asked_.emplace(pull.ticket, sent.request_id);
  }

  void control()
  {
    const auto active = tensorgate::active(receiver_);
    if (!active) {
      return;  // stop the robot in the way that is right for it
    }
    tensorgate_tensor weight;
    if (tensorgate_policy_find_tensor(active.get(), "actor.0.weight", &weight) ==
      TENSORGATE_RESULT_OK)
    {
      // weight.data.data are verified bytes that cannot change while `active` is held.
    }
  }

  void report(tensorgate_result result)
  {
    if (result != TENSORGATE_RESULT_OK) {
      RCLCPP_WARN(get_logger(), "%s", tensorgate_error_message());
    }
  }

  std::string gate_;
  tensorgate::Receiver receiver_;
  rclcpp::Subscription<PolicyManifest>::SharedPtr manifests_;
  rclcpp::Subscription<PolicyStatus>::SharedPtr statuses_;
  rclcpp::Subscription<TensorFragment>::SharedPtr fragments_;
  rclcpp::Client<GetFragments>::SharedPtr get_fragments_;
  std::map<uint64_t, int64_t> asked_;  // requests by their tickets, which grow
  rclcpp::TimerBase::SharedPtr pull_;
  rclcpp::TimerBase::SharedPtr control_;
};

int main(int argc, char ** argv)
{
  rclcpp::init(argc, argv);
  rclcpp::spin(std::make_shared<Controller>());
  rclcpp::shutdown();
  return 0;
}
