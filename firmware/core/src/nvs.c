/* Source of the format: ESP-IDF, "Non-Volatile Storage Library", Internals. src/lib/formats/nvs is the same in TypeScript. */
#include "aiot/nvs.h"

#include <string.h>

#include "crc32.h"

enum {
  PAGE_BYTES = 4096,
  ENTRIES = 126,
  ENTRY_BYTES = 32,
  FIRST_ENTRY = 64,
  MAP = 32,
  KEY_AT = 8,
  KEY_BYTES = 16,
  DATA_AT = 24,
  WRITTEN = 2,
  TYPE_U8 = 0x01,
  TYPE_STRING = 0x21,
  TYPE_BLOB = 0x41,
  TYPE_BLOB_DATA = 0x42,
  TYPE_BLOB_INDEX = 0x48,
  NO_CHUNK = 0xff
};

/* An entry that was found. */
typedef struct {
  bool found;
  uint32_t sequence;
  /* Offset of its data, and size of the space for it. */
  uint32_t data_at;
  uint32_t data_room;
  uint8_t type;
  uint8_t data[8];
} entry;

/* The entry that is searched for. `chunk` is NO_CHUNK except for parts of blobs. */
typedef struct {
  uint8_t namespace_index;
  const char *key;
  bool (*type)(uint8_t type);
  uint8_t chunk;
} query;

static uint32_t u32_at(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Starts with all ones, like the ROM's function. */
static uint32_t sum(uint32_t before, const void *data, size_t bytes) { return aiot_crc32(before, data, bytes); }

static bool read(const aiot_nvs *nvs, uint32_t offset, void *out, size_t bytes) {
  return nvs->flash->read(nvs->flash->context, nvs->offset + offset, out, bytes);
}

/* Whether a page is in use, and its sequence number, which shows its age. */
static bool read_header(const aiot_nvs *nvs, uint32_t page, uint8_t header[FIRST_ENTRY], uint32_t *sequence) {
  if (!read(nvs, page, header, FIRST_ENTRY)) return false;
  const uint32_t state = u32_at(header);
  /* The state is active, full, or being moved when the power was cut. */
  if (state != 0xfffffffe && state != 0xfffffffc && state != 0xfffffff8) return false;
  *sequence = u32_at(header + 4);
  return u32_at(header + 28) == sum(0xffffffff, header + 4, 24) && (header[8] == 0xfe || header[8] == 0xff);
}

static unsigned state_of(const uint8_t *header, unsigned index) {
  return (unsigned)header[MAP + index / 4] >> (index % 4 * 2) & 3u;
}

/* Whether the 32 bytes are an entry that spans only used slots. */
static bool is_entry(const uint8_t *raw, const uint8_t *header, unsigned index) {
  if (u32_at(raw + 4) != sum(sum(0xffffffff, raw, 4), raw + 8, ENTRY_BYTES - 8)) return false;
  const unsigned span = raw[2];
  if (span == 0 || span > ENTRIES - index) return false;
  for (unsigned i = 1; i < span; i++)
    if (state_of(header, index + i) != WRITTEN) return false;
  return raw[KEY_AT + KEY_BYTES - 1] == 0;
}

static bool is_wanted(const uint8_t *raw, const query *q) {
  return raw[0] == q->namespace_index && q->type(raw[1]) && raw[3] == q->chunk &&
         strncmp((const char *)raw + KEY_AT, q->key, KEY_BYTES) == 0;
}

static void look_through(const aiot_nvs *nvs, uint32_t page, const query *q, entry *best) {
  uint8_t header[FIRST_ENTRY], raw[ENTRY_BYTES];
  uint32_t sequence = 0;
  if (!read_header(nvs, page, header, &sequence)) return;
  /* If an entry exists twice, the newer one applies: the later one within a page, or the one in the newer page. */
  if (best->found && best->sequence > sequence) return;
  for (unsigned i = 0; i < ENTRIES;) {
    const uint32_t at = page + FIRST_ENTRY + i * ENTRY_BYTES;
    if (state_of(header, i) != WRITTEN || !read(nvs, at, raw, sizeof raw) || !is_entry(raw, header, i)) {
      i++;
      continue;
    }
    if (is_wanted(raw, q)) {
      *best = (entry){.found = true, .sequence = sequence, .type = raw[1]};
      best->data_at = at + ENTRY_BYTES;
      best->data_room = (raw[2] - 1u) * ENTRY_BYTES;
      memcpy(best->data, raw + DATA_AT, sizeof best->data);
    }
    i += raw[2];
  }
}

static entry find(const aiot_nvs *nvs, const query *q) {
  entry best = {0};
  for (uint32_t page = 0; page + PAGE_BYTES <= nvs->bytes; page += PAGE_BYTES) look_through(nvs, page, q, &best);
  return best;
}

static bool is_u8(uint8_t type) { return type == TYPE_U8; }
static bool is_integer(uint8_t type) {
  const uint8_t width = type & 0x0f;
  return (type & 0xe0) == 0 && (width == 1 || width == 2 || width == 4 || width == 8);
}
static bool is_string(uint8_t type) { return type == TYPE_STRING; }
static bool is_blob(uint8_t type) { return type == TYPE_BLOB || type == TYPE_BLOB_INDEX; }
static bool is_blob_data(uint8_t type) { return type == TYPE_BLOB_DATA; }

/* Finds a key in its namespace. */
static entry find_value(const aiot_nvs *nvs, const char *namespace_name, const char *key, bool (*type)(uint8_t), uint8_t *index) {
  const query of_namespace = {0, namespace_name, is_u8, NO_CHUNK};
  const entry found = find(nvs, &of_namespace);
  if (!found.found || found.data[0] == 0 || strlen(key) >= KEY_BYTES) return (entry){0};
  *index = found.data[0];
  const query of_key = {*index, key, type, NO_CHUNK};
  return find(nvs, &of_key);
}

bool aiot_nvs_integer(const aiot_nvs *nvs, const char *namespace_name, const char *key, int64_t *value) {
  uint8_t index;
  const entry found = find_value(nvs, namespace_name, key, is_integer, &index);
  if (!found.found) return false;
  const unsigned width = found.type & 0x0f;
  const bool is_signed = (found.type & 0x10) != 0;
  uint64_t bits = 0;
  for (unsigned i = 0; i < width; i++) bits |= (uint64_t)found.data[i] << (8 * i);
  const bool negative = (found.data[width - 1] & 0x80) != 0;
  if (!is_signed && width == 8 && negative) return false;
  if (is_signed && negative && width < 8) bits |= ~(uint64_t)0 << (8 * width);
  memcpy(value, &bits, sizeof *value);
  return true;
}

/* Size of an entry's data; 0xffffffff if its span is invalid. */
static uint32_t data_bytes(const entry *e) {
  const uint32_t bytes = (uint32_t)e->data[0] | (uint32_t)e->data[1] << 8;
  return (bytes + ENTRY_BYTES - 1) / ENTRY_BYTES * ENTRY_BYTES == e->data_room ? bytes : 0xffffffff;
}

static bool read_data(const aiot_nvs *nvs, const entry *e, uint8_t *out, uint32_t bytes) {
  return read(nvs, e->data_at, out, bytes) && sum(0xffffffff, out, bytes) == u32_at(e->data + 4);
}

bool aiot_nvs_string(const aiot_nvs *nvs, const char *namespace_name, const char *key, char *out, size_t room, size_t *bytes) {
  uint8_t index;
  const entry found = find_value(nvs, namespace_name, key, is_string, &index);
  const uint32_t size = found.found ? data_bytes(&found) : 0;
  if (size == 0 || size > room || !read_data(nvs, &found, (uint8_t *)out, size) || out[size - 1] != 0) {
    if (room > 0) out[0] = 0;
    return false;
  }
  *bytes = size - 1;
  return true;
}

bool aiot_nvs_blob(const aiot_nvs *nvs, const char *namespace_name, const char *key, void *out, size_t room, size_t *bytes) {
  uint8_t index = 0;
  const entry found = find_value(nvs, namespace_name, key, is_blob, &index);
  *bytes = 0;
  if (!found.found) return false;
  if (found.type == TYPE_BLOB) {
    const uint32_t size = data_bytes(&found);
    *bytes = size == 0xffffffff ? 0 : size;
    return size <= room && read_data(nvs, &found, out, size);
  }
  /* The blob consists of parts. Their numbers start with the one in the index entry. */
  const uint32_t whole = u32_at(found.data);
  *bytes = whole;
  if (whole > room) return false;
  uint32_t at = 0;
  for (unsigned i = 0; i < found.data[4]; i++) {
    const query of_part = {index, key, is_blob_data, (uint8_t)(found.data[5] + i)};
    const entry part = find(nvs, &of_part);
    const uint32_t size = part.found ? data_bytes(&part) : 0xffffffff;
    if (size > whole - at || !read_data(nvs, &part, (uint8_t *)out + at, size)) return false;
    at += size;
  }
  return at == whole;
}
