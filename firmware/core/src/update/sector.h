/* Data stored in two sectors alternately; the valid one with the higher counter is current: docs/reference/protocol.md, "Flash". */
#ifndef AIOT_SECTOR_H
#define AIOT_SECTOR_H

#include "aiot/store.h"

/* Magic, counter, length, CRC-32; then the content. */
#define AIOT_SECTOR_HEADER 16u

/*
 * Reads one of the partition's sectors into `memory` and returns the number of content bytes after the header; 0 if it is invalid or does
 * not fit. `worked` false = the flash failed.
 */
uint32_t aiot_sector_read(const aiot_part *part, int sector, uint8_t *memory, size_t room, uint32_t *counter, bool *worked);

/* Writes the `length` bytes after the header's space in `memory` durably to this sector. False = the flash failed. */
bool aiot_sector_write(const aiot_part *part, int sector, uint8_t *memory, uint32_t length, uint32_t counter);

#endif
