/*
 * Tests updates under difficult conditions: connections that break, brokers that disappear, devices that crash in a trial,
 * requests that change, slots that lose bits.
 */
#include <string.h>

#include "update_bench.h"

/* The connection breaks after every chunk in turn, and the download resumes there. */
static void test_network(checks *c, aiot_kind kind) {
  for (size_t after = 0; after <= BLOB_BYTES / 1460 + 1; after++) {
    bench *b = bench_open(c, kind);
    b->device.platform.breaks = 1;
    b->device.platform.break_after = after;
    b->device.platform.served = 0;
    wish(b, "broken once");
    ends(b, "the network broke once", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
    check_equal(c, "no byte was downloaded twice", after, (int64_t)(BLOB_BYTES + b->device.platform.manifest_bytes),
                (int64_t)b->device.platform.served);
    bench_close(b);
  }
  bench *b = bench_open(c, kind);
  /* Each attempt receives one chunk, so none counts as failed. */
  b->device.platform.breaks = 1000;
  b->device.platform.break_after = 1;
  wish(b, "broken behind each chunk");
  ends(b, "the network broke after each chunk", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
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
  ends(b, "six attempts without data", "DI", AIOT_PHASE_IDLE, AIOT_UPDATE_DOWNLOAD, 1);
  const uint64_t waited = b->device.uptime_ms - start;
  check_at(c, "after waits of 0.2 to 5 s", "ms", (size_t)waited, waited >= 6200 && waited < 7000);
  check_at(c, "downloaded data is kept", "", 0, b->device.store.record.download.slot == 1);
  b->device.platform.breaks = 0;
  b->device.platform.served = 0;
  wish(b, "taken up");
  ends(b, "another attempt resumes", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  check_at(c, "without the downloaded data", "from", (size_t)b->device.platform.last_from, b->device.platform.last_from == 0);
  bench_close(b);

  b = bench_open(c, kind);
  b->device.platform.unreachable = 5;
  wish(b, "not reached at first");
  ends(b, "the platform is unreachable five times", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  bench_close(b);

  b = bench_open(c, kind);
  b->device.platform.silent = true;
  wish(b, "silent");
  ends(b, "the platform is silent", "DI", AIOT_PHASE_IDLE, AIOT_UPDATE_DOWNLOAD, 1);
  bench_close(b);
}

/*
 * A platform that is never silent and never finishes. Without a limit, it could keep an update in progress for hours with single
 * bytes.
 */
static void test_drip(checks *c, aiot_kind kind) {
  static const char what[] = "mb";
  for (size_t i = 0; i < 2; i++) {
    bench *b = bench_open(c, kind);
    b->device.platform.drips = what[i];
    b->device.platform.drip_ms = 400;
    const uint64_t start = b->device.uptime_ms;
    wish(b, "dripped");
    ends(b, what[i] == 'm' ? "a manifest that trickles" : "a blob that trickles", "DI", AIOT_PHASE_IDLE, AIOT_UPDATE_DOWNLOAD, 1);
    const uint64_t waited = b->device.uptime_ms - start;
    check_at(c, "abandoned after a minute", "ms", (size_t)waited, waited >= 60000 && waited < 70000);
    b->device.platform.drips = 0;
    wish(b, "taken up");
    ends(b, "then a normal download", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
    bench_close(b);
  }
  /* A slow line is accepted: it receives 10,000 bytes a minute. */
  bench *b = bench_open(c, kind);
  b->device.platform.drips = 'b';
  b->device.platform.drip_ms = 6;
  wish(b, "slow");
  ends(b, "a slow connection", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  bench_close(b);

  /* There are as many connections as bytes. Each attempt receives one byte and counts as failed. */
  b = bench_open(c, kind);
  b->device.platform.drips = 'b';
  b->device.platform.drip_ms = 400;
  b->device.platform.breaks = SIZE_MAX;
  b->device.platform.break_after = 1;
  wish(b, "one byte each");
  ends(b, "one byte per connection", "DI", AIOT_PHASE_IDLE, AIOT_UPDATE_DOWNLOAD, 1);
  bench_close(b);
}

/* After a power cut during a download, data that is in the flash is not requested again, except for the last sector. */
static void test_resume(checks *c, aiot_kind kind, bool encrypted) {
  bench *b = encrypted ? bench_open_encrypted(c, kind) : bench_open(c, kind);
  sim_device *d = &b->device;
  d->tick_ms = 50;
  /* Not a whole number of the blocks that encrypted flash writes. */
  b->v2.bytes = BLOB_BYTES - 3;
  offer_release(b, &b->v2);
  sim_device_desire(d, &b->v2, "resumed");
  while (d->update.written < 3 * 4096 && !d->update.dead) aiot_update_step(&d->update);
  check_equal(c, "one piece of slow work per step", 0, 3 * 4096, d->update.written);
  d->tick_ms = 0;
  sim_device_boot(d);
  check_equal(c, "version 1 runs", 0, 1, running_version(b));
  d->platform.served = 0;
  wish(b, "resumed");
  ends(b, "resumed", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  check_equal(c, "it resumed", 0, 2 * 4096, (int64_t)d->platform.last_from);
  const uint8_t *stored = d->flash.memory + d->store.slot[d->update.slot].offset;
  check_equal(c, "the flash contains the release only if it is not encrypted", encrypted, !encrypted, memcmp(stored, b->second, b->v2.bytes) == 0);
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
    check_at(c, "the tried version is forgotten", "", 0, !b->device.store.record.slot[1].present);
    check_at(c, "the committed version is kept", "", 0, b->device.store.record.sequence == 5 && b->device.store.record.floor == 3);
    bench_close(b);
  }
}

/* The device crashes in its trial, exactly three times. */
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
  check_equal(c, "it is not started again", 0, (int64_t)requests, (int64_t)d->platform.requests);
  bench_close(b);
}

/* While a model with many vectors is on trial, the device also does other work. */
static void test_slow(checks *c) {
  bench *b = bench_open(c, AIOT_KIND_MODEL);
  sim_device *d = &b->device;
  b->second[0] = SIM_SLOW;
  offer_release(b, &b->v2);
  sim_device_desire(d, &b->v2, "slow");
  while (d->update.phase != AIOT_PHASE_TRIAL) {
    aiot_update_step(&d->update);
    d->uptime_ms += 10;
  }
  int turns = 0;
  while (d->pieces < SIM_PIECES && turns < 1000) {
    const int before = d->pieces;
    const uint64_t since = d->uptime_ms;
    check_at(c, "there is more work", "", (size_t)turns, aiot_update_step(&d->update));
    check_at(c, "one piece of 30 ms per turn", "", (size_t)turns++, d->pieces - before <= 1 && d->uptime_ms - since <= 30);
  }
  check_at(c, "one turn for each piece", "", (size_t)turns, turns >= SIM_PIECES - 1);
  sim_device_run(d, LONG_MS);
  check_at(c, "it is committed", "", 0, d->update.phase == AIOT_PHASE_COMMITTED && running_version(b) == 2);
  bench_close(b);
}

/* The broker restarts while the device waits for its acknowledgment. */
static void test_broker(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  b->device.broker = false;
  b->device.broker_back_ms = b->device.uptime_ms + 50000;
  wish(b, "broker back");
  ends(b, "the broker returns after 50 s", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  bench_close(b);
  b = bench_open(c, kind);
  b->device.broker = false;
  const uint64_t start = b->device.uptime_ms;
  wish(b, "broker gone");
  ends(b, "the broker stays offline", to(b, 'R'), AIOT_PHASE_ROLLED_BACK, AIOT_UPDATE_HEARTBEAT, 1);
  check_at(c, "after 60 s", "", 0, b->device.uptime_ms - start >= 60000 && b->device.uptime_ms - start < 62000);
  bench_close(b);
}

/* Requests that change during an update. */
static void test_wishes(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  sim_device *d = &b->device;
  sim_device_desire(d, &b->v2, "taken back");
  aiot_update_step(&d->update);
  aiot_update_desire(&d->update, NULL);
  check_at(c, "a withdrawn download ends", "", 0, aiot_update_settled(&d->update) && d->update.phase == AIOT_PHASE_IDLE);
  check_at(c, "the connection is released", "", 0, d->line.user == NULL && d->platform.open == 0 && !d->update.has_rollout);

  /* A new request for the same version ends the download and starts it again. */
  d->tick_ms = 50;
  sim_device_desire(d, &b->v2, "one");
  while (d->update.written == 0) aiot_update_step(&d->update);
  d->tick_ms = 0;
  sim_device_desire(d, &b->v2, "two");
  check_at(c, "a newer request starts immediately", "", 0, strcmp(d->update.rollout, "two") == 0 && d->update.written == 0);
  sim_device_run(d, LONG_MS);
  check_at(c, "it is committed", "", 0, strcmp(d->store.record.last.rollout, "two") == 0 && running_version(b) == 2);

  /* A request during a trial waits. Only the last one is carried out, and a withdrawn one is dropped. */
  b->v1.sequence = 7;
  b->v1.version = 3;
  d->broker = false;
  sim_device_offer(d, &b->v1, &b->key, b->envelope, sizeof b->envelope);
  sim_device_desire(d, &b->v1, "three");
  sim_device_run(d, 5000);
  check_at(c, "it is on trial", "", 0, d->update.phase == AIOT_PHASE_TRIAL);
  sim_device_desire(d, &b->v2, "four");
  check_at(c, "a request waits for the trial", "", 0, d->update.has_pending && d->update.phase == AIOT_PHASE_TRIAL);
  sim_device_desire(d, &b->v1, "three");
  check_at(c, "the same request is already on trial", "", 0, !d->update.has_pending);
  sim_device_desire(d, &b->v2, "four");
  aiot_update_desire(&d->update, NULL);
  check_at(c, "a withdrawn request is dropped", "", 0, !d->update.has_pending && d->update.phase == AIOT_PHASE_TRIAL);
  b->v2.sequence = 8;
  b->v2.version = 4;
  sim_device_offer(d, &b->v2, &b->key, b->envelope, sizeof b->envelope);
  sim_device_desire(d, &b->v2, "five");
  d->broker = true;
  sim_device_run(d, LONG_MS);
  check_at(c, "the trial succeeded, and the request followed", "", 0,
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
  check_at(c, "nothing below the floor runs", "", 0, d->active == AIOT_NO_SLOT && d->store.record.active == AIOT_NO_SLOT);
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
  check_equal(c, "a damaged version is replaced by the previous one", 0, 1, running_version(b));
  check_at(c, "sequence and floor never decrease", "", 0, d->store.record.sequence == 6 && d->store.record.floor == 3);
  other[78] ^= 1;
  sim_device_boot(d);
  check_at(c, "nothing runs if both are damaged", "", 0, d->active == AIOT_NO_SLOT);
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

/* A failed flash is not written again, and nothing loops endlessly. */
static void test_dead(checks *c, aiot_kind kind) {
  bench *b = bench_open(c, kind);
  sim_device *d = &b->device;
  sim_device_desire(d, &b->v2, "dead");
  d->flash.cut_at = d->flash.writes + d->flash.erases + 3;
  sim_device_run(d, LONG_MS);
  check_at(c, "the update has failed", "", 0, d->update.dead && aiot_update_settled(&d->update) && d->line.user == NULL);
  aiot_update_desire(&d->update, NULL);
  check_at(c, "it does nothing", "", 0, !aiot_update_step(&d->update));
  bench_close(b);
}

/* A commit raises the secure version, which survives a restart; an earlier program is then refused. */
static void test_secure_version(checks *c) {
  bench *b = bench_open(c, AIOT_KIND_FIRMWARE);
  sim_device *d = &b->device;
  b->v2.more = "\"secureVersion\":4,";
  b->second[0] = SIM_BAD;
  offer_release(b, &b->v2);
  wish(b, "fails");
  ends(b, "a program that fails its trial", to(b, 'R'), AIOT_PHASE_ROLLED_BACK, AIOT_UPDATE_TRIAL, 1);
  check_equal(c, "a failed trial does not raise it", 0, 0, d->store.record.secure_version);
  b->second[0] = 0;
  offer_release(b, &b->v2);
  wish(b, "raises");
  ends(b, "a program of secure version 4", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  check_at(c, "restarts", "", 0, sim_device_boot(d));
  check_equal(c, "the committed secure version", 0, 4, d->store.record.secure_version);
  const release second = b->v2;
  b->v2.version = 3;
  b->v2.sequence = 7;
  b->v2.more = "\"secureVersion\":3,";
  offer_release(b, &b->v2);
  wish(b, "lower");
  check_at(c, "a lower one is refused", d->update.error.code, 0,
           d->update.phase == AIOT_PHASE_IDLE && strcmp(d->update.error.code, "AIOT_UPDATE_SECURE_VERSION") == 0);
  check_equal(c, "the program is kept", 0, second.sequence, d->store.record.sequence);
  bench_close(b);
}

int main(void) {
  checks c = {0};
  for (aiot_kind kind = AIOT_KIND_MODEL; kind <= AIOT_KIND_CONFIG; kind++) {
    test_network(&c, kind);
    test_drip(&c, kind);
    test_resume(&c, kind, false);
    test_resume(&c, kind, true);
    test_trial(&c, kind);
    test_crash(&c, kind);
    test_broker(&c, kind);
    test_wishes(&c, kind);
    test_damaged(&c, kind);
    test_dead(&c, kind);
  }
  test_secure_version(&c);
  test_slow(&c);
  return checks_end(&c);
}
