/*
 * Tests that a program flashed by cable after an update over the air is adopted, and that the next update over the air is
 * accepted as usual.
 */
#include <string.h>

#include "update_bench.h"

static uint8_t cabled[BLOB_BYTES + 500];

/* Opens a bench on which version 2 is committed in slot 1, and version 1 is in slot 0. */
static bench *second_runs(checks *c) {
  bench *b = bench_open(c, AIOT_KIND_FIRMWARE);
  wish(b, "second");
  ends(b, "version 2 is committed", to(b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  check_equal(c, "in slot 1", 0, 1, b->device.running);
  return b;
}

/* Erases, writes and selects the slot, as esptool does. */
static void flash_by_cable(bench *b, int slot) {
  sim_device *d = &b->device;
  const aiot_part *part = &d->store.slot[slot];
  for (size_t i = 0; i < sizeof cabled; i++) cabled[i] = (uint8_t)(i * 29 + 1);
  cabled[0] = SIM_GOOD;
  memset(d->flash.memory + part->offset, 0xff, part->bytes);
  memcpy(d->flash.memory + part->offset, cabled, sizeof cabled);
  d->running = slot;
  d->cable = true;
}

static bool cable_runs(const bench *b, int slot) {
  const sim_device *d = &b->device;
  const aiot_record *r = &d->store.record;
  return d->running == slot && d->restart_into == AIOT_NO_SLOT - 1 && r->active == AIOT_NO_SLOT && !r->slot[slot].present &&
         r->sequence == 6 && r->floor == 4 && r->trial.slot == AIOT_NO_SLOT && aiot_update_settled(&d->update);
}

/* Checks that the next update over the air is written to the other slot and committed. */
static void next_is_taken(bench *b, int runs) {
  sim_device *d = &b->device;
  b->v1.version = 3;
  b->v1.sequence = 7;
  offer_release(b, &b->v1);
  memset(d->trace, 0, sizeof d->trace);
  sim_device_desire(d, &b->v1, "next");
  sim_device_run(d, LONG_MS);
  check_at(b->c, "the next update is committed", d->trace, 0, d->update.phase == AIOT_PHASE_COMMITTED && d->store.record.sequence == 7);
  check_equal(b->c, "in the other slot", 0, 1 - runs, d->running);
}

static void test_adopted(checks *c) {
  for (int slot = 0; slot < 2; slot++) {
    bench *b = second_runs(c);
    flash_by_cable(b, slot);
    for (size_t boots = 0; boots < 3; boots++) {
      check_at(c, "it boots", "boot", boots, sim_device_boot(&b->device));
      check_at(c, "the program flashed by cable runs", "boot", boots, cable_runs(b, slot));
      sim_device_run(&b->device, LONG_MS);
    }
    /* The committed release is offered again. It is rejected, because the sequence must not decrease. */
    wish(b, "again");
    check_at(c, "the previous release is rejected without a newer sequence", "", 0, strcmp(b->device.update.error.code, "AIOT_UPDATE_SEQUENCE") == 0);
    next_is_taken(b, slot);
    bench_close(b);
  }
}

/* The power is cut while the device records the adoption. */
static void test_cut(checks *c) {
  uint32_t cuts = 0;
  for (uint32_t at = 1; at <= 2; at++) {
    for (sim_torn torn = SIM_TORN_BEFORE; torn < SIM_TORN_WAYS; torn++, cuts++) {
      bench *b = second_runs(c);
      flash_by_cable(b, 0);
      sim_flash_power_on(&b->device.flash);
      aiot_store_open_flash(&b->device.store, &b->device.releases, b->device.setup.crypto, b->device.scratch);
      b->device.flash.cut_at = at;
      b->device.flash.torn = torn;
      aiot_update_boot(&b->device.update, &b->device.setup);
      check_at(c, "the power was cut", "", at, b->device.flash.off);
      check_at(c, "it boots, and the program flashed by cable runs", "operation", at * 10 + torn, sim_device_boot(&b->device) && cable_runs(b, 0));
      next_is_taken(b, 0);
      bench_close(b);
    }
  }
  printf("%u cuts tried while a program is adopted\n", cuts);
}

/* The older version, which is still intact, is selected by cable. */
static void test_chosen(checks *c) {
  bench *b = second_runs(c);
  b->device.running = 0;
  b->device.cable = true;
  check_at(c, "it boots", "", 0, sim_device_boot(&b->device));
  check_at(c, "version 1 is active", "", 0, running_version(b) == 1 && b->device.store.record.active == 0);
  next_is_taken(b, 0);
  bench_close(b);
}

/*
 * A slot that the bootloader abandoned is not dropped. This happens, for example, after a power cut between a commit and the
 * chip's own record of it.
 */
static void test_left(checks *c) {
  bench *b = second_runs(c);
  b->device.running = 0;
  b->device.cable = b->device.left = true;
  check_at(c, "it boots", "", 0, sim_device_boot(&b->device));
  check_equal(c, "it restarts", 0, 1, b->device.restart_into);
  b->device.running = 1;
  b->device.cable = false;
  check_at(c, "it boots again", "", 0, sim_device_boot(&b->device));
  check_at(c, "it restarts into the committed version", "", 0, b->device.running == 1 && running_version(b) == 2);
  bench_close(b);
}

/* A program is flashed by cable while another is on trial, into the slot of the trial or the other one. */
static void test_on_trial(checks *c) {
  for (int slot = 0; slot < 2; slot++) {
    bench *b = second_runs(c);
    sim_device *d = &b->device;
    b->v1.version = 3;
    b->v1.sequence = 7;
    offer_release(b, &b->v1);
    d->broker = false;
    sim_device_desire(d, &b->v1, "third");
    sim_device_run(d, 5000);
    check_at(c, "it is on trial", "", 0, d->update.phase == AIOT_PHASE_TRIAL && d->running == 0);
    d->broker = true;
    flash_by_cable(b, slot);
    check_at(c, "it boots", "", 0, sim_device_boot(d));
    check_at(c, "the program flashed by cable runs", "slot", (size_t)slot, cable_runs(b, slot));
    check_at(c, "the trial was abandoned", "", 0,
             d->update.phase == AIOT_PHASE_ROLLED_BACK && strcmp(d->update.error.code, "AIOT_UPDATE_TRIAL") == 0 &&
                 strcmp(d->store.record.last.rollout, "third") == 0);
    next_is_taken(b, slot);
    bench_close(b);
  }
}

int main(void) {
  checks c = {0};
  test_adopted(&c);
  test_cut(&c);
  test_chosen(&c);
  test_left(&c);
  test_on_trial(&c);
  return checks_end(&c);
}
