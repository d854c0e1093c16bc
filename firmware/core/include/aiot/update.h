/*
 * Updates that cannot brick a device: the state machine of docs/reference/protocol.md, "Update", the same as src/lib/device/update. One
 * `aiot_update` for each kind (model, firmware, configuration), each with a store of its own.
 *
 *   aiot_update_boot(&update, &setup);               after the store was opened
 *   aiot_update_desire(&update, &desired);           on each `desired`, NULL if it was withdrawn
 *   while (aiot_update_step(&update)) continue;      in the loop
 *
 * Invariants: the active slot was verified and has passed its trial. Sequences and floors never decrease. After a power cut at any byte,
 * the device boots with either the previous version or the new one.
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

/* RUNS: the trial waits for something. WORKS: more can be done at once. */
typedef enum { AIOT_TRIAL_RUNS, AIOT_TRIAL_WORKS, AIOT_TRIAL_PASSED, AIOT_TRIAL_FAILED } aiot_trial_state;

/*
 * How a version of one kind is tried and activated. Model: golden vectors, in place. Firmware: a restart into the slot, then its self-test.
 * Configuration: it is parsed, then used for a connection. The update itself then waits for the heartbeat.
 */
typedef struct {
  void *context;
  /*
   * Returns the slot whose firmware is running; AIOT_NO_SLOT if it is elsewhere (a factory partition). NULL for models and configurations,
   * which need no restart. Otherwise, `begin` restarts the device into the slot unless it is already running. Until that trial is
   * committed, any later restart must return to the active slot automatically (on an ESP32, the bootloader's rollback).
   */
  int (*running)(void *context);
  /* Starts the trial, which has already been counted in flash. `content` describes the slot's content. */
  void (*begin)(void *context, int slot, const aiot_content *content);
  /*
   * Performs one bounded piece of the trial's work. `vectors` and `passed` count golden vectors, if there are any; a model needs
   * at least one, and all must pass. On FAILED, `error` is set.
   */
  aiot_trial_state (*step)(void *context, uint32_t *vectors, uint32_t *passed, aiot_error *error);
  /* Ends a failed trial. The active version stays active. If firmware runs from the slot, the device restarts into `active`. */
  void (*abandon)(void *context, int slot, int active);
  /* Activates this slot's content, at boot and after its trial was committed. Restarts into firmware that is not running. */
  void (*activate)(void *context, int slot, const aiot_content *content);
  /*
   * For firmware: called if a program other than the expected one is running, in `slot` or elsewhere. True = it was flashed by
   * cable, and is adopted; false = the bootloader abandoned the slot. NULL = the board is never flashed by cable.
   */
  bool (*by_cable)(void *context, int slot);
} aiot_trial;

typedef struct {
  aiot_kind kind;
  aiot_traits traits;
  aiot_store *store;
  const aiot_clock *clock;
  const aiot_crypto *crypto;
  /* Keys that the device trusts; NULL = none yet, so no update is accepted. */
  const aiot_trust *trust;
  /* Keeps those keys up to date, for all kinds; NULL = they stay unchanged. */
  aiot_keeper *keeper;
  aiot_line *line;
  const aiot_trial *trial;
  void *context;
  /* Called when the state has changed. The update contains the data of `reported`. */
  void (*report)(void *context, const struct aiot_update *update);
  /* Sends `reported` with QoS 1, and sends it again after each lost connection until it is acknowledged. */
  void (*heartbeat)(void *context, const struct aiot_update *update);
  /* Whether a report sent since the last `heartbeat` was acknowledged. */
  bool (*acknowledged)(void *context);
} aiot_update_setup;

/* Current activity of an update within a phase. */
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

  /* The data of `reported`, apart from the record in the store. `has_*` false = null. */
  aiot_phase phase;
  bool has_rollout;
  char rollout[AIOT_ROLLOUT_BYTES];
  bool has_download;
  int64_t download_bytes;
  int64_t download_total;
  /* If a delta was offered: the reason why the whole artifact is downloaded instead; AIOT_OK if the delta is used. */
  bool has_delta;
  aiot_code delta_code;
  const char *delta_message;
  bool has_golden;
  uint32_t golden_vectors;
  uint32_t golden_passed;
  aiot_error error;
  /* Whether the flash failed. No further work is done until the device reboots. */
  bool dead;

  /* The update in progress. */
  bool has_job;
  /* The job's desired release. It is unknown if the job was found in the flash after a restart. */
  aiot_desired desired;
  aiot_manifest manifest;
  char job_rollout[AIOT_ROLLOUT_BYTES];
  int8_t slot;
  /* Whether the slot is built from a patch, whose decoder is in the line's memory. */
  bool by_delta;
  /* A desired release that was received during a trial. It is handled after the trial. */
  bool has_pending;
  aiot_desired pending;

  aiot_activity activity;
  /* Number of consecutive attempts without progress, and the time of the next attempt. */
  uint32_t failures;
  uint64_t not_before_ms;
  /* Time by which the platform's response, or the heartbeat's acknowledgment, must arrive. */
  uint64_t since_ms;
  /* Download speed: start of the measurement, bytes since then, and bytes in this attempt. */
  uint64_t pace_ms;
  uint32_t pace_bytes;
  uint32_t attempt_bytes;
  aiot_document document;
  aiot_envelope envelope;
  /* The next sector, and the number of bytes in the slot. Later bytes wait in the store's scratch memory. */
  uint32_t sector;
  uint32_t written;
  uint32_t waiting;
  uint64_t hash[AIOT_SHA256_STATE_BYTES / 8];
} aiot_update;

/*
 * Starts from the store's record: reads both slots back (which takes as long as hashing them), activates the active slot, and
 * continues a trial. False = the flash failed.
 */
bool aiot_update_boot(aiot_update *update, const aiot_update_setup *setup);

/*
 * Sets the platform's desired release; NULL = withdrawn. If its rollout has already ended on this device, the result is only reported
 * again. A release of another kind is ignored.
 */
void aiot_update_desire(aiot_update *update, const aiot_desired *desired);

/*
 * Performs one bounded piece of work. It takes at most 50 ms, apart from one signature or the erase of one sector. True = more
 * can be done at once.
 */
bool aiot_update_step(aiot_update *update);

/* Whether no update is in progress. */
bool aiot_update_settled(const aiot_update *update);

#endif
