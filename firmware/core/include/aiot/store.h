/*
 * A device's stored state of one kind (model, firmware or configuration): a record in two sectors,
 * and two slots. The layout is that of docs/reference/protocol.md, "Flash"; it is compatible with
 * src/lib/device/virtual/store.ts in both directions.
 */
#ifndef AIOT_STORE_H
#define AIOT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aiot/manifest.h"
#include "aiot/ports.h"

#define AIOT_SECTOR_BYTES 4096u
/* Index for "no slot". */
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

/* Name of a phase, such as "IDLE", as in `reported`. */
const char *aiot_phase_name(aiot_phase phase);

/* Content of a slot. It is recorded only after its bytes have been verified. */
typedef struct {
  bool present;
  char name[AIOT_ID_BYTES];
  int64_t version;
  int64_t sequence;
  uint8_t digest[AIOT_SHA256_BYTES];
  uint32_t bytes;
} aiot_content;

/* The complete state that survives a power cut, as in src/lib/device/update/record.ts. */
typedef struct {
  int64_t floor;
  int64_t sequence;
  int64_t newest_signed;
  /*
   * Version of the root whose keys signed the manifests behind the three values above. A root that replaces those keys resets the
   * values. 0 = the first root.
   */
  int64_t epoch;
  /* Highest secure version of a committed program. It is reset with the values above. */
  int64_t secure_version;
  /* 0, 1 or AIOT_NO_SLOT. `download` and `trial` have a slot only while they are in progress. */
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
    int64_t secure_version;
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

/* Sets a record to the factory state. */
void aiot_record_blank(aiot_record *record);

/*
 * Writes the record as JSON, byte for byte like JSON.stringify, and returns its length; 0 if it does not fit into `room`.
 */
size_t aiot_record_write(const aiot_record *record, char *out, size_t room);

/* Parses a record; false if the JSON is not a valid record. */
bool aiot_record_read(aiot_record *record, const void *json, size_t bytes);

/* A range of whole sectors in a flash. */
typedef struct {
  const aiot_flash *flash;
  uint32_t offset;
  uint32_t bytes;
} aiot_part;

typedef struct {
  /* The two sectors for records. */
  aiot_part records;
  aiot_part slot[2];
  const aiot_crypto *crypto;
  /* The record as stored in the flash. */
  aiot_record record;
  /* The sector (0 or 1) that contains the record, or -1; and the record's counter. */
  int8_t sector;
  uint32_t counter;
  uint8_t *scratch;
} aiot_store;

/*
 * Opens a store. `scratch`: AIOT_SECTOR_BYTES, used only by this store. False if a flash is too small, has sectors that are too
 * large, or cannot be read.
 */
bool aiot_store_open(aiot_store *store, const aiot_part *records, const aiot_part slot[2], const aiot_crypto *crypto,
                     uint8_t *scratch);

/*
 * Like aiot_store_open, but for a single flash with two sectors of records followed by slots A and B, which is the layout of the
 * TypeScript implementation.
 */
bool aiot_store_open_flash(aiot_store *store, const aiot_flash *flash, const aiot_crypto *crypto, uint8_t *scratch);

/* Capacity of a slot, bytes. */
uint32_t aiot_store_slot_bytes(const aiot_store *store);

/* Writes `store->record` durably to the older sector. This and all functions below return false if the flash failed. */
bool aiot_store_persist(aiot_store *store);

/* Erases one sector of a slot. */
bool aiot_store_erase(aiot_store *store, int slot, uint32_t sector);
bool aiot_store_write(aiot_store *store, int slot, uint32_t offset, const void *data, size_t bytes);
bool aiot_store_read(aiot_store *store, int slot, uint32_t offset, void *out, size_t bytes);
/* Makes all earlier writes durable before it returns. */
bool aiot_store_sync(aiot_store *store, int slot);

/* Whether a sector of a slot is fully erased, even if the chip encrypts the slot. Like the next function, it uses the scratch memory. */
bool aiot_store_erased(aiot_store *store, int slot, uint32_t sector, bool *erased);

/* SHA-256 of the first `bytes` of a slot, read back from the flash. */
bool aiot_store_digest(aiot_store *store, int slot, uint32_t bytes, uint8_t digest[AIOT_SHA256_BYTES]);

/* The slot's bytes mapped as memory. The mapping is valid until the slot is erased; NULL if the flash cannot be mapped. */
const uint8_t *aiot_store_map(const aiot_store *store, int slot, size_t bytes);

#endif
