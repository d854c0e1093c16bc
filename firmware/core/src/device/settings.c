#include "settings.h"

#include <math.h>
#include <string.h>

#include "../json_text.h"
#include "members.h"
#include "outbox.h"

_Static_assert(AIOT_SETTINGS_BYTES == 2304u, "a reason below has this number");

/* Longest text of a value: every character is an escape of 6 bytes. */
enum { VALUE_BYTES = 6 * AIOT_SETTING_TEXT_BYTES + 2 };

static size_t size_of(const aiot_setting *setting) {
  switch (setting->type) {
    case AIOT_SETTING_IS_BOOLEAN:
      return sizeof(bool);
    case AIOT_SETTING_IS_INTEGER:
      return sizeof(int32_t);
    case AIOT_SETTING_IS_NUMBER:
      return sizeof(double);
    default:
      return setting->bytes;
  }
}

static size_t padded(size_t bytes) { return (bytes + 7) / 8 * 8; }

/* The variable itself, or its place among the prepared values; NULL = the variables. */
static void *place_of(const aiot_setting *table, size_t i, uint8_t *prepared) {
  if (prepared == NULL) return table[i].variable.text;
  for (size_t k = 0; k < i; k++) prepared += padded(size_of(&table[k]));
  return prepared;
}

static size_t total_of(const aiot_setting *table) {
  size_t bytes = 0;
  for (; table->name != NULL; table++) bytes += padded(size_of(table));
  return bytes;
}

/* Sets the reason of a rejection, which is truncated, and returns false. */
static bool wrong(char reason[AIOT_REASON_BYTES], const char *name, const char *expected) {
  const char *const parts[] = {name, ": expected ", expected};
  size_t at = 0;
  for (size_t i = 0; i < 3; i++) {
    for (const char *c = parts[i]; *c != '\0' && at < AIOT_REASON_BYTES - 1; c++) reason[at++] = *c;
  }
  /* If the text was cut, its last character may be incomplete. */
  const bool cut = at == AIOT_REASON_BYTES - 1;
  while (cut && at > 0 && ((uint8_t)reason[at - 1] & 0xc0) == 0x80) at--;
  if (cut && at > 0 && (uint8_t)reason[at - 1] >= 0xc0) at--;
  reason[at] = '\0';
  return false;
}

static size_t append(char *out, size_t room, size_t at, const char *text) {
  for (; *text != '\0' && at < room - 1; text++) out[at++] = *text;
  out[at] = '\0';
  return at;
}

static bool outside(const aiot_setting *setting, char reason[AIOT_REASON_BYTES]) {
  char expected[2 * AIOT_NUMBER_BYTES + 24], number[AIOT_NUMBER_BYTES];
  size_t at = append(expected, sizeof expected, 0, setting->type == AIOT_SETTING_IS_INTEGER ? "an integer from " : "a number from ");
  aiot_number_text(setting->least, number);
  at = append(expected, sizeof expected, at, number);
  at = append(expected, sizeof expected, at, " to ");
  aiot_number_text(setting->most, number);
  append(expected, sizeof expected, at, number);
  return wrong(reason, setting->name, expected);
}

static bool is_choice(const char *choices, const char *text) {
  const size_t bytes = strlen(text);
  for (const char *at = choices;; at++) {
    const char *end = strchr(at, '|');
    const size_t length = end == NULL ? strlen(at) : (size_t)(end - at);
    if (length == bytes && memcmp(at, text, bytes) == 0) return true;
    if (end == NULL) return false;
    at = end;
  }
}

/* Whether the raw text of a string has an escape that is half of a surrogate pair. Such a text has no UTF-8. */
static bool has_half(const char *raw, size_t bytes) {
  bool high = false;
  for (size_t at = 0; at < bytes; at++) {
    const bool unit = raw[at] == '\\' && at + 5 < bytes && raw[at + 1] == 'u' && (raw[at + 2] == 'd' || raw[at + 2] == 'D') &&
                      strchr("89abcdefABCDEF", raw[at + 3]) != NULL;
    const bool low = unit && strchr("cdefCDEF", raw[at + 3]) != NULL;
    if (high != low) return true;
    high = unit && !low;
    if (raw[at] == '\\') at += unit ? 5 : 1;
  }
  return high;
}

static bool read_text(const aiot_setting *setting, aiot_json *json, char *out, char reason[AIOT_REASON_BYTES]) {
  size_t bytes, written;
  const char *raw = aiot_json_value(json, &bytes);
  if (json->failed) return false;
  if (has_half(raw + 1, bytes - 2)) return wrong(reason, setting->name, "text without unpaired surrogates");
  if (aiot_json_unescape(raw + 1, bytes - 2, out, setting->bytes, &written)) {
    if (setting->choices == NULL || is_choice(setting->choices, out)) return true;
    return wrong(reason, setting->name, setting->choices);
  }
  char expected[64], number[AIOT_NUMBER_BYTES];
  aiot_number_text((double)(setting->bytes - 1), number);
  size_t at = append(expected, sizeof expected, 0, "at most ");
  at = append(expected, sizeof expected, at, number);
  append(expected, sizeof expected, at, " bytes of text without NUL");
  return wrong(reason, setting->name, expected);
}

/* Reads a value of the right type and within its bounds. */
static bool read_value(const aiot_setting *setting, aiot_json *json, void *out, char reason[AIOT_REASON_BYTES]) {
  const char kind = aiot_json_peek(json);
  if (json->failed) return false;
  if (setting->type == AIOT_SETTING_IS_BOOLEAN) {
    if (kind != 't' && kind != 'f') return wrong(reason, setting->name, "true or false");
    *(bool *)out = aiot_json_boolean(json);
    return !json->failed;
  }
  if (setting->type == AIOT_SETTING_IS_TEXT) return kind == '"' ? read_text(setting, json, out, reason) : wrong(reason, setting->name, "a text");
  const double value = kind == '0' ? aiot_json_number(json) : NAN;
  if (json->failed) return false;
  const bool fits = value >= setting->least && value <= setting->most;
  if (setting->type == AIOT_SETTING_IS_NUMBER) {
    if (!fits || !isfinite(value)) return outside(setting, reason);
    /* -0 is stored and reported as 0, as in JavaScript. */
    *(double *)out = value + 0.0;
    return true;
  }
  if (!fits || floor(value) < value || value < -2147483648.0 || value > 2147483647.0) return outside(setting, reason);
  *(int32_t *)out = (int32_t)value;
  return true;
}

static void set_default(const aiot_setting *setting, void *out) {
  if (setting->type == AIOT_SETTING_IS_BOOLEAN) *(bool *)out = setting->value > 0;
  if (setting->type == AIOT_SETTING_IS_INTEGER) *(int32_t *)out = (int32_t)setting->value;
  if (setting->type == AIOT_SETTING_IS_NUMBER) *(double *)out = setting->value;
  if (setting->type != AIOT_SETTING_IS_TEXT) return;
  memset(out, 0, setting->bytes);
  memcpy(out, setting->text, strlen(setting->text));
}

typedef struct {
  const aiot_setting *table;
  uint8_t *prepared;
  uint32_t named;
  char *reason;
  /* The path of the current object, with a dot at its end. */
  char path[AIOT_SETTING_NAME_BYTES];
} reading;

/* The settings whose names begin with this path: one bit each. `whole`: only the one with this name. */
static uint32_t under(const aiot_setting *table, const char *path, bool whole) {
  uint32_t found = 0;
  for (size_t i = 0; table[i].name != NULL; i++) {
    if (whole ? strcmp(table[i].name, path) == 0 : strncmp(table[i].name, path, strlen(path)) == 0) found |= (uint32_t)1 << i;
  }
  return found;
}

static size_t index_of(uint32_t bit) {
  size_t i = 0;
  while (bit >> i != 1) i++;
  return i;
}

/* Appends the key to the path; false if it is longer than any name, or contains a dot. */
static bool enter_key(reading *r, const aiot_json *json, size_t used) {
  size_t written;
  return aiot_json_unescape(json->key, json->key_bytes, r->path + used, sizeof r->path - used - 1, &written) && written > 0 &&
         strchr(r->path + used, '.') == NULL;
}

/* Reads an object's values into their places. It calls itself for an object that is a part of a setting's name. */
static bool read_object(reading *r, aiot_json *json, size_t used) {
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (!enter_key(r, json, used)) return wrong(r->reason, r->path, "a setting of this program");
    const size_t more = strlen(r->path);
    const uint32_t one = under(r->table, r->path, true);
    if (one != 0) {
      if ((r->named & one) != 0) return wrong(r->reason, r->path, "a single value");
      const size_t i = index_of(one);
      if (!read_value(&r->table[i], json, place_of(r->table, i, r->prepared), r->reason)) return false;
      r->named |= one;
      continue;
    }
    memcpy(r->path + more, ".", 2);
    const uint32_t inside = under(r->table, r->path, false);
    const char *expected = inside == 0 ? "a setting of this program" : aiot_json_peek(json) != '{' ? "an object" : (r->named & inside) != 0 ? "a single object" : NULL;
    if (expected == NULL) {
      if (!read_object(r, json, more + 1)) return false;
      /* An object without members would be missing in the values that are stored. */
      if ((r->named & inside) == 0) expected = "an object with members";
    }
    r->path[more] = '\0';
    if (json->failed) return false;
    if (expected != NULL) return wrong(r->reason, r->path, expected);
  }
  r->path[used] = '\0';
  return !json->failed;
}

/* Prepares the values of a text, and the defaults of all other settings. False: they are invalid, and `reason` says why. */
static bool prepare(const aiot_device *device, const char *text, size_t bytes, uint32_t *named, char reason[AIOT_REASON_BYTES]) {
  reading r = {.table = device->setup.settings->setting, .prepared = device->message.out, .reason = reason};
  aiot_json json;
  aiot_json_begin(&json, text, bytes);
  if (aiot_json_peek(&json) != '{') return wrong(reason, "values", "an object");
  if (!read_object(&r, &json, 0)) return false;
  for (size_t i = 0; r.table[i].name != NULL; i++) {
    if ((r.named >> i & 1) == 0) set_default(&r.table[i], place_of(r.table, i, r.prepared));
  }
  *named = r.named;
  return aiot_json_done(&json);
}

/* Where canonical JSON goes: into a hash, or into memory. */
typedef struct {
  const aiot_crypto *crypto;
  void *hash;
  char *out;
  size_t room;
  size_t used;
} sink;

static void put(sink *to, const void *data, size_t bytes) {
  if (to->out == NULL) to->crypto->sha256_update(to->crypto->context, to->hash, data, bytes);
  else if (to->used + bytes <= to->room) memcpy(to->out + to->used, data, bytes);
  to->used += bytes;
}

static void put_text(sink *to, const char *text) { put(to, text, strlen(text)); }

/* Compares names as paths: a dot comes before every other character. */
static int compare(const char *a, const char *b) {
  while (*a != '\0' && *a == *b) a++, b++;
  const int x = *a == '.' ? 1 : (uint8_t)*a, y = *b == '.' ? 1 : (uint8_t)*b;
  return x - y;
}

/* The named setting with the smallest name after this one; -1 = none. */
static int next_of(const aiot_setting *table, uint32_t named, const char *after) {
  int found = -1;
  for (int i = 0; table[i].name != NULL; i++) {
    if ((named >> i & 1) == 0 || (after != NULL && compare(table[i].name, after) <= 0)) continue;
    if (found < 0 || compare(table[i].name, table[found].name) < 0) found = i;
  }
  return found;
}

/* Writes the end of the objects of one name that the next name is not in, and the beginning of the next one's. */
static void put_key(sink *to, const char *before, const char *name) {
  size_t common = 0;
  for (size_t i = 0; before != NULL && before[i] == name[i] && name[i] != '\0'; i++) {
    if (name[i] == '.') common = i + 1;
  }
  for (const char *c = before == NULL ? "" : before + common; *c != '\0'; c++) {
    if (*c == '.') put_text(to, "}");
  }
  if (before != NULL) put_text(to, ",");
  for (const char *part = name + common;;) {
    const char *dot = strchr(part, '.');
    put_text(to, "\"");
    put(to, part, dot == NULL ? strlen(part) : (size_t)(dot - part));
    put_text(to, "\":");
    if (dot == NULL) return;
    put_text(to, "{");
    part = dot + 1;
  }
}

static void put_value(sink *to, const aiot_setting *setting, const void *value) {
  char text[VALUE_BYTES];
  aiot_writer writer;
  aiot_write_begin(&writer, text, sizeof text, AIOT_ENCODING_JSON);
  if (setting->type == AIOT_SETTING_IS_BOOLEAN) aiot_write_boolean(&writer, *(const bool *)value);
  else if (setting->type == AIOT_SETTING_IS_INTEGER) aiot_write_integer(&writer, *(const int32_t *)value);
  else if (setting->type == AIOT_SETTING_IS_NUMBER) aiot_write_number(&writer, *(const double *)value);
  else aiot_write_text(&writer, value);
  put(to, text, aiot_write_end(&writer));
}

/* Writes the values in canonical JSON, as src/lib/core/crypto.ts does: sorted names, and no white space. */
static void put_values(sink *to, const aiot_setting *table, uint32_t named, uint8_t *prepared) {
  const char *before = NULL;
  put_text(to, "{");
  for (int i = next_of(table, named, NULL); i >= 0; i = next_of(table, named, before)) {
    put_key(to, before, table[i].name);
    put_value(to, &table[i], place_of(table, (size_t)i, prepared));
    before = table[i].name;
  }
  for (const char *c = before == NULL ? "" : before; *c != '\0'; c++) {
    if (*c == '.') put_text(to, "}");
  }
  put_text(to, "}");
}

/* The digest of the prepared values, or of the variables (NULL). */
static void digest_of(const aiot_device *device, uint32_t named, uint8_t *prepared, char out[AIOT_SETTINGS_DIGEST_BYTES]) {
  static const char hex[] = "0123456789abcdef";
  uint64_t hash[AIOT_SHA256_STATE_BYTES / 8];
  uint8_t digest[AIOT_SHA256_BYTES];
  const aiot_crypto *crypto = device->setup.crypto;
  sink to = {.crypto = crypto, .hash = hash};
  crypto->sha256_begin(crypto->context, hash);
  put_values(&to, device->setup.settings->setting, named, prepared);
  crypto->sha256_end(crypto->context, hash, digest);
  memcpy(out, "sha256:", 7);
  for (size_t i = 0; i < AIOT_SHA256_BYTES; i++) {
    out[7 + 2 * i] = hex[digest[i] >> 4];
    out[8 + 2 * i] = hex[digest[i] & 15];
  }
  out[7 + 2 * AIOT_SHA256_BYTES] = '\0';
}

/* Exchanges the variables with the prepared values. */
static void swap(const aiot_device *device) {
  const aiot_setting *table = device->setup.settings->setting;
  uint8_t *prepared = device->message.out;
  for (size_t i = 0; table[i].name != NULL; i++) {
    uint8_t *variable = place_of(table, i, NULL);
    for (size_t k = 0; k < size_of(&table[i]); k++) {
      const uint8_t byte = variable[k];
      variable[k] = prepared[k];
      prepared[k] = byte;
    }
    prepared += padded(size_of(&table[i]));
  }
}

static aiot_code apply(const aiot_device *device, char reason[AIOT_REASON_BYTES]) {
  const aiot_setting_table *settings = device->setup.settings;
  if (settings->apply == NULL) return AIOT_OK;
  reason[0] = '\0';
  const aiot_code code = settings->apply(device->setup.context, reason);
  reason[AIOT_REASON_BYTES - 1] = '\0';
  if (code != AIOT_OK && reason[0] == '\0') append(reason, AIOT_REASON_BYTES, 0, "the program rejects the settings");
  return code;
}

static bool store(const aiot_device *device, const void *text, size_t bytes) {
  const aiot_settings_store *where = device->setup.settings_store;
  return where == NULL || where->write(where->context, text, bytes);
}

/* Stores the variables, behind the prepared values in the message buffer. */
static bool store_variables(const aiot_device *device, uint32_t named, const char *digest) {
  const aiot_setting *table = device->setup.settings->setting;
  const size_t before = total_of(table);
  sink to = {.out = (char *)device->message.out + before, .room = device->message.room - before};
  put_text(&to, "{\"digest\":\"");
  put_text(&to, digest);
  put_text(&to, "\",\"values\":");
  put_values(&to, table, named, NULL);
  put_text(&to, "}");
  return to.used <= to.room && store(device, to.out, to.used);
}

typedef struct {
  char digest[AIOT_SETTINGS_DIGEST_BYTES];
  const char *values;
  size_t bytes;
} sent_settings;

static bool is_digest(const char *text) {
  return strncmp(text, "sha256:", 7) == 0 && strlen(text) == 7 + 2 * AIOT_SHA256_BYTES &&
         strspn(text + 7, "0123456789abcdef") == 2 * AIOT_SHA256_BYTES;
}

/* Reads a message. Its digest may be known even if the rest is malformed. */
static bool read_message(sent_settings *sent, const void *text, size_t bytes) {
  aiot_json json;
  memset(sent, 0, sizeof *sent);
  aiot_json_begin(&json, text, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "digest") && sent->digest[0] == '\0') {
      aiot_json_string(&json, sent->digest, sizeof sent->digest);
      if (!is_digest(sent->digest)) json.failed = true;
    } else if (aiot_json_is(&json, "values") && sent->values == NULL) {
      sent->values = aiot_json_value(&json, &sent->bytes);
    } else if (aiot_json_is(&json, "digest") || aiot_json_is(&json, "values")) {
      json.failed = true;
    } else {
      aiot_json_skip(&json);
    }
  }
  if (!is_digest(sent->digest)) sent->digest[0] = '\0';
  return aiot_json_done(&json) && sent->digest[0] != '\0' && sent->values != NULL;
}

/* Notes why settings are not used; they are reported by their digest. */
static void reject(aiot_device *device, const char *digest, aiot_code code, const char *reason) {
  char text[AIOT_REASON_BYTES + 16];
  aiot_settings_state *state = device->settings;
  append(state->rejected, sizeof state->rejected, 0, digest);
  append(state->reason, sizeof state->reason, 0, reason);
  state->code = code;
  device->report_due = true;
  append(text, sizeof text, append(text, sizeof text, 0, "settings: "), reason);
  aiot_device_log(device, "warn", text, code);
}

/* Uses the prepared values, and stores them. If that fails, the former values remain in use. */
static aiot_code use(const aiot_device *device, uint32_t named, const char *digest, char reason[AIOT_REASON_BYTES]) {
  char ignored[AIOT_REASON_BYTES];
  swap(device);
  aiot_code code = apply(device, reason);
  if (code == AIOT_OK) {
    if (store_variables(device, named, digest)) return AIOT_OK;
    code = AIOT_FLASH_FAILED;
    append(reason, AIOT_REASON_BYTES, 0, "the settings cannot be stored; the former ones remain in use");
  }
  swap(device);
  apply(device, ignored);
  return code;
}

/* Returns to the defaults once the stored settings are deleted. */
static void remove_settings(aiot_device *device) {
  const aiot_setting *table = device->setup.settings->setting;
  aiot_settings_state *state = device->settings;
  char digest[AIOT_SETTINGS_DIGEST_BYTES], reason[AIOT_REASON_BYTES];
  state->rejected[0] = '\0';
  device->report_due = true;
  /* Settings that this program does not use may be stored too. */
  if (!store(device, "", 0)) {
    if (!state->sent) aiot_device_log(device, "error", "the stored settings cannot be deleted", AIOT_FLASH_FAILED);
    if (!state->sent) return;
    digest_of(device, state->named, NULL, digest);
    reject(device, digest, AIOT_FLASH_FAILED, "the stored settings cannot be deleted; they remain in use");
    return;
  }
  if (!state->sent) return;
  for (size_t i = 0; table[i].name != NULL; i++) set_default(&table[i], place_of(table, i, NULL));
  state->sent = false;
  state->named = 0;
  if (apply(device, reason) != AIOT_OK) aiot_device_log(device, "error", reason, AIOT_SETTINGS_REJECTED);
}

void aiot_device_take_settings(aiot_device *device, const uint8_t *payload, size_t bytes) {
  aiot_settings_state *state = device->settings;
  sent_settings sent;
  uint32_t named;
  char digest[AIOT_SETTINGS_DIGEST_BYTES], reason[AIOT_REASON_BYTES] = "the message is malformed";
  if (bytes == 0) {
    remove_settings(device);
    return;
  }
  const bool read = read_message(&sent, payload, bytes);
  /* Settings that are in use already are not stored again at each connection. */
  if (read && state->sent) {
    digest_of(device, state->named, NULL, digest);
    if (strcmp(digest, sent.digest) == 0) {
      state->rejected[0] = '\0';
      device->report_due = true;
      return;
    }
  }
  aiot_code code = AIOT_OK;
  if (!read) {
    code = AIOT_MESSAGE_MALFORMED;
  } else if (bytes > AIOT_SETTINGS_BYTES) {
    code = AIOT_SETTINGS_REJECTED;
    append(reason, sizeof reason, 0, "the message is longer than 2304 bytes");
  } else if (!prepare(device, sent.values, sent.bytes, &named, reason)) {
    code = AIOT_SETTINGS_REJECTED;
  } else {
    digest_of(device, named, device->message.out, digest);
    if (strcmp(digest, sent.digest) != 0) {
      code = AIOT_SETTINGS_REJECTED;
      wrong(reason, "digest", "the digest of the values");
    } else {
      code = use(device, named, digest, reason);
    }
  }
  if (code != AIOT_OK) {
    reject(device, sent.digest, code, reason);
    return;
  }
  state->sent = true;
  state->named = named;
  state->rejected[0] = '\0';
  device->report_due = true;
}

/* Checks a name, and that it is neither that of another setting nor of an object with others. */
static bool is_name(const aiot_setting *table, const char *name) {
  char path[AIOT_SETTING_NAME_BYTES];
  const size_t bytes = strlen(name);
  if (bytes == 0 || bytes >= sizeof path - 1 || name[bytes - 1] == '.' || name[0] == '.' || strstr(name, "..") != NULL) return false;
  if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != bytes) return false;
  memcpy(path, name, bytes);
  memcpy(path + bytes, ".", 2);
  const uint32_t own = under(table, name, true);
  return (own & (own - 1)) == 0 && under(table, path, false) == 0;
}

static bool is_valid(const aiot_setting *setting) {
  if (setting->type == AIOT_SETTING_IS_BOOLEAN) return true;
  if (setting->type == AIOT_SETTING_IS_TEXT) {
    return setting->bytes > 0 && setting->bytes <= AIOT_SETTING_TEXT_BYTES && strlen(setting->text) < setting->bytes &&
           (setting->choices == NULL || is_choice(setting->choices, setting->text));
  }
  const bool whole = setting->type == AIOT_SETTING_IS_NUMBER || (floor(setting->value) == setting->value && setting->least >= -2147483648.0 && setting->most <= 2147483647.0);
  return whole && setting->value >= setting->least && setting->value <= setting->most && isfinite(setting->least) && isfinite(setting->most);
}

static bool check_table(aiot_device *device) {
  const aiot_setting *table = device->setup.settings->setting;
  size_t count = 0;
  while (count <= AIOT_SETTINGS_MAX && table[count].name != NULL) count++;
  bool good = device->setup.crypto != NULL && count <= AIOT_SETTINGS_MAX && total_of(table) <= AIOT_SETTINGS_MEMORY && total_of(table) + AIOT_SETTINGS_BYTES <= device->message.room;
  for (size_t i = 0; i < count && good; i++) good = is_name(table, table[i].name) && is_valid(&table[i]);
  return good;
}

bool aiot_device_has_settings(const aiot_device *device) {
  return device->setup.settings != NULL && device->setup.settings->setting->name != NULL;
}

/* Reads the stored settings into the place of the prepared ones; false = there are none, or this program cannot use them. */
static bool read_stored(aiot_device *device, uint32_t *named, char reason[AIOT_REASON_BYTES]) {
  const aiot_settings_store *where = device->setup.settings_store;
  const size_t before = total_of(device->setup.settings->setting);
  char *text = (char *)device->message.out + before, digest[AIOT_SETTINGS_DIGEST_BYTES];
  const size_t bytes = where == NULL ? 0 : where->read(where->context, text, device->message.room - before);
  sent_settings sent;
  reason[0] = '\0';
  if (bytes == 0) return false;
  append(reason, AIOT_REASON_BYTES, 0, "the text is malformed");
  if (!read_message(&sent, text, bytes) || !prepare(device, sent.values, sent.bytes, named, reason)) return false;
  digest_of(device, *named, device->message.out, digest);
  return strcmp(digest, sent.digest) == 0 || wrong(reason, "digest", "the digest of the values");
}

aiot_code aiot_device_load_settings(aiot_device *device) {
  char reason[AIOT_REASON_BYTES], text[AIOT_REASON_BYTES + 40] = "";
  if (!aiot_device_has_settings(device)) return AIOT_OK;
  if (!check_table(device)) return AIOT_SETTINGS_REJECTED;
  const aiot_setting *table = device->setup.settings->setting;
  aiot_settings_state *state = device->settings = aiot_arena_take(&device->arena, sizeof *state, 8);
  if (state == NULL) return AIOT_MEMORY_SHORT;
  memset(state, 0, sizeof *state);
  state->sent = read_stored(device, &state->named, reason);
  if (!state->sent && reason[0] != '\0') append(text, sizeof text, append(text, sizeof text, 0, "the stored settings are not used: "), reason);
  if (state->sent) swap(device);
  for (size_t i = 0; !state->sent && table[i].name != NULL; i++) set_default(&table[i], place_of(table, i, NULL));
  if (apply(device, reason) != AIOT_OK && state->sent) {
    append(text, sizeof text, append(text, sizeof text, 0, "the stored settings are not used: "), reason);
    for (size_t i = 0; table[i].name != NULL; i++) set_default(&table[i], place_of(table, i, NULL));
    state->sent = false;
    apply(device, reason);
  }
  if (!state->sent) state->named = 0;
  if (text[0] != '\0') aiot_device_log(device, "error", text, AIOT_SETTINGS_REJECTED);
  return AIOT_OK;
}

void aiot_device_write_settings(aiot_writer *writer, const aiot_device *device) {
  const aiot_settings_state *state = device->settings;
  char digest[AIOT_SETTINGS_DIGEST_BYTES];
  if (state == NULL) return;
  aiot_write_key(writer, "settings");
  aiot_write_object(writer);
  aiot_write_key(writer, "digest");
  if (state->sent) {
    digest_of(device, state->named, NULL, digest);
    aiot_write_text(writer, digest);
  } else {
    aiot_write_null(writer);
  }
  if (state->rejected[0] != '\0') {
    aiot_write_key(writer, "error");
    aiot_write_object(writer);
    aiot_write_text_member(writer, "digest", state->rejected);
    aiot_write_text_member(writer, "code", aiot_code_name(state->code));
    aiot_write_text_member(writer, "message", state->reason);
    aiot_write_object_end(writer);
  }
  aiot_write_object_end(writer);
}
