/*
 * Updates that are refused, each with its own code; networks that break; brokers that go; clocks that were never set. The checks are numbered as in
 * docs/protocol.md.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "sim_device.h"

enum { SLOT_SECTORS = 8, SLOT_BYTES = SLOT_SECTORS * 4096, BLOB_BYTES = 20000, LONG_MS = 300000 };

typedef struct {
  checks *c;
  sim_device device;
  signing_key key;
  signing_key other;
  aiot_trust trust;
  uint8_t first[BLOB_BYTES];
  uint8_t second[BLOB_BYTES];
  release v1;
  release v2;
  char envelope[SIM_ENVELOPE_BYTES];
} bench;

/* A device of this kind that runs version 1 (sequence 5, floor 3, issued 2000), and version 2 ready to be offered. */
static bench *bench_open(checks *c, aiot_kind kind) {
  bench *b = calloc(1, sizeof *b);
  if (b == NULL) exit(2);
  b->c = c;
  b->key = signing_key_new();
  b->other = signing_key_new();
  b->trust = trust_of(&b->key, 1, 1);
  for (size_t i = 0; i < BLOB_BYTES; i++) {
    b->first[i] = (uint8_t)(i * 7);
    b->second[i] = (uint8_t)(i * 13);
  }
  b->first[0] = b->second[0] = SIM_GOOD;
  b->v1 = (release){kind, "thing", 1, 5, 3, 2000, 0, SIM_TYPE, b->first, BLOB_BYTES, NULL};
  b->v2 = (release){kind, "thing", 2, 6, 4, 3000, 0, SIM_TYPE, b->second, BLOB_BYTES, NULL};
  sim_device_open(&b->device, kind, SLOT_SECTORS, &b->trust);
  sim_device_boot(&b->device);
  sim_device_offer(&b->device, &b->v1, &b->key, b->envelope, sizeof b->envelope);
  sim_device_desire(&b->device, &b->v1, "first");
  sim_device_run(&b->device, LONG_MS);
  check_at(c, "version 1 is committed", aiot_kind_name(kind), 0, b->device.update.phase == AIOT_PHASE_COMMITTED);
  sim_device_offer(&b->device, &b->v2, &b->key, b->envelope, sizeof b->envelope);
  return b;
}

static void bench_close(bench *b) {
  check_equal(b->c, "bits that were set over cleared ones", 0, 0, b->device.flash.overwrites);
  sim_device_close(&b->device);
  signing_key_free(&b->key);
  signing_key_free(&b->other);
  free(b);
}

static int running_version(bench *b) {
  const release known[] = {b->v1, b->v2};
  return sim_device_runs(&b->device, known, 2) + 1;
}

/* What was reported, what runs, and what the record says of the end. */
static void ends(bench *b, const char *what, const char *trace, aiot_phase phase, aiot_code code, int version) {
  const aiot_update *u = &b->device.update;
  const char *expected = code == AIOT_OK ? "" : aiot_code_name(code);
  const bool good = aiot_update_settled(u) && u->phase == phase && strcmp(u->error.code, expected) == 0 &&
                    strcmp(b->device.trace, trace) == 0 && running_version(b) == version &&
                    b->device.store.record.last.state == phase && b->device.line.user == NULL && !u->dead;
  if (!check_at(b->c, "ends", what, 0, good))
    printf("  %s: %s %s (%s), trace %s, version %d\n", aiot_kind_name(u->setup.kind), aiot_phase_name(u->phase), u->error.code,
           u->error.message, b->device.trace, running_version(b));
}

/* How a trial is reported that ends well, and one that does not: firmware starts anew for it. */
static const char *to(const bench *b, char end) {
  const bool restarts = b->v1.kind == AIOT_KIND_FIRMWARE;
  if (end == 'C') return restarts ? "DVSTSTC" : "DVSTC";
  return restarts ? "DVSTSTR" : "DVSTR";
}

static void wish(bench *b, const char *rollout) {
  memset(b->device.trace, 0, sizeof b->device.trace);
  sim_device_desire(&b->device, &b->v2, rollout);
  sim_device_run(&b->device, LONG_MS);
}

static void refused(bench *b, const char *what, aiot_code code) {
  const uint64_t served = b->device.platform.served;
  const int64_t newest = b->device.store.record.newest_signed;
  wish(b, what);
  ends(b, what, "DI", AIOT_PHASE_IDLE, code, 1);
  check_at(b->c, "newest signed time does not fall", what, 0, b->device.store.record.newest_signed >= newest);
  check_at(b->c, "it is given up soon", what, 0, b->device.platform.served - served < 2 * AIOT_ENVELOPE_BYTES);
  /* Whatever was refused, what is good is taken after it. */
  b->device.platform = (sim_platform){.chunk = 1460};
  sim_device_offer(&b->device, &b->v2, &b->key, b->envelope, sizeof b->envelope);
}

static void offer_release(bench *b, const release *r) {
  sim_device_offer(&b->device, r, &b->key, b->envelope, sizeof b->envelope);
}

/* Offers version 2 with these members instead of its own. */
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
  /* A retained wish comes again: reported, not begun. */
  const size_t requests = b->device.platform.requests;
  wish(b, "second");
  check_equal(c, "requests for what has ended", 0, (int64_t)requests, (int64_t)b->device.platform.requests);
  /* Another rollout of what runs already. */
  wish(b, "third");
  check_equal(c, "requests for what runs", 0, (int64_t)requests, (int64_t)b->device.platform.requests);
  check_at(c, "the new rollout is the last one", "", 0, strcmp(r->last.rollout, "third") == 0);
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
  d->platform.blob_bytes -= 1;
  refused(b, "13: truncated", AIOT_UPDATE_DOWNLOAD);
  d->platform.endless = 'b';
  refused(b, "13: endless", AIOT_UPDATE_SIZE);
  d->platform.refused = 1;
  refused(b, "the manifest is refused", AIOT_UPDATE_DOWNLOAD);

  wish(b, "at last");
  ends(b, "good after all of them", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  bench_close(b);
}

/* Older ones: below the floor, and not above the committed one. Rolled back only by a higher sequence. */
static void test_older(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  b->v2.sequence = 2;
  b->v2.floor = 1;
  offer_release(b, &b->v2);
  refused(b, "7: below the floor", AIOT_UPDATE_FLOOR);
  b->v2.sequence = 5;
  offer_release(b, &b->v2);
  refused(b, "8: the sequence that is committed", AIOT_UPDATE_SEQUENCE);
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
  refused(b, "2: a key that was revoked", AIOT_SIGNATURE_INVALID);
  b->device.update.setup.trust = NULL;
  refused(b, "2: nobody is trusted", AIOT_SIGNATURE_INVALID);
  b->device.update.setup.trust = &b->trust;
  b->trust = trust_of(both, 2, 2);
  b->device.platform.manifest_bytes = envelope_of(payload, both, 2, b->envelope, sizeof b->envelope);
  wish(b, "both");
  ends(b, "two signatures of two", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  bench_close(b);
}

/* Every byte of envelope and blob is flipped in turn: refused, before anything of it is used. */
static void test_tampered(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  sim_device *d = &b->device;
  static const char *const codes[] = {"AIOT_MANIFEST_MALFORMED", "AIOT_SIGNATURE_INVALID"};
  const size_t bytes = d->platform.manifest_bytes;
  const int64_t asked = (int64_t)d->platform.blob_requests;
  char rollout[48];
  for (size_t i = 0; i < bytes; i++) {
    b->envelope[i] ^= (char)(1 << i % 8);
    snprintf(rollout, sizeof rollout, "manifest-%zu", i);
    wish(b, rollout);
    b->envelope[i] ^= (char)(1 << i % 8);
    const aiot_update *u = &d->update;
    const bool good = u->phase == AIOT_PHASE_IDLE && (strcmp(u->error.code, codes[0]) == 0 || strcmp(u->error.code, codes[1]) == 0);
    check_at(c, "a flipped byte of the manifest is refused", aiot_kind_name(kind), i, good);
  }
  check_equal(c, "no blob was asked for", 0, asked, (int64_t)d->platform.blob_requests);
  for (size_t i = 0; i < BLOB_BYTES; i += i < 200 || i + 200 > BLOB_BYTES ? 1 : 37) {
    b->second[i] ^= (uint8_t)(1 << i % 8);
    snprintf(rollout, sizeof rollout, "blob-%zu", i);
    wish(b, rollout);
    b->second[i] ^= (uint8_t)(1 << i % 8);
    check_at(c, "a flipped byte of the blob is refused", aiot_kind_name(kind), i,
             d->update.phase == AIOT_PHASE_IDLE && strcmp(d->update.error.code, "AIOT_DIGEST_MISMATCH") == 0);
  }
  check_at(c, "version 1 runs", "", 0, running_version(b) == 1);
  wish(b, "untouched");
  ends(b, "the untouched one", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  bench_close(b);
}

/* The connection breaks behind every chunk in turn, and goes on where it broke. */
static void test_network(checks *c, aiot_kind kind) {
  for (size_t after = 0; after <= BLOB_BYTES / 1460 + 1; after++) {
    bench *b = bench_open(c, kind);
    b->device.platform.breaks = 1;
    b->device.platform.break_after = after;
    b->device.platform.served = 0;
    wish(b, "broken once");
    ends(b, "the network broke once", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
    check_equal(c, "no byte came twice", after, (int64_t)(BLOB_BYTES + b->device.platform.manifest_bytes),
                (int64_t)b->device.platform.served);
    bench_close(b);
  }
  bench *b = bench_open(c, kind);
  /* Each attempt brings one chunk: none is counted as failed. */
  b->device.platform.breaks = 1000;
  b->device.platform.break_after = 1;
  wish(b, "broken behind each chunk");
  ends(b, "the network broke behind each chunk", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  bench_close(b);

  b = bench_open(c, kind);
  b->device.platform.breaks = 1000;
  b->device.platform.break_after = 3;
  memset(b->device.trace, 0, sizeof b->device.trace);
  sim_device_desire(&b->device, &b->v2, "given up");
  const uint64_t start = b->device.uptime_ms;
  for (int i = 0; i < 40 && b->device.update.written + b->device.update.waiting < 3 * 1460; i++) aiot_update_step(&b->device.update);
  b->device.platform.break_after = 0;
  sim_device_run(&b->device, LONG_MS);
  ends(b, "six attempts that bring nothing", "DI", AIOT_PHASE_IDLE, AIOT_UPDATE_DOWNLOAD, 1);
  const uint64_t waited = b->device.uptime_ms - start;
  check_at(c, "after waits of 0.2 to 5 s", "ms", (size_t)waited, waited >= 6200 && waited < 7000);
  check_at(c, "what came is kept", "", 0, b->device.store.record.download.slot == 1);
  b->device.platform.breaks = 0;
  b->device.platform.served = 0;
  wish(b, "taken up");
  ends(b, "another attempt goes on", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  check_at(c, "without what was there", "from", (size_t)b->device.platform.last_from, b->device.platform.last_from == 0);
  bench_close(b);

  b = bench_open(c, kind);
  b->device.platform.unreachable = 5;
  wish(b, "not reached at first");
  ends(b, "the platform is not reached five times", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  bench_close(b);

  b = bench_open(c, kind);
  b->device.platform.silent = true;
  wish(b, "silent");
  ends(b, "the platform says nothing", "DI", AIOT_PHASE_IDLE, AIOT_UPDATE_DOWNLOAD, 1);
  bench_close(b);
}

/* The power goes in a download; what lies in the flash is not asked for again, but for the last sector. */
static void test_resume(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  sim_device *d = &b->device;
  d->tick_ms = 50;
  sim_device_desire(d, &b->v2, "resumed");
  while (d->update.written < 3 * 4096) aiot_update_step(&d->update);
  check_equal(c, "one piece of work a step, where each takes long", 0, 3 * 4096, d->update.written);
  d->tick_ms = 0;
  sim_device_boot(d);
  check_equal(c, "version 1 runs", 0, 1, running_version(b));
  d->platform.served = 0;
  wish(b, "resumed");
  ends(b, "resumed", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  check_equal(c, "it went on", 0, 2 * 4096, (int64_t)d->platform.last_from);
  bench_close(b);
}

static void test_trial(checks *c, aiot_kind kind) {
  static const struct {
    uint8_t does;
    aiot_code code[3];
  } rows[] = {{SIM_BAD, {AIOT_GOLDEN_MISMATCH, AIOT_UPDATE_TRIAL, AIOT_CONFIG_MALFORMED}},
              {SIM_EMPTY, {AIOT_GOLDEN_MISMATCH, AIOT_OK, AIOT_OK}},
              {SIM_DEAF, {AIOT_OK, AIOT_UPDATE_HEARTBEAT, AIOT_UPDATE_HEARTBEAT}}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    if (rows[i].code[kind] == AIOT_OK) continue;
    bench *b = bench_open(c, kind);
    b->second[0] = rows[i].does;
    offer_release(b, &b->v2);
    wish(b, "tried");
    ends(b, "a version that fails its trial", to(b, 'R'), AIOT_PHASE_ROLLED_BACK, rows[i].code[kind], 1);
    check_at(c, "what was tried is forgotten", "", 0, !b->device.store.record.slot[1].present);
    check_at(c, "what was committed stays", "", 0, b->device.store.record.sequence == 5 && b->device.store.record.floor == 3);
    bench_close(b);
  }
}

/* The device dies of its trial: three times, and no more. */
static void test_crash(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  sim_device *d = &b->device;
  b->second[0] = SIM_CRASH;
  offer_release(b, &b->v2);
  wish(b, "crash");
  int restarts = 0;
  for (; d->flash.off && restarts < 10; restarts++) {
    check_at(c, "it boots again", aiot_kind_name(kind), (size_t)restarts, sim_device_boot(d));
    check_equal(c, "with version 1", (size_t)restarts, 1, running_version(b));
    sim_device_run(d, LONG_MS);
  }
  check_equal(c, "restarts in a trial", 0, 3, restarts);
  check_at(c, "rolled back", aiot_kind_name(kind), 0,
           d->update.phase == AIOT_PHASE_ROLLED_BACK && strcmp(d->update.error.code, "AIOT_UPDATE_TRIAL") == 0);
  check_equal(c, "version 1 runs", 0, 1, running_version(b));
  const size_t requests = d->platform.requests;
  wish(b, "crash");
  check_equal(c, "it is not begun again", 0, (int64_t)requests, (int64_t)d->platform.requests);
  bench_close(b);
}

/* The broker restarts while its acknowledgement is waited for. */
static void test_broker(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  b->device.broker = false;
  b->device.broker_back_ms = b->device.uptime_ms + 50000;
  wish(b, "broker back");
  ends(b, "the broker comes back after 50 s", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  bench_close(b);
  b = bench_open(c, kind);
  b->device.broker = false;
  const uint64_t start = b->device.uptime_ms;
  wish(b, "broker gone");
  ends(b, "the broker stays away", to(b, 'R'), AIOT_PHASE_ROLLED_BACK, AIOT_UPDATE_HEARTBEAT, 1);
  check_at(c, "after 60 s", "", 0, b->device.uptime_ms - start >= 60000 && b->device.uptime_ms - start < 62000);
  bench_close(b);
}

/* Wishes that change while an update is under way. */
static void test_wishes(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  sim_device *d = &b->device;
  sim_device_desire(d, &b->v2, "taken back");
  aiot_update_step(&d->update);
  aiot_update_desire(&d->update, NULL);
  check_at(c, "a withdrawn download ends", "", 0, aiot_update_settled(&d->update) && d->update.phase == AIOT_PHASE_IDLE);
  check_at(c, "and lets go of the line", "", 0, d->line.user == NULL && d->platform.open == 0 && !d->update.has_rollout);

  /* Another wish of the same version ends a download and begins anew. */
  d->tick_ms = 50;
  sim_device_desire(d, &b->v2, "one");
  while (d->update.written == 0) aiot_update_step(&d->update);
  d->tick_ms = 0;
  sim_device_desire(d, &b->v2, "two");
  check_at(c, "a newer wish has its turn at once", "", 0, strcmp(d->update.rollout, "two") == 0 && d->update.written == 0);
  sim_device_run(d, LONG_MS);
  check_at(c, "and is committed", "", 0, strcmp(d->store.record.last.rollout, "two") == 0 && running_version(b) == 2);

  /* While a trial runs a wish waits; the last one counts, and one that is taken back is forgotten. */
  b->v1.sequence = 7;
  b->v1.version = 3;
  d->broker = false;
  sim_device_offer(d, &b->v1, &b->key, b->envelope, sizeof b->envelope);
  sim_device_desire(d, &b->v1, "three");
  sim_device_run(d, 5000);
  check_at(c, "it is on trial", "", 0, d->update.phase == AIOT_PHASE_TRIAL);
  sim_device_desire(d, &b->v2, "four");
  check_at(c, "a wish waits for the trial", "", 0, d->update.has_pending && d->update.phase == AIOT_PHASE_TRIAL);
  sim_device_desire(d, &b->v1, "three");
  check_at(c, "the same wish is the one on trial", "", 0, !d->update.has_pending);
  sim_device_desire(d, &b->v2, "four");
  aiot_update_desire(&d->update, NULL);
  check_at(c, "a wish taken back is forgotten", "", 0, !d->update.has_pending && d->update.phase == AIOT_PHASE_TRIAL);
  b->v2.sequence = 8;
  b->v2.version = 4;
  sim_device_offer(d, &b->v2, &b->key, b->envelope, sizeof b->envelope);
  sim_device_desire(d, &b->v2, "five");
  d->broker = true;
  sim_device_run(d, LONG_MS);
  check_at(c, "the trial ended well, and the wish had its turn", "", 0,
           strcmp(d->store.record.last.rollout, "five") == 0 && d->store.record.sequence == 8 && running_version(b) == 2);
  bench_close(b);
}

/* Slots that lost bits while the power was off. */
static void test_damaged(checks *c, aiot_kind kind) {
  if (kind == AIOT_KIND_FIRMWARE) return;
  bench *b = bench_open(c, kind);
  sim_device *d = &b->device;
  b->v2.floor = 6;
  offer_release(b, &b->v2);
  wish(b, "second");
  uint8_t *active = d->flash.memory + d->store.slot[1].offset, *other = d->flash.memory + d->store.slot[0].offset;
  active[77] ^= 1;
  sim_device_boot(d);
  check_at(c, "below the floor nothing runs", "", 0, d->active == AIOT_NO_SLOT && d->store.record.active == AIOT_NO_SLOT);
  bench_close(b);

  b = bench_open(c, kind);
  d = &b->device;
  b->v2.floor = 1;
  sim_device_offer(d, &b->v2, &b->key, b->envelope, sizeof b->envelope);
  wish(b, "second");
  active = d->flash.memory + d->store.slot[1].offset;
  other = d->flash.memory + d->store.slot[0].offset;
  active[77] ^= 1;
  sim_device_boot(d);
  check_equal(c, "a damaged version gives way to the one before", 0, 1, running_version(b));
  check_at(c, "sequence and floor do not fall", "", 0, d->store.record.sequence == 6 && d->store.record.floor == 3);
  other[78] ^= 1;
  sim_device_boot(d);
  check_at(c, "both damaged: nothing runs", "", 0, d->active == AIOT_NO_SLOT);
  bench_close(b);

  b = bench_open(c, kind);
  d = &b->device;
  d->broker = false;
  sim_device_desire(d, &b->v2, "on trial");
  sim_device_run(d, 5000);
  d->flash.memory[d->store.slot[1].offset + 5] ^= 4;
  d->broker = true;
  sim_device_boot(d);
  check_at(c, "a damaged slot on trial is rolled back", "", 0,
           d->update.phase == AIOT_PHASE_ROLLED_BACK && strcmp(d->update.error.code, "AIOT_DIGEST_MISMATCH") == 0);
  check_equal(c, "version 1 runs", 0, 1, running_version(b));
  bench_close(b);
}

/* A flash that fails is not written to any more, and nothing ends in a loop. */
static void test_dead(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  sim_device *d = &b->device;
  sim_device_desire(d, &b->v2, "dead");
  d->flash.cut_at = d->flash.writes + d->flash.erases + 3;
  sim_device_run(d, LONG_MS);
  check_at(c, "the update is dead", "", 0, d->update.dead && aiot_update_settled(&d->update) && d->line.user == NULL);
  aiot_update_desire(&d->update, NULL);
  check_at(c, "and does nothing", "", 0, !aiot_update_step(&d->update));
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
    test_network(&c, kind);
    test_resume(&c, kind);
    test_trial(&c, kind);
    test_crash(&c, kind);
    test_broker(&c, kind);
    test_wishes(&c, kind);
    test_damaged(&c, kind);
    test_dead(&c, kind);
  }
  return checks_end(&c);
}
