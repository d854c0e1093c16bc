#include "aiot/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

typedef struct {
  const char *text;
  uint64_t bits;
} number_row;
typedef struct {
  const char *text;
  size_t bytes;
  bool accepted;
} text_row;
typedef struct {
  const char *text;
  size_t bytes;
  const char *utf8;
  size_t utf8_bytes;
} string_row;

#include "json.inc"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* Returns a copy of exactly these bytes, so that the sanitizer detects a read beyond them. */
static char *exactly(const char *text, size_t bytes) {
  char *copy = malloc(bytes > 0 ? bytes : 1);
  if (copy == NULL) abort();
  memcpy(copy, text, bytes);
  return copy;
}

static void test_numbers(checks *c) {
  for (size_t i = 0; i < ROWS(number_rows); i++) {
    const size_t bytes = strlen(number_rows[i].text);
    char *text = exactly(number_rows[i].text, bytes);
    aiot_json json;
    aiot_json_begin(&json, text, bytes);
    const double value = aiot_json_number(&json);
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (!check_at(c, "number", "row", i, bits == number_rows[i].bits && aiot_json_done(&json)))
      printf("  %.80s: %a\n", number_rows[i].text, value);
    free(text);
  }
}

/*
 * The host's C library rounds as IEEE 754 requires, unlike those of some devices. It is an independent check with many more
 * numbers.
 */
static void test_numbers_by_strtod(checks *c) {
  uint64_t state = 1;
  for (size_t i = 0; i < 30000; i++) {
    char text[64];
    state = state * 6364136223846793005u + 1442695040888963407u;
    const uint64_t digits = state >> (i % 40);
    const int exponent = (int)((state >> 7) % 700) - 350;
    snprintf(text, sizeof text, i % 2 == 0 ? "%" PRIu64 "e%d" : "0.%" PRIu64 "e%d", digits, exponent);
    aiot_json json;
    aiot_json_begin(&json, text, strlen(text));
    const double value = aiot_json_number(&json), expected = strtod(text, NULL);
    if (!check_at(c, "number as in strtod", "row", i, memcmp(&value, &expected, sizeof value) == 0)) printf("  %s\n", text);
  }
}

/* Reads a whole text with every reading function, for comparison with `skip`. */
static bool walk(const char *text, size_t bytes) {
  aiot_json json;
  aiot_json_begin(&json, text, bytes);
  char string[256];
  uint8_t kinds[AIOT_JSON_DEPTH + 1] = {0};
  do {
    const char c = aiot_json_peek(&json);
    if (c == '{' || c == '[') {
      if (aiot_json_enter(&json, c)) kinds[json.depth] = (uint8_t)c;
    } else if (c == '"') {
      aiot_json_string(&json, string, sizeof string);
    } else if (c == '0') {
      aiot_json_number(&json);
    } else if (c == 'n') {
      if (!aiot_json_null(&json)) return false;
    } else {
      aiot_json_boolean(&json);
    }
    while (!json.failed && json.depth > 0 && !(kinds[json.depth] == '{' ? aiot_json_key(&json) : aiot_json_element(&json)))
      continue;
  } while (!json.failed && json.depth > 0);
  return aiot_json_done(&json);
}

static bool skip(const char *text, size_t bytes) {
  aiot_json json;
  aiot_json_begin(&json, text, bytes);
  aiot_json_skip(&json);
  return aiot_json_done(&json);
}

static void test_texts(checks *c) {
  size_t accepted = 0;
  for (size_t i = 0; i < ROWS(text_rows); i++) {
    const text_row *r = &text_rows[i];
    char *text = exactly(r->text, r->bytes);
    const bool skipped = skip(text, r->bytes), walked = walk(text, r->bytes);
    accepted += skipped;
    if (!check_at(c, "skipped as in JSON.parse", "row", i, skipped == r->accepted)) printf("  %s\n", r->text);
    if (!check_at(c, "read as in JSON.parse", "row", i, walked == r->accepted)) printf("  %s\n", r->text);
    free(text);
  }
  check_at(c, "accepted and rejected texts", "accepted", accepted, accepted > 60 && accepted < ROWS(text_rows) - 60);
}

static void test_strings(checks *c) {
  for (size_t i = 0; i < ROWS(string_rows); i++) {
    const string_row *r = &string_rows[i];
    char *text = exactly(r->text, r->bytes);
    for (size_t room = 0; room <= r->utf8_bytes + 2; room++) {
      aiot_json json;
      aiot_json_begin(&json, text, r->bytes);
      char *out = malloc(room > 0 ? room : 1);
      if (out == NULL) abort();
      const size_t length = aiot_json_string(&json, out, room);
      const bool fits = room > r->utf8_bytes;
      check_at(c, "string fits", "row", i, aiot_json_done(&json) == fits && length == (fits ? r->utf8_bytes : 0));
      if (room > 0) check_at(c, "string", "row", i, memcmp(out, fits ? r->utf8 : "", fits ? length + 1 : 1) == 0);
      aiot_json_begin(&json, text, r->bytes);
      const size_t cut = aiot_json_text(&json, out, room);
      check_at(c, "truncated string", "row", i,
               aiot_json_done(&json) && (room == 0 || (cut < room && out[cut] == 0 && memcmp(out, r->utf8, cut) == 0)));
      const bool within = cut < r->utf8_bytes && ((uint8_t)r->utf8[cut] & 0xc0) == 0x80;
      check_at(c, "truncated after a character", "row", i, !within && (!fits || cut == r->utf8_bytes));
      free(out);
    }
    free(text);
  }
}

static bool accepts(checks *c, const char *text, size_t bytes) {
  char *copy = exactly(text, bytes);
  const bool accepted = skip(copy, bytes);
  check_at(c, "skipping and reading agree", text, 0, accepted == walk(copy, bytes));
  free(copy);
  return accepted;
}

/*
 * Valid and invalid UTF-8 (RFC 3629, sections 3 and 4). JSON.parse has no such cases, because its input consists of characters.
 */
static void test_utf8(checks *c) {
  const char *good[] = {"\"\x7f\"", "\"\xc2\x80\"", "\"\xdf\xbf\"", "\"\xe0\xa0\x80\"", "\"\xed\x9f\xbf\"",
                        "\"\xee\x80\x80\"", "\"\xf0\x90\x80\x80\"", "\"\xf4\x8f\xbf\xbf\""};
  const char *bad[] = {"\"\x80\"", "\"\xc0\x80\"", "\"\xc1\xbf\"", "\"\xc2\"", "\"\xc2\xc2\"", "\"\xe0\x9f\xbf\"", "\"\xed\xa0\x80\"",
                       "\"\xe1\x80\"", "\"\xf0\x8f\xbf\xbf\"", "\"\xf4\x90\x80\x80\"", "\"\xf5\x80\x80\x80\"", "\"\xff\"",
                       "\xef\xbb\xbf\"bom\"", "\"\xf0\x90\x80"};
  for (size_t i = 0; i < ROWS(good); i++) check_at(c, "UTF-8", "row", i, accepts(c, good[i], strlen(good[i])));
  for (size_t i = 0; i < ROWS(bad); i++) check_at(c, "not UTF-8", "row", i, !accepts(c, bad[i], strlen(bad[i])));
}

static void test_depth(checks *c) {
  char text[2 * (AIOT_JSON_DEPTH + 1)];
  for (size_t depth = 1; depth <= AIOT_JSON_DEPTH + 1; depth++) {
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    check_at(c, "depth", "levels", depth, accepts(c, text, 2 * depth) == (depth <= AIOT_JSON_DEPTH));
  }
}

static void test_use(checks *c) {
  static const char text[] = "{\"r\\u0061te\": 100, \"n\": null, \"on\": true, \"list\": [1, 2.0, 3e0], \"big\": 9007199254740992,"
                             " \"raw\": \"YWJj\", \"value\": {\"a\": [1]}, \"escaped\": \"a\\/b\"}";
  aiot_json json;
  int64_t rate = 0, sum = 0;
  bool on = false, null = false;
  size_t raw = 0, value = 0;
  aiot_json_begin(&json, text, sizeof text - 1);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "rate")) rate = aiot_json_integer(&json);
    else if (aiot_json_is(&json, "n")) null = aiot_json_null(&json);
    else if (aiot_json_is(&json, "on")) on = !aiot_json_null(&json) && aiot_json_boolean(&json);
    else if (aiot_json_is(&json, "raw")) check_at(c, "raw", "", 0, memcmp(aiot_json_raw(&json, &raw), "YWJj", 4) == 0);
    else if (aiot_json_is(&json, "value"))
      check_at(c, "value", "", 0, memcmp(aiot_json_value(&json, &value), "{\"a\": [1]}", 10) == 0);
    else if (aiot_json_is(&json, "list")) {
      aiot_json_enter(&json, '[');
      while (aiot_json_element(&json)) sum += aiot_json_integer(&json);
    } else {
      aiot_json_skip(&json);
    }
  }
  check_at(c, "done", "", 0, aiot_json_done(&json));
  check_at(c, "members", "", 0, rate == 100 && sum == 6 && null && on && raw == 4 && value == 10);

  static const char *const no_integers[] = {"1.5", "9007199254740992", "-9007199254740992", "1e999", "\"1\"", "null", "1e-400x"};
  for (size_t i = 0; i < ROWS(no_integers); i++) {
    aiot_json_begin(&json, no_integers[i], strlen(no_integers[i]));
    aiot_json_integer(&json);
    check_at(c, "not an integer", "row", i, !aiot_json_done(&json));
  }
  static const char *const no_raw[] = {"\"a\\/b\"", "1", "\"a", "\"\\u0041\""};
  for (size_t i = 0; i < ROWS(no_raw); i++) {
    size_t bytes = 9;
    aiot_json_begin(&json, no_raw[i], strlen(no_raw[i]));
    check_at(c, "not a raw string", "row", i, *aiot_json_raw(&json, &bytes) == 0 && bytes == 0 && !aiot_json_done(&json));
  }
}

/* Random bytes in well-formed texts. Nothing must be read beyond the end, and both ways of reading must agree. */
static void test_fuzz(checks *c) {
  uint32_t state = 12345;
  const char *seed = "{\"a\":[1,-2.5e3,\"x\\u0041\xc3\xa9\\ud83d\\ude00\",{\"b\":null,\"c\":[true,false,{}]},[]],\"d\":1e-310}";
  const size_t whole = strlen(seed);
  for (size_t round = 0; round < 60000; round++) {
    char text[128];
    memcpy(text, seed, whole);
    size_t bytes = whole;
    for (int n = 0; n < 3; n++) {
      state = state * 1664525u + 1013904223u;
      const size_t at = (state >> 8) % bytes;
      if ((state & 0x80) != 0) text[at] = (char)(state >> 24);
      else if (n == 0) bytes = at + 1;
    }
    char *copy = exactly(text, bytes);
    check_at(c, "skipping and reading agree", "round", round, skip(copy, bytes) == walk(copy, bytes));
    free(copy);
  }
}

int main(void) {
  checks c = {0};
  test_numbers(&c);
  test_numbers_by_strtod(&c);
  test_texts(&c);
  test_strings(&c);
  test_utf8(&c);
  test_depth(&c);
  test_use(&c);
  test_fuzz(&c);
  return checks_end(&c);
}
