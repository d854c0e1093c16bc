/*
 * A device around an update, for tests: simulated flash, clock, platform and broker, and for each kind a trial that does what the version's first
 * byte says.
 */
#ifndef AIOT_SIM_DEVICE_H
#define AIOT_SIM_DEVICE_H

#include "aiot/update.h"
#include "release.h"
#include "sim_flash.h"
#include "aiot/trust.h"

/* First byte of a version: what it does when it is tried. */
enum {
  SIM_GOOD = 'G',
  /* A golden vector differs, the self-test fails, the configuration is none. */
  SIM_BAD = 'B',
  /* No golden vector. */
  SIM_EMPTY = 'E',
  /* The power goes in its trial. */
  SIM_CRASH = 'C',
  /* The broker is not reached with it. */
  SIM_DEAF = 'D',
  /* Its trial takes SIM_PIECES pieces of work, of 30 ms each. */
  SIM_SLOW = 'S'
};

#define SIM_PIECES 7
#define SIM_TRACE 128
#define SIM_ENVELOPE_BYTES 16384
#define SIM_TYPE "virtual"
/* Sectors behind the slots, for what is kept of trust. */
#define SIM_TRUST_SECTORS 2
#define SIM_ROOTS 8

typedef struct {
  /* What the platform holds. */
  const void *manifest;
  size_t manifest_bytes;
  const uint8_t *blob;
  size_t blob_bytes;
  /* A patch that is offered beside it; NULL = none. */
  const uint8_t *patch;
  size_t patch_bytes;
  /* Roots 2, 3 …, as envelopes, and the timestamp; NULL = there is none. */
  const char *roots[SIM_ROOTS];
  const char *timestamp;
  /* Bytes of one read; the connection breaks after so many of them (0 = never) in each of the first `breaks` requests for the blob. */
  size_t chunk;
  size_t break_after;
  size_t breaks;
  /* As many requests fail, and reads say nothing. */
  size_t unreachable;
  size_t refused;
  bool silent;
  /* Bytes for ever behind the end: 'm' of the manifest, 'b' of the blob. */
  char endless;
  /* 'm' = documents, 'b' = the blob or patch: byte after byte, each after so many ms. */
  char drips;
  uint64_t drip_ms;
  /* Ends after so many bytes of the blob; 0 = all. */
  size_t truncate;

  /* The request that is open: 0 = none, 'm', 'b', 'p' (the patch), 'r' (a root), 't' (the timestamp). */
  char open;
  const void *document;
  size_t document_bytes;
  uint64_t at;
  size_t reads;
  /* Of all time. */
  size_t requests;
  size_t blob_requests;
  size_t patch_requests;
  size_t trust_requests;
  uint64_t served;
  uint64_t last_from;
} sim_platform;

typedef struct {
  sim_flash flash;
  /* The part of it that is the store's. */
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
  /* What each look at the clock takes. */
  uint64_t tick_ms;
  /* -1 = never set. */
  int64_t now_ms;
  /* Whether the broker acknowledges; and in how many ms it comes back where it does not (0 = never). */
  bool broker;
  uint64_t broker_back_ms;
  bool heartbeat_sent;
  /* Slot that is in use, and the one that firmware runs from. */
  int active;
  int running;
  /* Somebody put a program into `running` by cable and chose it: it is what boots, until an update chooses another. */
  bool cable;
  /* It is not cable: the boot loader left what it should have booted. */
  bool left;
  int pieces;
  /* Firmware asked for a restart into this slot; AIOT_NO_SLOT - 1 = none. */
  int restart_into;
  int activations;
  int abandoned;
  /* Phases as they were reported, one letter each: I D V S T C R. */
  char trace[SIM_TRACE];
  /* A report named an error while nothing was wrong yet. */
  bool told_early;
  uint8_t scratch[AIOT_SECTOR_BYTES];
  char envelope[SIM_ENVELOPE_BYTES];
} sim_device;

/* A device with an erased flash. */
void sim_device_open(sim_device *device, aiot_kind kind, uint32_t slot_sectors, const aiot_trust *trust);
void sim_device_close(sim_device *device);

/* Power on: firmware boots as a bootloader would have it, the store is opened, the update goes on. False = the flash failed. */
bool sim_device_boot(sim_device *device);

/* What the platform holds from now on, and that the device should run it; `rollout` names the wish. */
void sim_device_offer(sim_device *device, const release *r, const signing_key *key, char *envelope, size_t room);
void sim_device_desire(sim_device *device, const release *r, const char *rollout);
/* The same with the platform's patch, for devices that run `base`. */
void sim_device_desire_delta(sim_device *device, const release *r, const release *base, const char *rollout);

/* Steps until the update has settled, the flash failed, or so many ms have gone by; follows restarts of firmware. */
void sim_device_run(sim_device *device, uint64_t ms);

/* Version that is in use, its first byte checked to be there whole: index in `known`, or -1 for none, -2 for a mix. */
int sim_device_runs(sim_device *device, const release *known, size_t count);

#endif
