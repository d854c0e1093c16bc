/* The stored trust state, as bytes: docs/reference/protocol.md, "Flash". */
#ifndef AIOT_KEPT_H
#define AIOT_KEPT_H

#include "aiot/trust.h"
#include "sector.h"

/* Size of the content, bytes. With the header, it is a multiple of AIOT_FLASH_BLOCK, so it needs no padding. */
#define AIOT_KEPT_BODY (AIOT_KEPT_BYTES - AIOT_SECTOR_HEADER)

void aiot_kept_write(uint8_t body[AIOT_KEPT_BODY], const aiot_trust *trust, const aiot_kept *kept, const uint8_t anchor[AIOT_SHA256_BYTES]);

/*
 * Reads trust state. False if the state is invalid or belongs to an identity other than `anchor`; `trust` and `kept` may then have
 * changed.
 */
bool aiot_kept_read(const uint8_t body[AIOT_KEPT_BODY], aiot_trust *trust, aiot_kept *kept, const uint8_t anchor[AIOT_SHA256_BYTES]);

#endif
