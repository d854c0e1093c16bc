/* Base64 (RFC 4648, section 4), strict: padded, without whitespace, and with unused bits 0. */
#ifndef AIOT_BASE64_H
#define AIOT_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the text is well formed. Its unused bits may have any value, as on the TypeScript side. */
bool aiot_base64_formed(const char *text, size_t bytes);

/* Decoded size of a well-formed text of this length. */
size_t aiot_base64_bytes(const char *text, size_t bytes);

/* Decodes; `out` may be `text` itself. False if it is malformed, or an unused bit is set. */
bool aiot_base64_decode(const char *text, size_t bytes, uint8_t *out);

/* Encodes bytes as four characters for every three bytes, the last group padded, and a NUL. */
void aiot_base64_encode(const uint8_t *data, size_t bytes, char *out);

#endif
