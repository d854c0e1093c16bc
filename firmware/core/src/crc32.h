#ifndef AIOT_CRC32_H
#define AIOT_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32 as in zlib (IEEE 802.3, reflected), continued from `before`; 0 to start. */
uint32_t aiot_crc32(uint32_t before, const void *data, size_t bytes);

#endif
