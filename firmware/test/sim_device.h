/*
 * A device around an update, for tests: simulated flash, clock, platform and broker. For each kind there is a trial that depends on the
 * version's first byte.
 */
#ifndef AIOT_SIM_DEVICE_H
#define AIOT_SIM_DEVICE_H

#include "aiot/update.h"
#include "release.h"
#include "sim_flash.h"
#include "aiot/trust.h"

/* First byte of a version: the behavior of its trial. */
enum {
  SIM_GOOD = 'G',
  /* A golden vector differs, the self-test fails, the configuration is invalid. */
  SIM_BAD = 'B',
  /* No golden vector. */
  SIM_EMPTY = 'E',
  /* Power cut in its trial. */
  SIM_CRASH = 'C',
  /* The broker is unreachable with it. */
  SIM_DEAF = 'D',
  /* Its trial takes SIM_PIECES pieces of work, of 30 ms each. */
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
  /* Content of the platform. */
  const void *manifest;
  size_t manifest_bytes;
  const uint8_t *blob;
  size_t blob_bytes;
  /* A patch offered as an alternative; NULL = none. */
  const uint8_t *patch;
  size_t patch_bytes;
  /* Roots 2, 3 …, as envelopes, and the timestamp; NULL = none. */
  const char *roots[SIM_ROOTS];
  const char *timestamp;
  /* Bytes per read; the connection breaks after this many bytes (0 = never) in each of the first `breaks` requests for the blob. */
  size_t chunk;
  size_t break_after;
  size_t breaks;
  /* This many requests fail, and reads return nothing. */
  size_t unreachable;
  size_t refused;
  bool silent;
  /* Endless bytes after the end: 'm' of the manifest, 'b' of the blob. */
  char endless;
  /* 'm' = documents, 'b' = the blob or patch: byte by byte, each after this many ms. */
  char drips;
  uint64_t drip_ms;
  /* Ends after this many bytes of the blob; 0 = all. */
  size_t truncate;

  /* The open request: 0 = none, 'm', 'b', 'p' (the patch), 'r' (a root), 't' (the timestamp). */
  char open;
  const void *document;
  size_t document_bytes;
  uint64_t at;
  size_t reads;
  /* In total. */
  size_t requests;
  size_t blob_requests;
  size_t patch_requests;
  size_t trust_requests;
  uint64_t served;
  uint64_t last_from;
} sim_platform;

typedef struct {
  sim_flash flash;
  /* The store's part of it. */
  aiot_flash releases;
  /* Whether it follows roots and timestamps. */
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
  /* Time per read of the clock. */
  uint64_t tick_ms;
  /* -1 = never set. */
  int64_t now_ms;
  /* Whether the broker acknowledges; if not, after how many ms it returns (0 = never). */
  bool broker;
  uint64_t broker_back_ms;
  bool heartbeat_sent;
  /* The active slot, and the one that firmware runs from. */
  int active;
  int running;
  /* A program was flashed into `running` by cable and selected: it boots until an update selects another. */
  bool cable;
  /* Not by cable: the boot loader abandoned the slot that should have booted. */
  bool left;
  int pieces;
  /* Firmware asked for a restart into this slot; AIOT_NO_SLOT - 1 = none. */
  int restart_into;
  int activations;
  int abandoned;
  /* Reported phases, one letter each: I D V S T C R. */
  char trace[SIM_TRACE];
  /* A report contained an error although nothing had failed yet. */
  bool told_early;
  uint8_t scratch[AIOT_SECTOR_BYTES];
  char envelope[SIM_ENVELOPE_BYTES];
} sim_device;

/* A device with an erased flash. */
void sim_device_open(sim_device *device, aiot_kind kind, uint32_t slot_sectors, const aiot_trust *trust);
void sim_device_close(sim_device *device);

/* Power on: firmware boots as selected by a bootloader, the store is opened, the update continues. False = the flash failed. */
bool sim_device_boot(sim_device *device);

/* The platform's content from now on, which the device should run; `rollout` names the request. */
void sim_device_offer(sim_device *device, const release *r, const signing_key *key, char *envelope, size_t room);
void sim_device_desire(sim_device *device, const release *r, const char *rollout);
/* The same with the platform's patch, for devices that run `base`. */
void sim_device_desire_delta(sim_device *device, const release *r, const release *base, const char *rollout);

/* Runs steps until the update has settled, the flash failed, or this many ms have passed; follows restarts of firmware. */
void sim_device_run(sim_device *device, uint64_t ms);

/* The active version, verified by content: index in `known`, or -1 for none, -2 for a mix. */
int sim_device_runs(sim_device *device, const release *known, size_t count);

#endif
