#include "portable.h"

#include <string.h>

enum { FIRST_MS = 1000, LONGEST_MS = 60000, SCATTER_MS = 10000 };

bool aiot_backoff_due(const aiot_backoff *backoff, uint64_t now_ms) { return now_ms >= backoff->next_ms; }

void aiot_backoff_failed(aiot_backoff *backoff, uint64_t now_ms, uint32_t random) {
  const uint32_t doublings = backoff->failures < 6 ? backoff->failures : 6;
  uint32_t wait = (uint32_t)FIRST_MS << doublings;
  if (wait > LONGEST_MS) wait = LONGEST_MS;
  if (backoff->failures < UINT32_MAX) backoff->failures++;
  /* The wait is partly random, so that boards that lost the same access point do not all return at once. */
  backoff->next_ms = now_ms + wait - random % (wait / 2 + 1);
}

void aiot_backoff_worked(aiot_backoff *backoff) { *backoff = (aiot_backoff){0, 0}; }

void aiot_backoff_lost(aiot_backoff *backoff, uint64_t now_ms, uint32_t random) {
  /* The next failure then waits 8 s, which is about the maximum of this wait. */
  backoff->failures = 3;
  backoff->next_ms = now_ms + random % SCATTER_MS;
}

static char host_letter(char letter) {
  if (letter >= 'A' && letter <= 'Z') return (char)(letter - 'A' + 'a');
  return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') ? letter : '-';
}

void aiot_hostname(const char *name, char out[AIOT_HOSTNAME_BYTES]) {
  size_t bytes = 0;
  /* Hyphens are never first, last or repeated. */
  for (; *name != '\0' && bytes < AIOT_HOSTNAME_BYTES - 1; name++) {
    const char letter = host_letter(*name);
    if (letter != '-' || (bytes > 0 && out[bytes - 1] != '-')) out[bytes++] = letter;
  }
  if (bytes > 0 && out[bytes - 1] == '-') bytes--;
  if (bytes == 0) {
    memcpy(out, "aiot", 4);
    bytes = 4;
  }
  out[bytes] = '\0';
}

bool aiot_url_host(const char *url, char *out, size_t room) {
  const char *start = strstr(url, "://");
  if (start == NULL) return false;
  start += 3;
  const bool bracketed = *start == '[';
  if (bracketed) start++;
  const size_t bytes = strcspn(start, bracketed ? "]" : ":/?#");
  if (bytes == 0 || bytes >= room || (bracketed && start[bytes] != ']')) return false;
  memcpy(out, start, bytes);
  out[bytes] = '\0';
  return true;
}

/*
 * Performs the part of the operation at `offset` that concerns one partition. Returns the size of that part; 0 = there is no such
 * part, or it failed.
 */
typedef enum { READ, READ_RAW, WRITE } direction;

static size_t part(const aiot_joined *joined, direction way, uint32_t offset, uint8_t *out, const uint8_t *data, size_t bytes) {
  uint32_t start = 0;
  for (size_t i = 0; i < joined->pieces; start += joined->piece[i++].bytes) {
    if (offset - start >= joined->piece[i].bytes) continue;
    const aiot_flash *flash = joined->piece[i].flash;
    const uint32_t inside = offset - start, room = joined->piece[i].bytes - inside;
    const size_t count = bytes < room ? bytes : room;
    const uint32_t at = joined->piece[i].offset + inside;
    if (way == WRITE) return flash->write(flash->context, at, data, count) ? count : 0;
    bool (*const read)(void *, uint32_t, void *, size_t) = way == READ_RAW && flash->read_raw != NULL ? flash->read_raw : flash->read;
    return read(flash->context, at, out, count) ? count : 0;
  }
  return 0;
}

static bool read_as(const aiot_joined *joined, direction way, uint32_t offset, uint8_t *out, size_t bytes) {
  for (size_t done = 0, count; done < bytes; done += count) {
    count = part(joined, way, offset + (uint32_t)done, out + done, NULL, bytes - done);
    if (count == 0) return false;
  }
  return true;
}

static bool joined_read(void *context, uint32_t offset, void *out, size_t bytes) { return read_as(context, READ, offset, out, bytes); }

static bool joined_read_raw(void *context, uint32_t offset, void *out, size_t bytes) {
  return read_as(context, READ_RAW, offset, out, bytes);
}

static bool joined_write(void *context, uint32_t offset, const void *data, size_t bytes) {
  const uint8_t *from = data;
  for (size_t done = 0, count; done < bytes; done += count) {
    count = part(context, WRITE, offset + (uint32_t)done, NULL, from + done, bytes - done);
    if (count == 0) return false;
  }
  return true;
}

static bool joined_erase(void *context, uint32_t offset) {
  const aiot_joined *joined = context;
  uint32_t start = 0;
  for (size_t i = 0; i < joined->pieces; start += joined->piece[i++].bytes) {
    if (offset - start >= joined->piece[i].bytes) continue;
    const aiot_flash *flash = joined->piece[i].flash;
    return flash->erase(flash->context, joined->piece[i].offset + (offset - start));
  }
  return false;
}

static bool joined_sync(void *context) {
  const aiot_joined *joined = context;
  bool good = true;
  for (size_t i = 0; i < joined->pieces; i++) {
    const aiot_flash *flash = joined->piece[i].flash;
    good = flash->sync(flash->context) && good;
  }
  return good;
}

static const uint8_t *joined_map(void *context, uint32_t offset, size_t bytes) {
  const aiot_joined *joined = context;
  uint32_t start = 0;
  for (size_t i = 0; i < joined->pieces; start += joined->piece[i++].bytes) {
    if (offset - start >= joined->piece[i].bytes) continue;
    const aiot_flash *flash = joined->piece[i].flash;
    const uint32_t inside = offset - start;
    /* A range in two partitions cannot be mapped, because they are not adjacent in memory. */
    if (flash->map == NULL || bytes > joined->piece[i].bytes - inside) return NULL;
    return flash->map(flash->context, joined->piece[i].offset + inside, bytes);
  }
  return NULL;
}

void aiot_joined_init(aiot_joined *joined) {
  memset(joined, 0, sizeof *joined);
  joined->flash = (aiot_flash){joined, 0, 0, joined_read, joined_write, joined_erase, joined_sync, joined_map, joined_read_raw};
}

bool aiot_joined_add(aiot_joined *joined, const aiot_flash *flash, uint32_t offset, uint32_t bytes) {
  if (joined->pieces == 0) joined->flash.sector_bytes = flash->sector_bytes;
  const uint32_t sector = joined->flash.sector_bytes;
  if (joined->pieces == AIOT_PIECES_MAX || sector == 0 || flash->sector_bytes != sector) return false;
  if (offset % sector != 0 || bytes % sector != 0 || bytes == 0 || offset > flash->bytes || bytes > flash->bytes - offset) return false;
  joined->piece[joined->pieces].flash = flash;
  joined->piece[joined->pieces].offset = offset;
  joined->piece[joined->pieces].bytes = bytes;
  joined->pieces++;
  joined->flash.bytes += bytes;
  return true;
}

/* Reads the first byte's position from `bytes 100-199/200`; false if there is none. */
static bool range_start(const char *range, uint64_t *start) {
  static const char unit[] = "bytes ";
  if (range == NULL || strncmp(range, unit, sizeof unit - 1) != 0) return false;
  const char *digit = range + sizeof unit - 1;
  if (*digit < '0' || *digit > '9') return false;
  *start = 0;
  for (; *digit >= '0' && *digit <= '9'; digit++) {
    if (*start > UINT64_MAX / 10 - 1) return false;
    *start = *start * 10 + (uint64_t)(*digit - '0');
  }
  return true;
}

int32_t aiot_download_answer(int status, const char *range, uint64_t from, uint64_t *skip) {
  *skip = 0;
  if (status >= 500 || status == 429 || status < 100) return AIOT_HTTP_BROKEN;
  if (status == 200) {
    *skip = from;
    return 0;
  }
  if (status == 404) return AIOT_HTTP_MISSING;
  uint64_t start = 0;
  /* A server may start earlier than requested, but never later. */
  if (status != 206 || !range_start(range, &start) || start > from) return AIOT_HTTP_REFUSED;
  *skip = from - start;
  return 0;
}

bool aiot_download_path(const char *path) { return path[0] == '/' && path[1] != '/' && strpbrk(path, "\r\n ") == NULL; }
