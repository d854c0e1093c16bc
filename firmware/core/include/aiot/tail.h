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

/* Length of the reason for a restart, a word of the protocol such as "software", including its NUL. */
#define AIOT_RESET_BYTES 12

typedef struct {
  uint32_t magic;
  uint32_t crc;
  uint32_t bytes;
  /* The lines, oldest first, each with its NUL. */
  char text[AIOT_TAIL_BYTES];
} aiot_tail;

/*
 * The lines before a crash, and the reason for the restart after it, in memory that is not initialized at a restart. One checksum covers
 * both, so that a write that a reset interrupts never leaves a wrong reason.
 */
typedef struct {
  uint32_t state;
  uint32_t crc;
  /* Empty = unknown. */
  char reset[AIOT_RESET_BYTES];
  aiot_tail lines;
} aiot_kept_tail;

/* TORN: a write was interrupted, or the memory was damaged. */
typedef enum { AIOT_KEPT_NONE, AIOT_KEPT_TORN, AIOT_KEPT_WHOLE } aiot_kept_state;

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

/* Removes the content. */
void aiot_tail_forget(aiot_kept_tail *kept);

/* Stores a copy of the lines, if they are intact, and the reason; NULL = unknown. */
void aiot_tail_keep(aiot_kept_tail *kept, const aiot_tail *lines, const char *reset);

aiot_kept_state aiot_tail_kept(const aiot_kept_tail *kept);

#endif
