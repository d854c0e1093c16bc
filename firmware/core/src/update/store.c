#include "aiot/store.h"

#include <string.h>

#include "sector.h"

static uint32_t sector_bytes(const aiot_store *store) { return store->records.flash->sector_bytes; }

/* Reads a sector's record. Sets `counter` and returns true if the record is valid. Sets `worked` to false if the flash failed. */
static bool read_sector(aiot_store *store, int sector, aiot_record *record, uint32_t *counter, bool *worked) {
  const uint32_t length = aiot_sector_read(&store->records, sector, store->scratch, sector_bytes(store), counter, worked);
  return length > 0 && aiot_record_read(record, store->scratch + AIOT_SECTOR_HEADER, length);
}

static bool part_is_whole(const aiot_part *part) {
  const aiot_flash *flash = part->flash;
  const uint32_t sector = flash->sector_bytes;
  return sector >= 2 * AIOT_SECTOR_HEADER && sector <= AIOT_SECTOR_BYTES && sector % AIOT_FLASH_BLOCK == 0 && part->offset % sector == 0 &&
         part->bytes % sector == 0 && part->bytes > 0 && part->offset <= flash->bytes && part->bytes <= flash->bytes - part->offset;
}

bool aiot_store_open(aiot_store *store, const aiot_part *records, const aiot_part slot[2], const aiot_crypto *crypto,
                     uint8_t *scratch) {
  if (!part_is_whole(records) || !part_is_whole(&slot[0]) || !part_is_whole(&slot[1])) return false;
  if (records->bytes < 2 * records->flash->sector_bytes) return false;
  memset(store, 0, sizeof *store);
  store->records = *records;
  store->slot[0] = slot[0];
  store->slot[1] = slot[1];
  store->crypto = crypto;
  store->scratch = scratch;
  store->sector = -1;

  bool worked = true;
  uint32_t counter = 0;
  if (read_sector(store, 1, &store->record, &counter, &worked)) {
    store->sector = 1;
    store->counter = counter;
  }
  /* The first sector's counter is compared before its record replaces the other one. */
  uint32_t first = 0;
  aiot_record other;
  if (worked && read_sector(store, 0, &other, &first, &worked) && (store->sector < 0 || first > store->counter)) {
    store->record = other;
    store->sector = 0;
    store->counter = first;
  }
  if (store->sector < 0) aiot_record_blank(&store->record);
  return worked;
}

bool aiot_store_open_flash(aiot_store *store, const aiot_flash *flash, const aiot_crypto *crypto, uint8_t *scratch) {
  const uint32_t sector = flash->sector_bytes;
  const uint32_t sectors = sector == 0 ? 0 : flash->bytes / sector;
  if (sectors < 4) return false;
  const uint32_t slot_bytes = (sectors - 2) / 2 * sector;
  const aiot_part records = {flash, 0, 2 * sector};
  const aiot_part slot[2] = {{flash, 2 * sector, slot_bytes}, {flash, 2 * sector + slot_bytes, slot_bytes}};
  return aiot_store_open(store, &records, slot, crypto, scratch);
}

uint32_t aiot_store_slot_bytes(const aiot_store *store) {
  return store->slot[0].bytes < store->slot[1].bytes ? store->slot[0].bytes : store->slot[1].bytes;
}

bool aiot_store_persist(aiot_store *store) {
  const int8_t sector = store->sector == 0 ? 1 : 0;
  uint8_t *at = store->scratch;
  const size_t length = aiot_record_write(&store->record, (char *)at + AIOT_SECTOR_HEADER, sector_bytes(store) - AIOT_SECTOR_HEADER);
  if (length == 0 || !aiot_sector_write(&store->records, sector, at, (uint32_t)length, store->counter + 1)) return false;
  store->sector = sector;
  store->counter++;
  return true;
}

static bool inside(const aiot_part *part, uint32_t offset, size_t bytes) {
  return offset <= part->bytes && bytes <= part->bytes - offset;
}

bool aiot_store_erase(aiot_store *store, int slot, uint32_t sector) {
  const aiot_part *part = &store->slot[slot];
  const uint32_t size = part->flash->sector_bytes;
  if (sector >= part->bytes / size) return false;
  return part->flash->erase(part->flash->context, part->offset + sector * size);
}

bool aiot_store_write(aiot_store *store, int slot, uint32_t offset, const void *data, size_t bytes) {
  const aiot_part *part = &store->slot[slot];
  return inside(part, offset, bytes) && part->flash->write(part->flash->context, part->offset + offset, data, bytes);
}

bool aiot_store_read(aiot_store *store, int slot, uint32_t offset, void *out, size_t bytes) {
  const aiot_part *part = &store->slot[slot];
  return inside(part, offset, bytes) && part->flash->read(part->flash->context, part->offset + offset, out, bytes);
}

bool aiot_store_sync(aiot_store *store, int slot) {
  const aiot_flash *flash = store->slot[slot].flash;
  return flash->sync(flash->context);
}

bool aiot_store_erased(aiot_store *store, int slot, uint32_t sector, bool *erased) {
  const aiot_part *part = &store->slot[slot];
  const aiot_flash *flash = part->flash;
  const uint32_t size = flash->sector_bytes;
  /* Decrypting an erased sector yields noise. */
  bool (*const read)(void *, uint32_t, void *, size_t) = flash->read_raw != NULL ? flash->read_raw : flash->read;
  if (!inside(part, sector * size, size) || !read(flash->context, part->offset + sector * size, store->scratch, size)) return false;
  uint32_t i = 0;
  while (i < size && store->scratch[i] == 0xff) i++;
  *erased = i == size;
  return true;
}

bool aiot_store_digest(aiot_store *store, int slot, uint32_t bytes, uint8_t digest[AIOT_SHA256_BYTES]) {
  const aiot_crypto *crypto = store->crypto;
  uint64_t state[AIOT_SHA256_STATE_BYTES / 8];
  crypto->sha256_begin(crypto->context, state);
  for (uint32_t at = 0; at < bytes;) {
    const uint32_t count = bytes - at < AIOT_SECTOR_BYTES ? bytes - at : AIOT_SECTOR_BYTES;
    if (!aiot_store_read(store, slot, at, store->scratch, count)) return false;
    crypto->sha256_update(crypto->context, state, store->scratch, count);
    at += count;
  }
  crypto->sha256_end(crypto->context, state, digest);
  return true;
}

const uint8_t *aiot_store_map(const aiot_store *store, int slot, size_t bytes) {
  const aiot_part *part = &store->slot[slot];
  if (part->flash->map == NULL || !inside(part, 0, bytes)) return NULL;
  return part->flash->map(part->flash->context, part->offset, bytes);
}
