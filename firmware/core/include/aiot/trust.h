/*
 * Whom a device trusts, kept up to date over the air by the rules of docs/trust.md: one root after the other, then the timestamp. The verdicts and their
 * order are those of src/lib/formats/manifest and src/lib/device/virtual/trust.ts.
 */
#ifndef AIOT_TRUST_H
#define AIOT_TRUST_H

#include "aiot/manifest.h"
#include "aiot/store.h"

/* The way to the platform, which all who ask it share: one at a time. Its `close` is also called where nothing is open. */
typedef struct {
  const aiot_http *http;
  /*
   * Room for an envelope, of a manifest, a root or a timestamp: AIOT_ENVELOPE_BYTES take any, less is refused as AIOT_MEMORY_SHORT where one is longer.
   * Behind the manifest the decoder of a delta is there, which takes 3 KiB; what is kept of trust is written from it.
   */
  char *memory;
  size_t bytes;
  /* Who uses it; NULL = free. */
  const void *user;
} aiot_line;

/* One document that is being read into the line's memory. */
typedef struct {
  bool open;
  size_t bytes;
  /* Attempts in a row that brought nothing, and when the next one may begin. */
  uint32_t failures;
  uint64_t not_before_ms;
  /* Times of the last byte and of the request: silence and slowness are limited. */
  uint64_t since_ms;
  uint64_t opened_ms;
} aiot_document;

/* What a timestamp says, and of its releases the one that was asked for. Times in ms since 1970. */
typedef struct {
  int64_t version;
  int64_t issued;
  int64_t expires;
  /* Of the newest root. */
  int64_t root;
  /* The highest sequence of each kind. */
  int64_t newest[3];
  bool listed;
  int64_t sequence;
  uint8_t digest[AIOT_SHA256_BYTES];
} aiot_timestamp;

/* Reads a timestamp's payload. `name` NULL = no release is looked for. AIOT_MANIFEST_MALFORMED. */
aiot_code aiot_timestamp_read(aiot_timestamp *timestamp, const aiot_envelope *envelope, aiot_kind kind, const char *name, aiot_error *error);

/* Whether the platform has published this manifest, so far as the timestamp tells; `listed` is of its name. AIOT_UPDATE_UNPUBLISHED. */
aiot_code aiot_timestamp_judge(const aiot_timestamp *timestamp, const aiot_manifest *manifest, bool listed,
                               const uint8_t payload[AIOT_SHA256_BYTES], aiot_error *error);

/* Bytes that are written of what is kept, in either of two sectors. */
#define AIOT_KEPT_BYTES 2608u

typedef struct {
  /* As it was provisioned; stays where it is. */
  const aiot_trust *first;
  const aiot_crypto *crypto;
  const aiot_clock *clock;
  /* Its memory has at least AIOT_KEPT_BYTES. */
  aiot_line *line;
  /* Two sectors; without a flash it forgets at a restart what it has learned. */
  aiot_part part;
} aiot_keeper_setup;

/* What survives a power cut, but for the root. */
typedef struct {
  /* The newest timestamp seen, and when it was made. */
  int64_t stamp_version;
  int64_t stamp_issued;
  /* The root with which all keys that sign releases were last replaced: sequences begin anew then. 0 = never. */
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
  /* Whom the device goes by. */
  aiot_trust held;
  aiot_kept kept;
  /* Of what it was provisioned with: what was kept of another is not believed. */
  uint8_t anchor[AIOT_SHA256_BYTES];
  int8_t sector;
  uint32_t counter;

  /* What is being done. */
  aiot_keeper_activity activity;
  bool stamping;
  uint32_t roots;
  aiot_document document;
  aiot_envelope envelope;
  aiot_trust next;
  /* The release that is asked about; an empty name = none. */
  aiot_kind kind;
  char name[AIOT_ID_BYTES];
  /* The newest one is here until the next look. */
  bool has_timestamp;
  aiot_timestamp timestamp;
} aiot_keeper;

/* WAITS: for the platform. WORKS: there is more to do at once. FAILED: the error says why. DEAD: the flash failed. */
typedef enum { AIOT_LOOK_WAITS, AIOT_LOOK_WORKS, AIOT_LOOK_DONE, AIOT_LOOK_FAILED, AIOT_LOOK_DEAD } aiot_look;

/* Goes by what it was provisioned with, or by what it has learned since. AIOT_FLASH_FAILED, AIOT_MEMORY_SHORT (of the line). */
aiot_code aiot_keeper_open(aiot_keeper *keeper, const aiot_keeper_setup *setup);

/* Begins to look for newer roots, then at the timestamp, for this release (NULL = for none). The caller has the line, until it has ended. */
void aiot_keeper_begin(aiot_keeper *keeper, aiot_kind kind, const char *name);

/* One bounded piece of work, no longer than 50 ms but for one signature or one sector's erase. */
aiot_look aiot_keeper_step(aiot_keeper *keeper, aiot_error *error);

/* Whether there is a timestamp to look at. */
bool aiot_keeper_stamped(const aiot_keeper *keeper);

/* ms since 1970; never behind the newest timestamp seen. -1 = nobody knows. */
int64_t aiot_keeper_now(const aiot_keeper *keeper);

/*
 * A root that is known to be right already, of an identity: its envelope, which is changed. AIOT_MANIFEST_MALFORMED, AIOT_TRUST_SIGNATURES,
 * AIOT_MEMORY_SHORT.
 */
aiot_code aiot_root_open(aiot_trust *trust, char *envelope, size_t bytes, const aiot_crypto *crypto);

#endif
