/* Base64 (RFC 4648, section 4). Only padded text without white space is accepted, and unused bits must be 0. */
#ifndef AIOT_BASE64_H
#define AIOT_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the text is well formed. Its unused bits may have any value, as in the TypeScript implementation. */
bool aiot_base64_formed(const char *text, size_t bytes);

/* Decoded size of a well-formed text of this length. */
size_t aiot_base64_bytes(const char *text, size_t bytes);

/* Decodes the text; `out` may be `text` itself. False if it is malformed, or an unused bit is set. */
bool aiot_base64_decode(const char *text, size_t bytes, uint8_t *out);

/* Encodes every three bytes as four characters. The last group is padded, and a NUL follows. */
void aiot_base64_encode(const uint8_t *data, size_t bytes, char *out);

#endif
