/*
 * A device's trusted keys, kept up to date over the air by the rules of
 * docs/reference/trust-formats.md: the roots in sequence, then the timestamp. Results and their
 * order match src/lib/formats/manifest and src/lib/device/virtual/trust.ts.
 */
#ifndef AIOT_TRUST_H
#define AIOT_TRUST_H

#include "aiot/manifest.h"
#include "aiot/store.h"

/* The HTTP connection to the platform. Only one user may use it at a time. Its `close` may be called even if nothing is open. */
typedef struct {
  const aiot_http *http;
  /*
   * Space for an envelope of a manifest, a root or a timestamp. AIOT_ENVELOPE_BYTES is enough for any; with less, longer
   * envelopes are rejected with AIOT_MEMORY_SHORT. The space after the manifest is also used for a delta's decoder (3 KiB), and
   * as the buffer from which trust state is written.
   */
  char *memory;
  size_t bytes;
  /* The current user; NULL = free. */
  const void *user;
} aiot_line;

/* A document that is being read into the line's memory. */
typedef struct {
  bool open;
  size_t bytes;
  /* Number of consecutive attempts without progress, and the time of the next attempt. */
  uint32_t failures;
  uint64_t not_before_ms;
  /* Times of the last byte and of the request, which show whether the platform is silent or slow. */
  uint64_t since_ms;
  uint64_t opened_ms;
} aiot_document;

/* Content of a timestamp, and the requested release in it. Times are in ms since 1970. */
typedef struct {
  int64_t version;
  int64_t issued;
  int64_t expires;
  /* Version of the newest root. */
  int64_t root;
  /* The highest sequence of each kind. */
  int64_t newest[3];
  bool listed;
  int64_t sequence;
  uint8_t digest[AIOT_SHA256_BYTES];
} aiot_timestamp;

/* Reads a timestamp's payload. If `name` is NULL, no release is searched for. Error: AIOT_MANIFEST_MALFORMED. */
aiot_code aiot_timestamp_read(aiot_timestamp *timestamp, const aiot_envelope *envelope, aiot_kind kind, const char *name, aiot_error *error);

/*
 * Rejects a manifest that, according to the timestamp, was not published (AIOT_UPDATE_UNPUBLISHED). `listed`: whether the timestamp was searched for
 * this manifest's release; if not, only the newest sequence of its kind is checked.
 */
aiot_code aiot_timestamp_judge(const aiot_timestamp *timestamp, const aiot_manifest *manifest, bool listed,
                               const uint8_t payload[AIOT_SHA256_BYTES], aiot_error *error);

/* Size of the stored trust state, bytes. It is in one of two sectors. */
#define AIOT_KEPT_BYTES 2608u

typedef struct {
  /* The provisioned trust, which must remain valid. */
  const aiot_trust *first;
  const aiot_crypto *crypto;
  const aiot_clock *clock;
  /* The line to the platform. Its memory has at least AIOT_KEPT_BYTES. */
  aiot_line *line;
  /* Two sectors. Without a flash, state received over the air is lost on restart. */
  aiot_part part;
} aiot_keeper_setup;

/* State that survives a power cut, apart from the root. */
typedef struct {
  /* Version of the newest timestamp seen, and the time at which it was issued. */
  int64_t stamp_version;
  int64_t stamp_issued;
  /* Version of the root that last replaced all release keys. Sequence numbers start again with it. 0 = never. */
  int64_t epoch;
} aiot_kept;

typedef enum {
  AIOT_KEEPER_RESTS,
  AIOT_KEEPER_READS,
  AIOT_KEEPER_CHECKS_HELD,
  AIOT_KEEPER_CHECKS_OWN,
  AIOT_KEEPER_CHECKS_STAMP
} aiot_keeper_activity;

typedef struct {
  aiot_keeper_setup setup;
  /* The trust that currently applies. */
  aiot_trust held;
  aiot_kept kept;
  /* Digest of the provisioned trust. Stored state that belongs to another digest is ignored. */
  uint8_t anchor[AIOT_SHA256_BYTES];
  int8_t sector;
  uint32_t counter;

  /* Current activity of the keeper. */
  aiot_keeper_activity activity;
  bool stamping;
  uint32_t roots;
  aiot_document document;
  aiot_envelope envelope;
  aiot_trust next;
  /* The requested release; an empty name = none. */
  aiot_kind kind;
  char name[AIOT_ID_BYTES];
  /* Whether the newest timestamp is in memory, where it stays until the next check. */
  bool has_timestamp;
  aiot_timestamp timestamp;
} aiot_keeper;

/* WAITS: the platform has not responded yet. WORKS: more can be done at once. FAILED: see the error. DEAD: the flash failed. */
typedef enum { AIOT_LOOK_WAITS, AIOT_LOOK_WORKS, AIOT_LOOK_DONE, AIOT_LOOK_FAILED, AIOT_LOOK_DEAD } aiot_look;

/*
 * Starts with the provisioned trust, or with the stored trust if it is newer. Errors: AIOT_FLASH_FAILED, AIOT_MEMORY_SHORT (of the line).
 */
aiot_code aiot_keeper_open(aiot_keeper *keeper, const aiot_keeper_setup *setup);

/*
 * Starts fetching newer roots, then the timestamp, for this release (NULL = none). The caller must own the line until this has
 * ended.
 */
void aiot_keeper_begin(aiot_keeper *keeper, aiot_kind kind, const char *name);

/* Performs one bounded piece of work. It takes at most 50 ms, apart from one signature or the erase of one sector. */
aiot_look aiot_keeper_step(aiot_keeper *keeper, aiot_error *error);

/* Whether the device's trust includes timestamps. */
bool aiot_keeper_stamped(const aiot_keeper *keeper);

/* The time in ms since 1970, which is never earlier than the newest timestamp seen. -1 = unknown. */
int64_t aiot_keeper_now(const aiot_keeper *keeper);

/*
 * Reads a root from an identity, which is already trusted. Only the signatures by its own keys are checked. Its envelope is
 * changed. Errors: AIOT_MANIFEST_MALFORMED, AIOT_TRUST_SIGNATURES, AIOT_MEMORY_SHORT.
 */
aiot_code aiot_root_open(aiot_trust *trust, char *envelope, size_t bytes, const aiot_crypto *crypto);

#endif
