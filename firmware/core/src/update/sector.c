#include "sector.h"

#include "../crc32.h"

/* "AREC", little-endian. */
enum { MAGIC = 0x43455241 };

static uint32_t read_u32(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void write_u32(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

/* CRC-32 of counter, length and content. */
static uint32_t sum_of(const uint8_t *sector, uint32_t length) {
  return aiot_crc32(aiot_crc32(0, sector + 4, 8), sector + AIOT_SECTOR_HEADER, length);
}

uint32_t aiot_pad_block(uint8_t *memory, uint32_t bytes) {
  for (; bytes % AIOT_FLASH_BLOCK != 0; bytes++) memory[bytes] = 0xff;
  return bytes;
}

uint32_t aiot_sector_read(const aiot_part *part, int sector, uint8_t *memory, size_t room, uint32_t *counter, bool *worked) {
  const aiot_flash *flash = part->flash;
  const uint32_t size = flash->sector_bytes, most = room < size ? (uint32_t)room : size;
  if (!flash->read(flash->context, part->offset + (uint32_t)sector * size, memory, most)) {
    *worked = false;
    return 0;
  }
  const uint32_t length = read_u32(memory + 8);
  if (read_u32(memory) != MAGIC || length > most - AIOT_SECTOR_HEADER || read_u32(memory + 12) != sum_of(memory, length)) return 0;
  *counter = read_u32(memory + 4);
  return length;
}

bool aiot_sector_write(const aiot_part *part, int sector, uint8_t *memory, uint32_t length, uint32_t counter) {
  const aiot_flash *flash = part->flash;
  const uint32_t offset = part->offset + (uint32_t)sector * flash->sector_bytes;
  write_u32(memory, MAGIC);
  write_u32(memory + 4, counter);
  write_u32(memory + 8, length);
  write_u32(memory + 12, sum_of(memory, length));
  const uint32_t padded = aiot_pad_block(memory, AIOT_SECTOR_HEADER + length);
  return flash->erase(flash->context, offset) && flash->write(flash->context, offset, memory, padded) && flash->sync(flash->context);
}
