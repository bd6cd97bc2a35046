// Copyright 2026 The tensorgate authors
// SPDX-License-Identifier: Apache-2.0
//
// Owners of what tensorgate_client.h hands out, for C++.
#ifndef TENSORGATE_CLIENT_HPP
#define TENSORGATE_CLIENT_HPP

#include <memory>

#include "tensorgate_client.h"

namespace tensorgate
{

struct Free
{
  void operator()(tensorgate_receiver * receiver) const noexcept
  {
    tensorgate_receiver_free(receiver);
  }
  void operator()(const tensorgate_policy * policy) const noexcept
  {
    tensorgate_policy_free(policy);
  }
};

using Receiver = std::unique_ptr<tensorgate_receiver, Free>;
using Policy = std::unique_ptr<const tensorgate_policy, Free>;

/// Empty where it could not be opened; tensorgate_error_message() says why.
inline Receiver open(const tensorgate_options & options) noexcept
{
  return Receiver(tensorgate_receiver_open(&options));
}

/// The policy to act on, now; empty unless the state is active.
inline Policy active(const Receiver & receiver) noexcept
{
  return Policy(tensorgate_receiver_active(receiver.get()));
}

}  // namespace tensorgate

#endif  // TENSORGATE_CLIENT_HPP
