#include "aiot/tail.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "../crc32.h"

#define MAGIC 0x4c494154u
#define BEGUN 0x4e474542u
#define WHOLE 0x454c4857u

/* Writes a mark that a reset may leave. Neither it nor the writes around it are moved or left out by the compiler. */
static void mark(uint32_t *where, uint32_t value) {
  atomic_signal_fence(memory_order_seq_cst);
  *(volatile uint32_t *)where = value;
  atomic_signal_fence(memory_order_seq_cst);
}

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
  mark(&tail->magic, MAGIC);
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
  mark(&tail->magic, 0);
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

static uint32_t kept_checksum(const aiot_kept_tail *kept) {
  return aiot_crc32(0, kept->reset, sizeof *kept - offsetof(aiot_kept_tail, reset));
}

void aiot_tail_forget(aiot_kept_tail *kept) { mark(&kept->state, 0); }

void aiot_tail_keep(aiot_kept_tail *kept, const aiot_tail *lines, const char *reset) {
  mark(&kept->state, BEGUN);
  memset(kept->reset, 0, sizeof kept->reset);
  for (size_t i = 0; reset != NULL && reset[i] != '\0' && i < sizeof kept->reset - 1; i++) kept->reset[i] = reset[i];
  if (aiot_tail_intact(lines)) kept->lines = *lines;
  else aiot_tail_clear(&kept->lines);
  kept->crc = kept_checksum(kept);
  mark(&kept->state, WHOLE);
}

aiot_kept_state aiot_tail_kept(const aiot_kept_tail *kept) {
  if (kept->state != BEGUN && kept->state != WHOLE) return AIOT_KEPT_NONE;
  return kept->state == WHOLE && kept->crc == kept_checksum(kept) ? AIOT_KEPT_WHOLE : AIOT_KEPT_TORN;
}
