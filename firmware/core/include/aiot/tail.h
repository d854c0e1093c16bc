/*
 * The last lines of the log, for crash reports. The record may be in memory that is not initialized at a restart, because a checksum tells
 * its content from random bytes. Call these functions in the device's loop only.
 */
#ifndef AIOT_TAIL_H
#define AIOT_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of text, including a NUL after each line; number of lines, and of characters of one line with its NUL. */
#define AIOT_TAIL_BYTES 576
#define AIOT_TAIL_LINES 20
#define AIOT_TAIL_LINE 160

typedef struct {
  uint32_t magic;
  uint32_t crc;
  uint32_t bytes;
  /* The lines, oldest first, each with its NUL. */
  char text[AIOT_TAIL_BYTES];
} aiot_tail;

/* Whether the content is intact. */
bool aiot_tail_intact(const aiot_tail *tail);

/* Removes all lines; also makes a record of random bytes usable. */
void aiot_tail_clear(aiot_tail *tail);

/*
 * Appends "level: text" in place of the oldest lines. A long line is cut between two characters of UTF-8. A damaged record is cleared
 * first.
 */
void aiot_tail_add(aiot_tail *tail, const char *level, const char *text);

/* The line after `line`, or the first one if `line` is NULL; NULL = there is none, or the record is damaged. */
const char *aiot_tail_next(const aiot_tail *tail, const char *line);

#endif
