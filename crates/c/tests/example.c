// A controller in C: takes what a gate on this machine hands over, proves every byte, and looks at it.
//
//   example TRUST SOCKET

#include <stdio.h>

#include "tensorgate_client.h"

static int failed(tensorgate_receiver *receiver) {
  fprintf(stderr, "%s: %s\n", tensorgate_error_code(), tensorgate_error_message());
  tensorgate_receiver_free(receiver);
  return 1;
}

int main(int argc, char **argv) {
  tensorgate_options options = {0};
  if (argc != 3) {
    return 2;
  }
  options.trust = argv[1]; // whose signatures count is this controller's own decision
  tensorgate_receiver *receiver = tensorgate_receiver_open(&options);
  if (receiver == NULL ||
      tensorgate_receiver_take_handed(receiver, NULL, argv[2], 5000) != TENSORGATE_RESULT_OK) {
    return failed(receiver);
  }
  // Proven, and no heartbeat came yet: look, but do not drive.
  if (tensorgate_receiver_state(receiver) != TENSORGATE_STATE_VERIFIED) {
    return failed(receiver);
  }
  const tensorgate_policy *policy = tensorgate_receiver_policy(receiver);
  for (size_t i = 0; i < tensorgate_policy_tensor_count(policy); i++) {
    tensorgate_tensor tensor;
    if (tensorgate_policy_tensor(policy, i, &tensor) == TENSORGATE_RESULT_OK) {
      printf("%s %s %zu bytes\n", tensor.name, tensor.dtype, tensor.data.size);
    }
  }
  tensorgate_policy_free(policy); // also after the receiver: it holds what it needs
  tensorgate_receiver_free(receiver);
  return 0;
}
