/* What a keeper keeps, as bytes: docs/protocol.md, "Flash". */
#ifndef AIOT_KEPT_H
#define AIOT_KEPT_H

#include "aiot/trust.h"
#include "sector.h"

/* Always as many: boards whose flash is encrypted write multiples of 16. */
#define AIOT_KEPT_BODY (AIOT_KEPT_BYTES - AIOT_SECTOR_HEADER)

void aiot_kept_write(uint8_t body[AIOT_KEPT_BODY], const aiot_trust *trust, const aiot_kept *kept, const uint8_t anchor[AIOT_SHA256_BYTES]);

/* False where it was kept of another identity than `anchor`, or is nothing of ours; then both may have been changed. */
bool aiot_kept_read(const uint8_t body[AIOT_KEPT_BODY], aiot_trust *trust, aiot_kept *kept, const uint8_t anchor[AIOT_SHA256_BYTES]);

#endif
