/* JSON strings; used by the reader in json.c only. */
#ifndef AIOT_JSON_TEXT_H
#define AIOT_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Finds the quote that ends the string whose first byte is at `text`. `used`: number of bytes before the quote. False if the
 * string is malformed: no quote, control characters, unknown escapes, invalid UTF-8 (RFC 3629: no overlong forms, no surrogates).
 */
bool aiot_json_string_end(const char *text, size_t bytes, size_t *used, bool *escaped);

/*
 * Unescapes a well-formed string and terminates it with a NUL. False if it does not fit or contains a NUL; it is then truncated
 * there.
 */
bool aiot_json_unescape(const char *text, size_t bytes, char *out, size_t room, size_t *written);

/* Whether a well-formed string, unescaped, equals this one. */
bool aiot_json_text_is(const char *text, size_t bytes, const char *name);

#endif
