#include "aiot/json.h"

#include <math.h>
#include <string.h>

#include "json_number.h"
#include "json_text.h"

/* Level 0 is the text itself, which contains one value. Each array or object that is entered adds a level. */
static uint32_t level_bit(const aiot_json *json) { return (uint32_t)1 << json->depth; }

static bool fail(aiot_json *json) {
  json->failed = true;
  return false;
}

void aiot_json_begin(aiot_json *json, const void *text, size_t bytes) {
  *json = (aiot_json){.text = text, .bytes = bytes, .key = ""};
}

/* The next character after white space; 0 at the end or after an error. */
static char next_char(aiot_json *json) {
  if (json->failed) return 0;
  for (; json->at < json->bytes; json->at++) {
    const char c = json->text[json->at];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return c;
  }
  return 0;
}

/*
 * Returns the first character of the value that starts here; 0 if no value may start. A text contains only one top-level value.
 */
static char begin_value(aiot_json *json) {
  const char c = next_char(json);
  if (json->depth == 0) {
    if ((json->begun & 1u) != 0) json->failed = true;
    json->begun |= 1u;
  }
  if (c == 0) json->failed = true;
  return json->failed ? 0 : c;
}

bool aiot_json_enter(aiot_json *json, char kind) {
  if (begin_value(json) != kind || (kind != '{' && kind != '[') || json->depth >= AIOT_JSON_DEPTH) return fail(json);
  json->at++;
  json->depth++;
  json->begun &= ~level_bit(json);
  if (kind == '{') json->objects |= level_bit(json);
  else json->objects &= ~level_bit(json);
  return true;
}

/* Reads the separator before the next member or element. False at the end, which is then consumed. */
static bool follows(aiot_json *json, bool object) {
  char c = next_char(json);
  if (c == 0 || json->depth == 0 || ((json->objects & level_bit(json)) != 0) != object) return fail(json);
  if (c == (object ? '}' : ']')) {
    json->at++;
    json->depth--;
    return false;
  }
  if ((json->begun & level_bit(json)) != 0) {
    if (c != ',') return fail(json);
    json->at++;
    /* Rejects a trailing comma here, because otherwise only reading the next value would detect it. */
    c = next_char(json);
    if (c == ']' || c == '}') return fail(json);
  }
  json->begun |= level_bit(json);
  return true;
}

/* The content of the string whose opening quote is here. */
static const char *read_string(aiot_json *json, size_t *bytes, bool *escaped) {
  *bytes = 0;
  if (json->failed || json->at >= json->bytes || json->text[json->at] != '"') {
    json->failed = true;
    return "";
  }
  const char *from = json->text + json->at + 1;
  if (!aiot_json_string_end(from, json->bytes - json->at - 1, bytes, escaped)) {
    json->failed = true;
    return "";
  }
  json->at += *bytes + 2;
  return from;
}

bool aiot_json_key(aiot_json *json) {
  json->key = "";
  json->key_bytes = 0;
  if (!follows(json, true)) return false;
  bool escaped = false;
  next_char(json);
  json->key = read_string(json, &json->key_bytes, &escaped);
  if (next_char(json) != ':') return fail(json);
  json->at++;
  return true;
}

bool aiot_json_is(const aiot_json *json, const char *name) {
  return !json->failed && aiot_json_text_is(json->key, json->key_bytes, name);
}

bool aiot_json_element(aiot_json *json) { return follows(json, false); }

char aiot_json_peek(aiot_json *json) {
  const char c = next_char(json);
  if (c == '-' || (c >= '0' && c <= '9')) return '0';
  if (c != 0 && strchr("{[\"tfn", c) != NULL) return c;
  json->failed = true;
  return 0;
}

static size_t digits_at(const aiot_json *json, size_t at) {
  const size_t from = at;
  while (at < json->bytes && json->text[at] >= '0' && json->text[at] <= '9') at++;
  return at - from;
}

/* Reads a number's text and returns its length; 0 = not a number. */
static size_t read_number(aiot_json *json) {
  const size_t from = json->at;
  size_t at = from;
  const char *text = json->text;
  if (at < json->bytes && text[at] == '-') at++;
  const size_t whole = digits_at(json, at);
  if (whole == 0 || (whole > 1 && text[at] == '0')) return 0;
  at += whole;
  if (at < json->bytes && text[at] == '.') {
    const size_t fraction = digits_at(json, at + 1);
    if (fraction == 0) return 0;
    at += 1 + fraction;
  }
  if (at < json->bytes && (text[at] == 'e' || text[at] == 'E')) {
    at++;
    if (at < json->bytes && (text[at] == '+' || text[at] == '-')) at++;
    const size_t exponent = digits_at(json, at);
    if (exponent == 0) return 0;
    at += exponent;
  }
  json->at = at;
  return at - from;
}

double aiot_json_number(aiot_json *json) {
  if (begin_value(json) == 0) return 0;
  const char *text = json->text + json->at;
  const size_t bytes = read_number(json);
  if (bytes > 0) return aiot_json_nearest(text, bytes);
  json->failed = true;
  return 0;
}

int64_t aiot_json_integer(aiot_json *json) {
  const double value = aiot_json_number(json);
  if (value == floor(value) && fabs(value) <= 9007199254740991.0) return (int64_t)value;
  json->failed = true;
  return 0;
}

static bool read_word(aiot_json *json, const char *word) {
  const size_t bytes = strlen(word);
  if (json->bytes - json->at < bytes || memcmp(json->text + json->at, word, bytes) != 0) return fail(json);
  json->at += bytes;
  return true;
}

bool aiot_json_boolean(aiot_json *json) {
  const char c = begin_value(json);
  if (c == 't') return read_word(json, "true");
  if (c == 'f') read_word(json, "false");
  else json->failed = true;
  return false;
}

bool aiot_json_null(aiot_json *json) {
  if (next_char(json) != 'n') return false;
  return begin_value(json) == 'n' && read_word(json, "null");
}

/* Reads a string into `out`, truncated if it does not fit or contains a NUL; returns whether it is complete. */
static bool unescape_next(aiot_json *json, char *out, size_t room, size_t *written) {
  size_t bytes = 0;
  bool escaped = false;
  *written = 0;
  if (room > 0) out[0] = 0;
  if (begin_value(json) == 0) return false;
  const char *text = read_string(json, &bytes, &escaped);
  return !json->failed && aiot_json_unescape(text, bytes, out, room, written);
}

size_t aiot_json_string(aiot_json *json, char *out, size_t room) {
  size_t written;
  if (unescape_next(json, out, room, &written)) return written;
  json->failed = true;
  if (room > 0) out[0] = 0;
  return 0;
}

size_t aiot_json_text(aiot_json *json, char *out, size_t room) {
  size_t written;
  unescape_next(json, out, room, &written);
  return written;
}

const char *aiot_json_raw(aiot_json *json, size_t *bytes) {
  bool escaped = false;
  *bytes = 0;
  if (begin_value(json) == 0) return "";
  const char *text = read_string(json, bytes, &escaped);
  if (!escaped) return text;
  json->failed = true;
  *bytes = 0;
  return "";
}

/* Skips a scalar value. */
static void skip_scalar(aiot_json *json) {
  size_t bytes;
  bool escaped;
  switch (begin_value(json)) {
    case '"':
      read_string(json, &bytes, &escaped);
      return;
    case 't':
      read_word(json, "true");
      return;
    case 'f':
      read_word(json, "false");
      return;
    case 'n':
      read_word(json, "null");
      return;
    default:
      if (json->failed || read_number(json) == 0) json->failed = true;
  }
}

void aiot_json_skip(aiot_json *json) {
  const uint8_t outside = json->depth;
  const char *key = json->key;
  const size_t key_bytes = json->key_bytes;
  do {
    const char c = next_char(json);
    if (c == '{' || c == '[') aiot_json_enter(json, c);
    else skip_scalar(json);
    /* Leaves all arrays and objects that end here, and moves on to the next value. */
    while (!json->failed && json->depth > outside) {
      const bool object = (json->objects & level_bit(json)) != 0;
      if (object ? aiot_json_key(json) : aiot_json_element(json)) break;
    }
  } while (!json->failed && json->depth > outside);
  json->key = key;
  json->key_bytes = key_bytes;
}

const char *aiot_json_value(aiot_json *json, size_t *bytes) {
  next_char(json);
  const size_t from = json->at;
  aiot_json_skip(json);
  *bytes = json->failed ? 0 : json->at - from;
  return json->failed ? "" : json->text + from;
}

bool aiot_json_done(aiot_json *json) {
  if (next_char(json) != 0 || json->depth > 0 || (json->begun & 1u) == 0) json->failed = true;
  return !json->failed && json->at == json->bytes;
}
