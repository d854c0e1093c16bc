/*
 * What a device keeps of one kind (model, firmware or configuration): a record in two sectors, and two slots. The layout is that of
 * docs/protocol.md, "Flash"; a flash that src/lib/device/virtual/store.ts wrote is read here, and the other way round.
 */
#ifndef AIOT_STORE_H
#define AIOT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aiot/manifest.h"
#include "aiot/ports.h"

#define AIOT_SECTOR_BYTES 4096u
/* No slot. */
#define AIOT_NO_SLOT (-1)

typedef enum {
  AIOT_PHASE_IDLE,
  AIOT_PHASE_DOWNLOADING,
  AIOT_PHASE_VERIFYING,
  AIOT_PHASE_STAGED,
  AIOT_PHASE_TRIAL,
  AIOT_PHASE_COMMITTED,
  AIOT_PHASE_ROLLED_BACK
} aiot_phase;

/* "IDLE" and so on, as `reported` has it. */
const char *aiot_phase_name(aiot_phase phase);

/* What a slot holds, written down only once its bytes were verified. */
typedef struct {
  bool present;
  char name[AIOT_ID_BYTES];
  int64_t version;
  int64_t sequence;
  uint8_t digest[AIOT_SHA256_BYTES];
  uint32_t bytes;
} aiot_content;

/* All that survives a power cut, as src/lib/device/update/record.ts has it. */
typedef struct {
  int64_t floor;
  int64_t sequence;
  int64_t newest_signed;
  /* The root under whose keys the three above were counted: they begin anew with one that replaces those keys. 0 = the first. */
  int64_t epoch;
  /* 0, 1 or AIOT_NO_SLOT; `download` and `trial` have one where they are under way. */
  int8_t active;
  aiot_content slot[2];
  struct {
    int8_t slot;
    uint8_t digest[AIOT_SHA256_BYTES];
  } download;
  struct {
    int8_t slot;
    char rollout[AIOT_ROLLOUT_BYTES];
    int64_t floor;
    int64_t tries;
  } trial;
  struct {
    bool present;
    char rollout[AIOT_ROLLOUT_BYTES];
    /* IDLE, COMMITTED or ROLLED_BACK. */
    aiot_phase state;
    aiot_error error;
  } last;
} aiot_record;

/* A device as it leaves the factory. */
void aiot_record_blank(aiot_record *record);

/* The record's JSON, byte for byte as JSON.stringify writes it; its length, 0 where it does not fit into `room`. */
size_t aiot_record_write(const aiot_record *record, char *out, size_t room);

/* False where it is no record. */
bool aiot_record_read(aiot_record *record, const void *json, size_t bytes);

/* A piece of a flash, of whole sectors. */
typedef struct {
  const aiot_flash *flash;
  uint32_t offset;
  uint32_t bytes;
} aiot_part;

typedef struct {
  /* Two sectors. */
  aiot_part records;
  aiot_part slot[2];
  const aiot_crypto *crypto;
  /* As it stands in the flash. */
  aiot_record record;
  /* Which of the two sectors that is, or -1, and its counter. */
  int8_t sector;
  uint32_t counter;
  uint8_t *scratch;
} aiot_store;

/* `scratch`: AIOT_SECTOR_BYTES that are this store's alone. False where a flash is too small, its sectors too large, or it cannot be read. */
bool aiot_store_open(aiot_store *store, const aiot_part *records, const aiot_part slot[2], const aiot_crypto *crypto,
                     uint8_t *scratch);

/* The same for one flash that is all of it: two sectors of records, the rest slot A and B, as the TypeScript side lays it out. */
bool aiot_store_open_flash(aiot_store *store, const aiot_flash *flash, const aiot_crypto *crypto, uint8_t *scratch);

/* What fits into a slot. */
uint32_t aiot_store_slot_bytes(const aiot_store *store);

/* Makes `store->record` durable in the older sector. All functions below: false = the flash failed. */
bool aiot_store_persist(aiot_store *store);

/* Erases one sector of a slot. */
bool aiot_store_erase(aiot_store *store, int slot, uint32_t sector);
bool aiot_store_write(aiot_store *store, int slot, uint32_t offset, const void *data, size_t bytes);
bool aiot_store_read(aiot_store *store, int slot, uint32_t offset, void *out, size_t bytes);
/* All that was written is durable when it returns. */
bool aiot_store_sync(aiot_store *store, int slot);

/* Whether a sector of a slot is all erased. Uses the scratch memory, as the next one does. */
bool aiot_store_erased(aiot_store *store, int slot, uint32_t sector, bool *erased);

/* SHA-256 of the first `bytes` of a slot, read back from the flash. */
bool aiot_store_digest(aiot_store *store, int slot, uint32_t bytes, uint8_t digest[AIOT_SHA256_BYTES]);

/* The slot's bytes as memory, until it is erased; NULL where the flash cannot. */
const uint8_t *aiot_store_map(const aiot_store *store, int slot, size_t bytes);

#endif
