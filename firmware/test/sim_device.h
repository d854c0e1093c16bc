/*
 * A device around an update, for tests, with simulated flash, clock, platform and broker. Each kind has a trial whose behavior
 * depends on the version's first byte.
 */
#ifndef AIOT_SIM_DEVICE_H
#define AIOT_SIM_DEVICE_H

#include "aiot/update.h"
#include "release.h"
#include "sim_flash.h"
#include "aiot/trust.h"

/* First byte of a version. It determines the behavior of the trial. */
enum {
  SIM_GOOD = 'G',
  /* A golden vector differs, the self-test fails, the configuration is invalid. */
  SIM_BAD = 'B',
  /* There are no golden vectors. */
  SIM_EMPTY = 'E',
  /* The power is cut during its trial. */
  SIM_CRASH = 'C',
  /* The broker is unreachable while it runs. */
  SIM_DEAF = 'D',
  /* The trial takes SIM_PIECES pieces of work of 30 ms each. */
  SIM_SLOW = 'S'
};

#define SIM_PIECES 7
#define SIM_TRACE 128
#define SIM_ENVELOPE_BYTES 16384
#define SIM_TYPE "virtual"
/* Sectors after the slots, for the trust state. */
#define SIM_TRUST_SECTORS 2
#define SIM_ROOTS 8

typedef struct {
  /* Content that the platform serves. */
  const void *manifest;
  size_t manifest_bytes;
  const uint8_t *blob;
  size_t blob_bytes;
  /* A patch that is offered as an alternative; NULL = none. */
  const uint8_t *patch;
  size_t patch_bytes;
  /* Roots 2, 3 … and the timestamp, as envelopes; NULL = none. */
  const char *roots[SIM_ROOTS];
  const char *timestamp;
  /*
   * Number of bytes per read, and number of bytes after which the first `breaks` requests for the blob lose their connection (0 =
   * never).
   */
  size_t chunk;
  size_t break_after;
  size_t breaks;
  /* Number of requests that fail, number of requests that are refused, and whether reads return nothing. */
  size_t unreachable;
  size_t refused;
  bool silent;
  /* Document that is followed by endless extra bytes: 'm' the manifest, 'b' the blob. */
  char endless;
  /* Data that is sent byte by byte ('m' documents, 'b' the blob or patch), and the delay per byte in ms. */
  char drips;
  uint64_t drip_ms;
  /* Number of bytes after which the blob ends; 0 = it ends normally. */
  size_t truncate;

  /* The open request: 0 = none, 'm' the manifest, 'b' the blob, 'p' the patch, 'r' a root, 't' the timestamp. */
  char open;
  const void *document;
  size_t document_bytes;
  uint64_t at;
  size_t reads;
  /* Total number of requests. */
  size_t requests;
  size_t blob_requests;
  size_t patch_requests;
  size_t trust_requests;
  uint64_t served;
  uint64_t last_from;
} sim_platform;

typedef struct {
  sim_flash flash;
  /* The part of the flash that the store uses. */
  aiot_flash releases;
  /* Whether the device follows roots and timestamps. */
  bool keeps;
  aiot_keeper keeper;
  sim_platform platform;
  aiot_store store;
  aiot_update update;
  aiot_line line;
  aiot_update_setup setup;
  aiot_trial trial;
  aiot_clock clock;
  aiot_http http;
  uint64_t uptime_ms;
  /* Time that each reading of the clock takes. */
  uint64_t tick_ms;
  /* Time of the device's clock; -1 = it was never set. */
  int64_t now_ms;
  /* Whether the broker acknowledges messages. If not, the delay in ms until it does (0 = never). */
  bool broker;
  uint64_t broker_back_ms;
  bool heartbeat_sent;
  /* The active slot, and the slot from which the firmware runs. */
  int active;
  int running;
  /* Whether a program was flashed into `running` by cable and selected. It boots until an update selects another one. */
  bool cable;
  /* Whether, instead, the bootloader abandoned the slot that should have booted. */
  bool left;
  int pieces;
  /* Slot into which firmware requested a restart; AIOT_NO_SLOT - 1 = none. */
  int restart_into;
  int activations;
  int abandoned;
  /* Reported phases, one letter each: I D V S T C R. */
  char trace[SIM_TRACE];
  /* Whether a report contained an error although nothing had failed yet. */
  bool told_early;
  uint8_t scratch[AIOT_SECTOR_BYTES];
  char envelope[SIM_ENVELOPE_BYTES];
} sim_device;

/* Opens a device with an erased flash. */
void sim_device_open(sim_device *device, aiot_kind kind, uint32_t slot_sectors, const aiot_trust *trust);
void sim_device_close(sim_device *device);

/*
 * Powers the device on. The firmware that the bootloader selects boots, the store is opened, and the update continues. False =
 * the flash failed.
 */
bool sim_device_boot(sim_device *device);

/* Sets the platform's content, and requests the release from the device. `rollout` is the name of the request. */
void sim_device_offer(sim_device *device, const release *r, const signing_key *key, char *envelope, size_t room);
void sim_device_desire(sim_device *device, const release *r, const char *rollout);
/* Like sim_device_desire, with a patch for devices that run `base`. */
void sim_device_desire_delta(sim_device *device, const release *r, const release *base, const char *rollout);

/*
 * Runs steps until the update has settled, the flash has failed, or this many ms have passed. Restarts that the firmware requests
 * are carried out.
 */
void sim_device_run(sim_device *device, uint64_t ms);

/* The active version, identified by its content: its index in `known`, -1 for none, -2 for a mix. */
int sim_device_runs(sim_device *device, const release *known, size_t count);

#endif
