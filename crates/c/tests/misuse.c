// What a caller in C can get wrong, and what comes of it: an error, and nothing else. The arguments
// are the path of a trust policy, and one where there is nothing. Run under the sanitisers, which watch the
// library's memory, too: it takes it from malloc.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorgate_client.h"

#define EXPECT(condition) \
  do { \
    if (!(condition)) { \
      printf("%d: " #condition ": %s\n", __LINE__, tensorgate_error_message()); \
      exit(1); \
    } \
  } while (0)

static int says(const char *words) {
  return strstr(tensorgate_error_message(), words) != NULL;
}

static int is_rejected(tensorgate_result result, const char *code) {
  return result == TENSORGATE_RESULT_REJECTED && strcmp(tensorgate_error_code(), code) == 0;
}

static void nothing_is_nothing(void) {
  tensorgate_tensor tensor;
  tensorgate_evidence evidence;
  tensorgate_bytes bytes;
  EXPECT(strcmp(tensorgate_error_message(), "") == 0 && strcmp(tensorgate_error_code(), "") == 0);
  tensorgate_receiver_free(NULL);
  tensorgate_policy_free(NULL);
  EXPECT(tensorgate_receiver_open(NULL) == NULL && says("options is NULL"));
  EXPECT(tensorgate_receiver_state(NULL) == TENSORGATE_STATE_UNKNOWN);
  EXPECT(tensorgate_receiver_active(NULL) == NULL && says("receiver is NULL"));
  EXPECT(tensorgate_receiver_policy(NULL) == NULL);
  EXPECT(tensorgate_receiver_announce(NULL, NULL) == TENSORGATE_RESULT_MISUSE);
  EXPECT(tensorgate_receiver_fragment(NULL, NULL) == TENSORGATE_RESULT_MISUSE);
  EXPECT(tensorgate_receiver_pull(NULL, NULL) == TENSORGATE_RESULT_MISUSE);
  EXPECT(tensorgate_receiver_pulled(NULL, NULL) == TENSORGATE_RESULT_MISUSE);
  EXPECT(!tensorgate_receiver_knows(NULL, NULL));
  EXPECT(!tensorgate_receiver_receiving(NULL));
  EXPECT(tensorgate_receiver_status(NULL, NULL) == TENSORGATE_RESULT_MISUSE);
  EXPECT(tensorgate_receiver_take_handed(NULL, NULL, NULL, 0) == TENSORGATE_RESULT_MISUSE);
  EXPECT(tensorgate_policy_tensor_count(NULL) == 0);
  EXPECT(tensorgate_policy_tensor(NULL, 0, &tensor) == TENSORGATE_RESULT_MISUSE);
  EXPECT(tensorgate_policy_find_tensor(NULL, "a", &tensor) == TENSORGATE_RESULT_MISUSE);
  EXPECT(tensorgate_policy_file(NULL, "a", &bytes) == TENSORGATE_RESULT_MISUSE);
  EXPECT(tensorgate_policy_evidence(NULL, &evidence) == TENSORGATE_RESULT_MISUSE);
}

static void options_are_judged(const char *trust, const char *missing) {
  tensorgate_options options = {0};
  EXPECT(tensorgate_receiver_open(&options) == NULL && says("trust is NULL"));
  options.trust = missing;
  EXPECT(tensorgate_receiver_open(&options) == NULL && says("No such file"));
  options.trust = trust;
  options.repo = "no repository";
  EXPECT(tensorgate_receiver_open(&options) == NULL && says("repo: "));
  options.repo = "\xff";
  EXPECT(tensorgate_receiver_open(&options) == NULL && says("repo is not UTF-8"));
  options.repo = NULL;
  options.revision = "main";
  EXPECT(tensorgate_receiver_open(&options) == NULL && says("revision: "));
  options.revision = NULL;
  options.state = trust;
  EXPECT(tensorgate_receiver_open(&options) == NULL && says(trust));
}

static void announcements_are_judged(tensorgate_receiver *receiver) {
  static const uint8_t garbage[4096] = {'{', 0xff};
  tensorgate_announcement announcement = {0};
  tensorgate_file file = {0};
  EXPECT(tensorgate_receiver_announce(receiver, NULL) == TENSORGATE_RESULT_MISUSE);
  EXPECT(is_rejected(tensorgate_receiver_announce(receiver, &announcement), "manifest-malformed"));
  announcement.epoch = 1;
  EXPECT(is_rejected(tensorgate_receiver_announce(receiver, &announcement), "size-mismatch"));
  announcement.fragment_size = 1 << 20;
  announcement.envelope.data = garbage;
  announcement.envelope.size = sizeof garbage;
  EXPECT(is_rejected(tensorgate_receiver_announce(receiver, &announcement), "manifest-malformed"));
  announcement.envelope.data = NULL;
  EXPECT(tensorgate_receiver_announce(receiver, &announcement) == TENSORGATE_RESULT_MISUSE);
  EXPECT(says("envelope is NULL"));
  announcement.envelope.data = garbage;
  announcement.envelope.size = SIZE_MAX;
  EXPECT(tensorgate_receiver_announce(receiver, &announcement) == TENSORGATE_RESULT_MISUSE);
  EXPECT(says("larger than memory"));
  announcement.envelope.size = sizeof garbage;
  announcement.files.size = 1;
  EXPECT(tensorgate_receiver_announce(receiver, &announcement) == TENSORGATE_RESULT_MISUSE);
  EXPECT(says("files is NULL"));
  announcement.files.data = (const tensorgate_file *)(garbage + 1);
  EXPECT(tensorgate_receiver_announce(receiver, &announcement) == TENSORGATE_RESULT_MISUSE);
  EXPECT(says("misaligned"));
  announcement.files.data = &file;
  EXPECT(tensorgate_receiver_announce(receiver, &announcement) == TENSORGATE_RESULT_MISUSE);
  EXPECT(says("path of a file is NULL"));
  file.path = "\xc3\x28";
  EXPECT(tensorgate_receiver_announce(receiver, &announcement) == TENSORGATE_RESULT_MISUSE);
  EXPECT(says("not UTF-8"));
  announcement.files.size = SIZE_MAX / sizeof file / 4;
  EXPECT(tensorgate_receiver_announce(receiver, &announcement) == TENSORGATE_RESULT_MISUSE);
  EXPECT(says("are allowed"));
}

static void what_was_not_announced_changes_nothing(tensorgate_receiver *receiver) {
  static const uint8_t data[16] = {0};
  tensorgate_fragment fragment = {0};
  tensorgate_status status = {0};
  tensorgate_pull pull;
  EXPECT(tensorgate_receiver_fragment(receiver, NULL) == TENSORGATE_RESULT_MISUSE);
  fragment.data.size = 1;
  EXPECT(tensorgate_receiver_fragment(receiver, &fragment) == TENSORGATE_RESULT_MISUSE);
  fragment.data.data = data;
  fragment.fragment_index = UINT32_MAX;
  EXPECT(tensorgate_receiver_fragment(receiver, &fragment) == TENSORGATE_RESULT_OK);
  EXPECT(tensorgate_receiver_status(receiver, NULL) == TENSORGATE_RESULT_MISUSE);
  status.lease_sec = INT32_MIN;
  status.lease_nanosec = UINT32_MAX;
  for (unsigned state = 0; state < 256; ++state) {
    status.state = (uint8_t)state;
    EXPECT(tensorgate_receiver_status(receiver, &status) == TENSORGATE_RESULT_OK);
    EXPECT(tensorgate_receiver_state(receiver) == TENSORGATE_STATE_NO_POLICY);
  }
  EXPECT(tensorgate_receiver_active(receiver) == NULL);
  EXPECT(tensorgate_receiver_policy(receiver) == NULL);
  EXPECT(tensorgate_receiver_take_handed(receiver, NULL, NULL, 10) == TENSORGATE_RESULT_MISUSE);
  EXPECT(tensorgate_receiver_take_handed(receiver, "/..", NULL, 10) == TENSORGATE_RESULT_MISUSE);
  EXPECT(tensorgate_receiver_take_handed(receiver, NULL, "/nobody", 10) == TENSORGATE_RESULT_FAILED);
  EXPECT(strcmp(tensorgate_error_code(), "") == 0);
  EXPECT(tensorgate_receiver_pull(receiver, NULL) == TENSORGATE_RESULT_MISUSE);
  EXPECT(tensorgate_receiver_pull(receiver, &pull) == TENSORGATE_RESULT_OK && pull.count == 0);
  EXPECT(tensorgate_receiver_pulled(receiver, NULL) == TENSORGATE_RESULT_MISUSE);
  pull.ticket = UINT64_MAX;
  EXPECT(tensorgate_receiver_pulled(receiver, &pull) == TENSORGATE_RESULT_OK);
  EXPECT(!tensorgate_receiver_knows(receiver, NULL) && !tensorgate_receiver_knows(receiver, &status));
}

int main(int argc, char **argv) {
  tensorgate_options options = {0};
  tensorgate_receiver *receiver;
  if (argc != 3) return 2;
  nothing_is_nothing();
  options_are_judged(argv[1], argv[2]);
  options.trust = argv[1];
  receiver = tensorgate_receiver_open(&options);
  EXPECT(receiver != NULL);
  announcements_are_judged(receiver);
  what_was_not_announced_changes_nothing(receiver);
  tensorgate_receiver_free(receiver);
  return 0;
}
