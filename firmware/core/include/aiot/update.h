/*
 * Updates that cannot brick: the state machine of docs/protocol.md, "Update", the same as src/lib/device/update. One `aiot_update` for each kind
 * (model, firmware, configuration), each with a store of its own.
 *
 *   aiot_update_boot(&update, &setup);               after the store was opened
 *   aiot_update_desire(&update, &desired);           when `desired` came, NULL when it was taken back
 *   while (aiot_update_step(&update)) continue;      in the loop
 *
 * Whatever happens: the active slot was verified and has passed its trial, what never may fall does not, and a power cut at any byte
 * leaves a device that boots with the version before or with the new one.
 */
#ifndef AIOT_UPDATE_H
#define AIOT_UPDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aiot/manifest.h"
#include "aiot/ports.h"
#include "aiot/store.h"
#include "aiot/trust.h"

struct aiot_update;

/* RUNS: it waits for something. WORKS: there is more to do at once. */
typedef enum { AIOT_TRIAL_RUNS, AIOT_TRIAL_WORKS, AIOT_TRIAL_PASSED, AIOT_TRIAL_FAILED } aiot_trial_state;

/*
 * How a version of one kind is tried and put to use. Model: golden vectors, where they lie. Firmware: a restart into the slot, then its
 * self-test. Configuration: parsed, then used for a connection. The heartbeat comes after it, of itself.
 */
typedef struct {
  void *context;
  /*
   * The slot whose firmware runs, AIOT_NO_SLOT for one that lies elsewhere (a factory partition). NULL where nothing has to be restarted: models
   * and configurations. With it, `begin` of a slot that does not run restarts the device into it. Any restart that follows must lead
   * back into the active slot by itself unless that trial was committed (on an ESP32, the bootloader's rollback).
   */
  int (*running)(void *context);
  /* The trial begins; it was counted. `content` is what the slot holds. */
  void (*begin)(void *context, int slot, const aiot_content *content);
  /*
   * How it goes; one bounded piece of work. Where there are golden vectors, `vectors` and `passed` count them: a model needs at least one and all
   * of them. FAILED with `error` set.
   */
  aiot_trial_state (*step)(void *context, uint32_t *vectors, uint32_t *passed, aiot_error *error);
  /* It was given up. What was active stays so; firmware that runs from the slot restarts the device into `active`. */
  void (*abandon)(void *context, int slot, int active);
  /* Use this slot's content from now on: at boot, and when its trial was committed. Firmware that is not running restarts into it. */
  void (*activate)(void *context, int slot, const aiot_content *content);
  /*
   * Firmware: the program of `slot` should run, and another one does, in its place or elsewhere. True = because somebody put it there by cable; false =
   * because the boot loader left the slot. What came by cable is adopted. NULL = never.
   */
  bool (*by_cable)(void *context, int slot);
} aiot_trial;

typedef struct {
  aiot_kind kind;
  aiot_traits traits;
  aiot_store *store;
  const aiot_clock *clock;
  const aiot_crypto *crypto;
  /* NULL = the device trusts nobody yet, and takes nothing. */
  const aiot_trust *trust;
  /* Keeps that trust up to date, for all kinds; NULL = it stays as it is. */
  aiot_keeper *keeper;
  aiot_line *line;
  const aiot_trial *trial;
  void *context;
  /* The state changed: what `reported` tells of is in the update. */
  void (*report)(void *context, const struct aiot_update *update);
  /* Sends `reported` with QoS 1, again after each loss of the connection, until it is acknowledged. */
  void (*heartbeat)(void *context, const struct aiot_update *update);
  /* Whether one sent since the last `heartbeat` was acknowledged. */
  bool (*acknowledged)(void *context);
} aiot_update_setup;

/* What is being done in a phase. */
typedef enum {
  AIOT_DOES_NOTHING,
  AIOT_DOES_WAIT_FOR_LINE,
  AIOT_DOES_KEEP_TRUST,
  AIOT_DOES_READ_MANIFEST,
  AIOT_DOES_CHECK_SIGNATURES,
  AIOT_DOES_ERASE,
  AIOT_DOES_FIND_END,
  AIOT_DOES_ASK_BLOB,
  AIOT_DOES_READ_BLOB,
  AIOT_DOES_HASH,
  AIOT_DOES_BEGIN_TRIAL,
  AIOT_DOES_TRIAL,
  AIOT_DOES_HEARTBEAT
} aiot_activity;

typedef struct aiot_update {
  aiot_update_setup setup;

  /* What `reported` tells; the record is in the store. `has_*` false = null. */
  aiot_phase phase;
  bool has_rollout;
  char rollout[AIOT_ROLLOUT_BYTES];
  bool has_download;
  int64_t download_bytes;
  int64_t download_total;
  /* Where a delta was offered: why the whole was downloaded instead, AIOT_OK where it was not. */
  bool has_delta;
  aiot_code delta_code;
  const char *delta_message;
  bool has_golden;
  uint32_t golden_vectors;
  uint32_t golden_passed;
  aiot_error error;
  /* The flash failed: nothing is done until the device boots again. */
  bool dead;

  /* The one update that is under way. */
  bool has_job;
  /* Of one that was found in the flash after a restart, neither is known. */
  aiot_desired desired;
  aiot_manifest manifest;
  char job_rollout[AIOT_ROLLOUT_BYTES];
  int8_t slot;
  /* It is made by a patch, whose decoder is in the line's memory. */
  bool by_delta;
  /* Came while a trial ran; its turn is after it. */
  bool has_pending;
  aiot_desired pending;

  aiot_activity activity;
  /* Attempts in a row that brought nothing, and when the next one may begin. */
  uint32_t failures;
  uint64_t not_before_ms;
  /* Of the silence of the platform, or of the heartbeat. */
  uint64_t since_ms;
  /* How fast the blob arrives: start of the measurement, bytes since then, and bytes of this attempt. */
  uint64_t pace_ms;
  uint32_t pace_bytes;
  uint32_t attempt_bytes;
  aiot_document document;
  aiot_envelope envelope;
  /* Sector that is next, and bytes that are in the slot; those behind them wait in the store's scratch memory. */
  uint32_t sector;
  uint32_t written;
  uint32_t waiting;
  uint64_t hash[AIOT_SHA256_STATE_BYTES / 8];
} aiot_update;

/*
 * Begins from what the store's record says: reads both slots back (which takes as long as their digests do), puts the active one to use, goes on
 * with a trial. False = the flash failed.
 */
bool aiot_update_boot(aiot_update *update, const aiot_update_setup *setup);

/* The platform's wish; NULL = taken back. A rollout that has ended here is only reported again. Of another kind than this update's: ignored. */
void aiot_update_desire(aiot_update *update, const aiot_desired *desired);

/* Does one bounded piece of work, no longer than 50 ms but for one signature or one sector's erase. True = there is more to do at once. */
bool aiot_update_step(aiot_update *update);

/* Whether no update is under way. */
bool aiot_update_settled(const aiot_update *update);

#endif
