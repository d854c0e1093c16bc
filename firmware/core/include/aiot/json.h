/*
 * Reads JSON where it lies, without a heap and without recursion: a text of any length is walked token by token, strings and
 * numbers stay in it. Strict as RFC 8259 is; nesting of up to AIOT_JSON_DEPTH.
 *
 *   aiot_json json;
 *   aiot_json_begin(&json, text, bytes);
 *   aiot_json_enter(&json, '{');
 *   while (aiot_json_key(&json)) {
 *     if (aiot_json_is(&json, "rate")) rate = aiot_json_number(&json);
 *     else aiot_json_skip(&json);
 *   }
 *   if (!aiot_json_done(&json)) ... malformed
 *
 * After the first mistake every call returns false, 0 or an empty string, and aiot_json_done is false: one check at the end will do.
 */
#ifndef AIOT_JSON_H
#define AIOT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AIOT_JSON_DEPTH 16

typedef struct {
  const char *text;
  size_t bytes;
  size_t at;
  bool failed;
  uint8_t depth;
  /* One bit a level: whether it is an object, and whether a member or element was read already. */
  uint32_t objects;
  uint32_t begun;
  /* Of the last key: as it stands in the text, escapes and all. */
  const char *key;
  size_t key_bytes;
} aiot_json;

void aiot_json_begin(aiot_json *json, const void *text, size_t bytes);

/* Enters the array or object that comes next; `kind` is '[' or '{'. False when something else comes. */
bool aiot_json_enter(aiot_json *json, char kind);

/* The object's next key is read; false at its end, which is read too. */
bool aiot_json_key(aiot_json *json);

/* Whether the last key, unescaped, is this one. */
bool aiot_json_is(const aiot_json *json, const char *name);

/* There is another element in the array; false at its end, which is read too. */
bool aiot_json_element(aiot_json *json);

/* What comes next: '{' '[' '"' 't' 'f' 'n' '0' (a number), or 0 after a mistake. */
char aiot_json_peek(aiot_json *json);

/* The nearest double, ties to even, as JSON.parse has it: infinity beyond the greatest. */
double aiot_json_number(aiot_json *json);

/* An integer of at most 2^53 - 1 in size, however it is written (5, 5.0, 5e0); anything else is a mistake. */
int64_t aiot_json_integer(aiot_json *json);

bool aiot_json_boolean(aiot_json *json);

/* A null is read; false, and nothing read, when something else comes. */
bool aiot_json_null(aiot_json *json);

/* The string, unescaped and ended by a NUL, into `out`; a mistake when it (with its NUL) does not fit or holds a NUL. Its
 * length. Half a surrogate pair becomes U+FFFD, as JavaScript encodes it. */
size_t aiot_json_string(aiot_json *json, char *out, size_t room);

/* The same, but one that does not fit is cut, behind a whole character: for texts that people read. */
size_t aiot_json_text(aiot_json *json, char *out, size_t room);

/* The string as it stands in the text, for those that hold no escape (base64, digests): a mistake otherwise. */
const char *aiot_json_raw(aiot_json *json, size_t *bytes);

/* The value as it stands in the text, to be read later with a reader of its own. */
const char *aiot_json_value(aiot_json *json, size_t *bytes);

void aiot_json_skip(aiot_json *json);

/* Whether all was read, without a mistake, and nothing but white space is left. */
bool aiot_json_done(aiot_json *json);

#endif
