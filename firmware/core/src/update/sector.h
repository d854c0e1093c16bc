/*
 * Data that is stored alternately in two sectors. The valid sector with the higher counter applies: docs/reference/protocol.md,
 * "Flash".
 */
#ifndef AIOT_SECTOR_H
#define AIOT_SECTOR_H

#include "aiot/store.h"

/* Size of the header: magic, counter, length and CRC-32. The content follows it. */
#define AIOT_SECTOR_HEADER 16u

/* Pads `bytes` of data to whole blocks of flash, with 0xFF. Returns the padded size; `memory` must have room for it. */
uint32_t aiot_pad_block(uint8_t *memory, uint32_t bytes);

/*
 * Reads one of the partition's sectors into `memory`. Returns the number of content bytes, which follow the header; 0 if the
 * sector is invalid or does not fit. `worked` false = the flash failed.
 */
uint32_t aiot_sector_read(const aiot_part *part, int sector, uint8_t *memory, size_t room, uint32_t *counter, bool *worked);

/*
 * Writes `length` bytes of content, which follow the space for the header in `memory`, durably to this sector. They are padded in
 * `memory` to whole blocks. False = the flash failed.
 */
bool aiot_sector_write(const aiot_part *part, int sector, uint8_t *memory, uint32_t length, uint32_t counter);

#endif
