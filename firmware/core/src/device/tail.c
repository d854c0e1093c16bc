#include "aiot/tail.h"

#include <string.h>

#include "../crc32.h"

#define MAGIC 0x4c494154u

static uint32_t checksum(const aiot_tail *tail) {
  const uint32_t crc = aiot_crc32(0, &tail->bytes, sizeof tail->bytes);
  return aiot_crc32(crc, tail->text, tail->bytes);
}

bool aiot_tail_intact(const aiot_tail *tail) {
  if (tail->magic != MAGIC || tail->bytes > AIOT_TAIL_BYTES) return false;
  if (tail->bytes > 0 && tail->text[tail->bytes - 1] != '\0') return false;
  return tail->crc == checksum(tail);
}

static void seal(aiot_tail *tail) {
  tail->crc = checksum(tail);
  tail->magic = MAGIC;
}

void aiot_tail_clear(aiot_tail *tail) {
  memset(tail, 0, sizeof *tail);
  seal(tail);
}

static size_t line_count(const aiot_tail *tail) {
  size_t lines = 0;
  for (size_t i = 0; i < tail->bytes; i++) lines += tail->text[i] == '\0';
  return lines;
}

/* Appends as much of the text as fits, without a part of a character. Returns the new length. */
static size_t append(char line[AIOT_TAIL_LINE], size_t at, const char *text) {
  size_t bytes = strlen(text);
  if (bytes > AIOT_TAIL_LINE - 1 - at) {
    bytes = AIOT_TAIL_LINE - 1 - at;
    /* Bytes of the form 10xxxxxx continue a character. */
    while (bytes > 0 && ((unsigned char)text[bytes] & 0xc0) == 0x80) bytes--;
  }
  memcpy(line + at, text, bytes);
  return at + bytes;
}

void aiot_tail_add(aiot_tail *tail, const char *level, const char *text) {
  char line[AIOT_TAIL_LINE];
  size_t bytes = append(line, 0, level);
  bytes = append(line, bytes, ": ");
  bytes = append(line, bytes, text);
  line[bytes++] = '\0';
  if (!aiot_tail_intact(tail)) aiot_tail_clear(tail);
  /* A crash during the change leaves a record that is not intact, instead of half a line. */
  tail->magic = 0;
  size_t lines = line_count(tail), gone = 0;
  while (lines > 0 && (lines >= AIOT_TAIL_LINES || tail->bytes - gone + bytes > AIOT_TAIL_BYTES)) {
    gone += strlen(tail->text + gone) + 1;
    lines--;
  }
  memmove(tail->text, tail->text + gone, tail->bytes - gone);
  tail->bytes -= (uint32_t)gone;
  memcpy(tail->text + tail->bytes, line, bytes);
  tail->bytes += (uint32_t)bytes;
  seal(tail);
}

const char *aiot_tail_next(const aiot_tail *tail, const char *line) {
  if (line == NULL) return aiot_tail_intact(tail) && tail->bytes > 0 ? tail->text : NULL;
  line += strlen(line) + 1;
  return line < tail->text + tail->bytes ? line : NULL;
}
