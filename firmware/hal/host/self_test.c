#include "self_test.h"

#include <string.h>

/* The example in FIPS 180-4: SHA-256 of "abc". */
static const uint8_t abc[AIOT_SHA256_BYTES] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                               0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                               0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};

bool aiot_self_test(aiot_store *store, int slot, aiot_error *error) {
  const aiot_crypto *crypto = store->crypto;
  uint64_t state[AIOT_SHA256_STATE_BYTES / 8];
  uint8_t digest[AIOT_SHA256_BYTES];
  crypto->sha256_begin(crypto->context, state);
  crypto->sha256_update(crypto->context, state, "abc", 3);
  crypto->sha256_end(crypto->context, state, digest);
  bool good = memcmp(digest, abc, sizeof abc) == 0;
  if (good && slot >= 0) {
    const aiot_content *content = &store->record.slot[slot];
    good = content->present && aiot_store_digest(store, slot, content->bytes, digest) &&
           memcmp(digest, content->digest, sizeof digest) == 0;
  }
#ifdef AIOT_FAULT_SELF_TEST
  good = false;
#endif
  if (!good) aiot_error_set(error, AIOT_UPDATE_TRIAL, "the program's self-test failed");
  return good;
}
