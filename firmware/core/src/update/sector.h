/* What is kept in two sectors in turn, of which the valid one with the greater counter counts: docs/protocol.md, "Flash". */
#ifndef AIOT_SECTOR_H
#define AIOT_SECTOR_H

#include "aiot/store.h"

/* Magic, counter, length, CRC-32; then what is kept. */
#define AIOT_SECTOR_HEADER 16u

/*
 * Reads one of the part's sectors into `memory`: how many bytes lie there behind the header, 0 where it holds nothing valid, or more than there is room for.
 * `worked` false = the flash failed.
 */
uint32_t aiot_sector_read(const aiot_part *part, int sector, uint8_t *memory, size_t room, uint32_t *counter, bool *worked);

/* Makes the `length` bytes behind the header's room in `memory` durable in this sector. False = the flash failed. */
bool aiot_sector_write(const aiot_part *part, int sector, uint8_t *memory, uint32_t length, uint32_t counter);

#endif
