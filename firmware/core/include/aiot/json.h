/*
 * Reads JSON in place, without a heap and without recursion. A text of any length is read token by token; strings and numbers are
 * not copied. Accepts only RFC 8259, with at most AIOT_JSON_DEPTH levels of nesting.
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
 * After the first error, every call returns false, 0 or an empty string, and aiot_json_done is false. One check at the end is
 * therefore sufficient.
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
  /* One bit per level: whether it is an object, and whether it has had a member or element. */
  uint32_t objects;
  uint32_t begun;
  /* The last key's raw text, including escapes. */
  const char *key;
  size_t key_bytes;
} aiot_json;

void aiot_json_begin(aiot_json *json, const void *text, size_t bytes);

/*
 * Enters the next value, an array or object; `kind` is '[' or '{'. False if it is something else.
 */
bool aiot_json_enter(aiot_json *json, char kind);

/* Reads the object's next key. False at the end of the object, which is then consumed. */
bool aiot_json_key(aiot_json *json);

/* Whether the last key, unescaped, equals this one. */
bool aiot_json_is(const aiot_json *json, const char *name);

/* Whether there is another element in the array. False at its end, which is then consumed. */
bool aiot_json_element(aiot_json *json);

/* The type of the next value: '{' '[' '"' 't' 'f' 'n' '0' (a number), or 0 after an error. */
char aiot_json_peek(aiot_json *json);

/* Reads a number as the nearest double, ties to even, like JSON.parse; infinity beyond the largest. */
double aiot_json_number(aiot_json *json);

/* Reads an integer with a magnitude of at most 2^53 - 1, in any notation (5, 5.0, 5e0). Anything else is an error. */
int64_t aiot_json_integer(aiot_json *json);

bool aiot_json_boolean(aiot_json *json);

/* Reads a null. If something else follows, returns false and reads nothing. */
bool aiot_json_null(aiot_json *json);

/*
 * Copies the string, unescaped and terminated by a NUL, to `out` and returns its length. It is an error if the string does not
 * fit (including its NUL) or contains a NUL. Half a surrogate pair becomes U+FFFD, as in JavaScript.
 */
size_t aiot_json_string(aiot_json *json, char *out, size_t room);

/*
 * Like aiot_json_string, but a string that does not fit is truncated after a whole character. For text that is shown to people.
 */
size_t aiot_json_text(aiot_json *json, char *out, size_t room);

/* Returns the string's raw text, for strings without escapes (base64, digests). Any other string is an error. */
const char *aiot_json_raw(aiot_json *json, size_t *bytes);

/* Returns the value's raw text, which a separate reader can parse later. */
const char *aiot_json_value(aiot_json *json, size_t *bytes);

void aiot_json_skip(aiot_json *json);

/* Whether there was no error and only whitespace remains. */
bool aiot_json_done(aiot_json *json);

#endif
