#include "sim_flash.h"

#include <stdlib.h>
#include <string.h>

static uint8_t random_byte(sim_flash *f) {
  f->random = f->random * 1664525u + 1013904223u;
  return (uint8_t)(f->random >> 24);
}

static bool inside(const sim_flash *f, uint32_t offset, size_t bytes) {
  return offset <= f->port.bytes && bytes <= f->port.bytes - offset;
}

/* Whether the power is cut during the operation that is starting. The operation has already been counted. */
static bool is_cut(const sim_flash *f) { return f->cut_at != 0 && f->writes + f->erases == f->cut_at; }

/* Number of the `bytes` that are still written. */
static size_t done_of(const sim_flash *f, size_t bytes) {
  switch (f->torn) {
    case SIM_TORN_BEFORE:
      return 0;
    case SIM_TORN_FIRST_BYTE:
      return bytes < 1 ? 0 : 1;
    case SIM_TORN_HALF:
    case SIM_TORN_BITS:
      return bytes / 2;
    case SIM_TORN_LAST_BYTE_MISSING:
      return bytes < 1 ? 0 : bytes - 1;
    default:
      return bytes;
  }
}

/* One byte of a key stream that depends only on the address, which suffices to make encrypted bytes differ from plain ones. */
static uint8_t key_byte(const sim_flash *f, uint32_t offset) {
  return f->decrypted == NULL ? 0 : (uint8_t)((offset * 2654435761u >> 16) | 1);
}

static void decrypt(const sim_flash *f, uint32_t offset, uint8_t *out, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) out[i] = f->memory[offset + i] ^ key_byte(f, offset + (uint32_t)i);
}

static bool flash_read_raw(void *context, uint32_t offset, void *out, size_t bytes) {
  sim_flash *f = context;
  if (f->off || !inside(f, offset, bytes)) return false;
  memcpy(out, f->memory + offset, bytes);
  return true;
}

static bool flash_read(void *context, uint32_t offset, void *out, size_t bytes) {
  const sim_flash *f = context;
  if (f->off || !inside(f, offset, bytes)) return false;
  decrypt(f, offset, out, bytes);
  return true;
}

static bool flash_write(void *context, uint32_t offset, const void *data, size_t bytes) {
  sim_flash *f = context;
  const uint8_t *from = data;
  if (f->off || !inside(f, offset, bytes)) return false;
  if (f->decrypted != NULL && (offset % AIOT_FLASH_BLOCK != 0 || bytes % AIOT_FLASH_BLOCK != 0)) return false;
  f->writes++;
  const bool cut = is_cut(f);
  const size_t done = cut ? done_of(f, bytes) : bytes;
  for (size_t i = 0; i < done; i++) {
    uint8_t *at = f->memory + offset + i;
    const uint8_t stored = from[i] ^ key_byte(f, offset + (uint32_t)i);
    if (*at != 0xff && stored != 0xff) f->overwrites++;
    *at &= stored;
  }
  if (cut && f->torn == SIM_TORN_BITS && done < bytes) {
    const uint8_t stored = from[done] ^ key_byte(f, offset + (uint32_t)done);
    f->memory[offset + done] &= (uint8_t)(stored | random_byte(f));
  }
  f->off = cut;
  return !cut;
}

static bool flash_erase(void *context, uint32_t offset) {
  sim_flash *f = context;
  const uint32_t sector = f->port.sector_bytes;
  if (f->off || offset % sector != 0 || !inside(f, offset, sector)) return false;
  f->erases++;
  const bool cut = is_cut(f);
  const size_t done = cut ? done_of(f, sector) : sector;
  if (cut && f->torn == SIM_TORN_BITS) {
    for (uint32_t i = 0; i < sector; i++) f->memory[offset + i] |= random_byte(f);
  } else {
    memset(f->memory + offset, 0xff, done);
  }
  f->off = cut;
  return !cut;
}

static bool flash_sync(void *context) { return !((sim_flash *)context)->off; }

static const uint8_t *flash_map(void *context, uint32_t offset, size_t bytes) {
  const sim_flash *f = context;
  if (f->off || !inside(f, offset, bytes)) return NULL;
  if (f->decrypted == NULL) return f->memory + offset;
  decrypt(f, offset, f->decrypted + offset, bytes);
  return f->decrypted + offset;
}

bool sim_flash_open(sim_flash *flash, uint32_t bytes, uint32_t sector_bytes) {
  memset(flash, 0, sizeof *flash);
  flash->port = (aiot_flash){flash, bytes, sector_bytes, flash_read, flash_write, flash_erase, flash_sync, flash_map, flash_read_raw};
  flash->random = 1;
  flash->memory = malloc(bytes);
  if (flash->memory == NULL) return false;
  memset(flash->memory, 0xff, bytes);
  return true;
}

void sim_flash_close(sim_flash *flash) {
  free(flash->decrypted);
  free(flash->memory);
}

bool sim_flash_encrypt(sim_flash *flash) {
  flash->decrypted = malloc(flash->port.bytes);
  return flash->decrypted != NULL;
}

void sim_flash_copy(sim_flash *flash, const sim_flash *from) {
  memcpy(flash->memory, from->memory, from->port.bytes);
  flash->overwrites = 0;
  sim_flash_power_on(flash);
}

void sim_flash_power_on(sim_flash *flash) {
  flash->writes = flash->erases = flash->cut_at = 0;
  flash->off = false;
}
