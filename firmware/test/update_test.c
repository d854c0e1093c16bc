/* Tests updates that are rejected, each with its own code. The checks are numbered as in docs/reference/protocol.md. */
#include <string.h>

#include "update_bench.h"

/* Offers version 2, with these members instead of the default ones. */
#define OFFER(...)                                                                                                          \
  do {                                                                                                                      \
    release changed = b->v2;                                                                                                \
    release *r = &changed;                                                                                                  \
    __VA_ARGS__;                                                                                                            \
    offer_release(b, r);                                                                                                    \
  } while (0)

static void test_good(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  wish(b, "second");
  ends(b, "a good version", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  const aiot_record *r = &b->device.store.record;
  check_at(c, "sequence, floor and newest time rose", "", 0, r->sequence == 6 && r->floor == 4 && r->newest_signed == 3000);
  /* A retained request that is received again is reported, but does not start the update again. */
  const size_t requests = b->device.platform.requests;
  wish(b, "second");
  check_equal(c, "requests for a finished rollout", 0, (int64_t)requests, (int64_t)b->device.platform.requests);
  /* Another rollout requests the running version. */
  wish(b, "third");
  check_equal(c, "requests for the running version", 0, (int64_t)requests, (int64_t)b->device.platform.requests);
  check_at(c, "the new rollout is recorded", "", 0, strcmp(r->last.rollout, "third") == 0);
  bench_close(b);
}

static void test_refused(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  sim_device *d = &b->device;
  char envelope[SIM_ENVELOPE_BYTES];

  d->platform.manifest_bytes -= 1;
  refused(b, "1: a truncated envelope", AIOT_MANIFEST_MALFORMED);
  d->platform.endless = 'm';
  refused(b, "1: an endless envelope, with less room than it may have", AIOT_MEMORY_SHORT);
  static char large_envelope[AIOT_ENVELOPE_BYTES];
  d->line.memory = large_envelope;
  d->line.bytes = sizeof large_envelope;
  d->platform.endless = 'm';
  refused(b, "1: an endless envelope", AIOT_MANIFEST_MALFORMED);
  sim_device_offer(d, &b->v2, &b->other, envelope, sizeof envelope);
  refused(b, "2: an unknown key", AIOT_SIGNATURE_INVALID);
  OFFER(r->name = "another");
  refused(b, "4: another name", AIOT_UPDATE_MISMATCH);
  OFFER(r->kind = kind == AIOT_KIND_MODEL ? AIOT_KIND_CONFIG : AIOT_KIND_MODEL);
  refused(b, "4: another kind", AIOT_UPDATE_MISMATCH);
  OFFER(r->version = 9);
  refused(b, "4: another version", AIOT_UPDATE_MISMATCH);
  OFFER(r->sequence = 7);
  refused(b, "4: another sequence", AIOT_UPDATE_MISMATCH);
  OFFER(r->type = "esp32");
  refused(b, "5: another type of device", AIOT_UPDATE_DEVICE_TYPE);
  OFFER(r->more = "\"interface\":2,");
  refused(b, "6: another interface", AIOT_UPDATE_INTERFACE);
  OFFER(r->floor = 7);
  refused(b, "9: a floor above its sequence", AIOT_UPDATE_FLOOR);
  OFFER(r->expires = 3000);
  refused(b, "10: expired when it was signed, without a clock", AIOT_UPDATE_EXPIRED);
  OFFER(r->issued = 100, r->expires = 2500);
  refused(b, "10: expired by the newest signed time, without a clock", AIOT_UPDATE_EXPIRED);
  d->now_ms = 5000;
  OFFER(r->expires = 4000);
  refused(b, "10: expired by the clock", AIOT_UPDATE_EXPIRED);
  d->now_ms = -1;
  static uint8_t large[SLOT_BYTES + 1];
  OFFER(r->blob = large, r->bytes = sizeof large);
  refused(b, "12: larger than a slot", AIOT_UPDATE_SIZE);
  OFFER(r->bytes = 0);
  refused(b, "12: empty", AIOT_UPDATE_SIZE);
  if (kind == AIOT_KIND_FIRMWARE) {
    OFFER(r->more = "\"secureVersion\":2,");
    d->update.setup.traits.secure_version = 3;
    refused(b, "13: a secure version below that of the chip", AIOT_UPDATE_SECURE_VERSION);
    d->update.setup.traits.secure_version = 0;
    d->store.record.secure_version = 3;
    refused(b, "13: a secure version below the committed one", AIOT_UPDATE_SECURE_VERSION);
    d->store.record.secure_version = 0;
  }
  d->platform.blob_bytes -= 1;
  refused(b, "14: truncated", AIOT_UPDATE_DOWNLOAD);
  d->platform.endless = 'b';
  refused(b, "14: endless", AIOT_UPDATE_SIZE);
  d->platform.refused = 1;
  refused(b, "the manifest request is denied", AIOT_UPDATE_DOWNLOAD);

  wish(b, "at last");
  ends(b, "a valid version after all of them", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  bench_close(b);
}

/*
 * Older versions are rejected: those below the floor, and those not above the committed one. Only a release with a higher
 * sequence can roll back.
 */
static void test_older(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  b->v2.sequence = 2;
  b->v2.floor = 1;
  offer_release(b, &b->v2);
  refused(b, "7: below the floor", AIOT_UPDATE_FLOOR);
  b->v2.sequence = 5;
  offer_release(b, &b->v2);
  refused(b, "8: the committed sequence", AIOT_UPDATE_SEQUENCE);
  bench_close(b);
}

static void test_keys(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  char payload[2048];
  const signing_key both[] = {b->key, b->other}, same[] = {b->key, b->key};
  release_payload(&b->v2, payload, sizeof payload);
  b->trust = trust_of(both, 2, 2);
  refused(b, "2: one of two signatures", AIOT_SIGNATURE_INVALID);
  b->device.platform.manifest_bytes = envelope_of(payload, same, 2, b->envelope, sizeof b->envelope);
  refused(b, "2: the same key twice", AIOT_SIGNATURE_INVALID);
  b->trust = trust_of(&b->other, 1, 1);
  refused(b, "2: a revoked key", AIOT_SIGNATURE_INVALID);
  b->device.update.setup.trust = NULL;
  refused(b, "2: no trusted keys", AIOT_SIGNATURE_INVALID);
  b->device.update.setup.trust = &b->trust;
  b->trust = trust_of(both, 2, 2);
  b->device.platform.manifest_bytes = envelope_of(payload, both, 2, b->envelope, sizeof b->envelope);
  wish(b, "both");
  ends(b, "two of two signatures", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  bench_close(b);
}

/* One bit of every byte of the envelope and the blob is flipped in turn. This must be detected before any of it is used. */
static void test_tampered(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  sim_device *d = &b->device;
  /* Two sectors and the beginning of a third, which is small enough to try every byte. */
  b->v2.bytes = 2 * 4096 + 300;
  offer_release(b, &b->v2);
  static const char *const codes[] = {"AIOT_MANIFEST_MALFORMED", "AIOT_SIGNATURE_INVALID"};
  const size_t bytes = d->platform.manifest_bytes;
  const int64_t asked = (int64_t)d->platform.blob_requests;
  char rollout[48];
  size_t refused_manifests = 0, refused_payloads = 0;
  for (size_t i = 0; i < bytes; i++) {
    b->envelope[i] ^= (char)(1 << i % 8);
    snprintf(rollout, sizeof rollout, "manifest-%zu", i);
    wish(b, rollout);
    b->envelope[i] ^= (char)(1 << i % 8);
    const aiot_update *u = &d->update;
    const bool good = u->phase == AIOT_PHASE_IDLE && (strcmp(u->error.code, codes[0]) == 0 || strcmp(u->error.code, codes[1]) == 0);
    if (check_at(c, "a flipped byte of the manifest is rejected", aiot_kind_name(kind), i, good)) refused_manifests++;
  }
  check_equal(c, "no blob was requested", 0, asked, (int64_t)d->platform.blob_requests);
  for (size_t i = 0; i < b->v2.bytes; i++) {
    b->second[i] ^= (uint8_t)(1 << i % 8);
    snprintf(rollout, sizeof rollout, "blob-%zu", i);
    wish(b, rollout);
    b->second[i] ^= (uint8_t)(1 << i % 8);
    const bool good = d->update.phase == AIOT_PHASE_IDLE && strcmp(d->update.error.code, "AIOT_DIGEST_MISMATCH") == 0;
    if (check_at(c, "a flipped byte of the payload is rejected", aiot_kind_name(kind), i, good)) refused_payloads++;
  }
  printf("%s: %zu of %zu bytes of the manifest and %zu of %zu of the payload flipped, each refused\n", aiot_kind_name(kind), refused_manifests,
         bytes, refused_payloads, b->v2.bytes);
  check_equal(c, "rejected flips = bytes of the manifest", 0, (int64_t)bytes, (int64_t)refused_manifests);
  check_equal(c, "rejected flips = bytes of the payload", 0, (int64_t)b->v2.bytes, (int64_t)refused_payloads);
  check_at(c, "version 1 runs", "", 0, running_version(b) == 1);
  wish(b, "untouched");
  ends(b, "the original release", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  bench_close(b);
}

int main(void) {
  checks c = {0};
  for (aiot_kind kind = AIOT_KIND_MODEL; kind <= AIOT_KIND_CONFIG; kind++) {
    test_good(&c, kind);
    test_refused(&c, kind);
    test_older(&c, kind);
    test_keys(&c, kind);
    test_tampered(&c, kind);
  }
  return checks_end(&c);
}
