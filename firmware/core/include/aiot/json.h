/*
 * Reads JSON in place, without a heap and without recursion. A text of any length is walked token by token; strings and numbers stay in
 * it. Strict RFC 8259; nesting of up to AIOT_JSON_DEPTH.
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
 * After the first error every call returns false, 0 or an empty string, and aiot_json_done is false: one check at the end is enough.
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
  /* One bit per level: whether it is an object, and whether a member or element has been read. */
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

/* Reads the object's next key; false at the object's end, which is read too. */
bool aiot_json_key(aiot_json *json);

/* Whether the last key, unescaped, equals this one. */
bool aiot_json_is(const aiot_json *json, const char *name);

/* Whether there is another element in the array; false at its end, which is read too. */
bool aiot_json_element(aiot_json *json);

/* The type of the next value: '{' '[' '"' 't' 'f' 'n' '0' (a number), or 0 after an error. */
char aiot_json_peek(aiot_json *json);

/* The nearest double, ties to even, like JSON.parse: infinity beyond the largest. */
double aiot_json_number(aiot_json *json);

/*
 * An integer with a magnitude of at most 2^53 - 1, in any notation (5, 5.0, 5e0); anything else is an error.
 */
int64_t aiot_json_integer(aiot_json *json);

bool aiot_json_boolean(aiot_json *json);

/* Reads a null. If something else follows, returns false and reads nothing. */
bool aiot_json_null(aiot_json *json);

/* Copies the string, unescaped and terminated by a NUL, to `out` and returns its length. It is an
 * error if it does not fit (including its NUL) or contains a NUL. Half a surrogate pair becomes
 * U+FFFD, as in JavaScript. */
size_t aiot_json_string(aiot_json *json, char *out, size_t room);

/*
 * Like aiot_json_string, but truncates a string that does not fit after a whole character. For text meant for people.
 */
size_t aiot_json_text(aiot_json *json, char *out, size_t room);

/* The string's raw text, for strings without escapes (base64, digests); an error otherwise. */
const char *aiot_json_raw(aiot_json *json, size_t *bytes);

/* The value's raw text, to be parsed later by a separate reader. */
const char *aiot_json_value(aiot_json *json, size_t *bytes);

void aiot_json_skip(aiot_json *json);

/* Whether there was no error and only whitespace remains. */
bool aiot_json_done(aiot_json *json);

#endif
