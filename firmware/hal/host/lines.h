#ifndef AIOT_LINES_H
#define AIOT_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* Lines from a file descriptor. They are read without waiting, and no faster than they are consumed. */
typedef struct {
  int descriptor;
  /* Whether the input has ended. */
  bool ended;
  char *text;
  size_t room;
  size_t bytes;
  size_t at;
} aiot_lines;

bool aiot_lines_open(aiot_lines *lines, int descriptor, size_t room);

/* The first line that is not marked as finished, without its line ending; NULL = there is none yet. */
const char *aiot_lines_first(aiot_lines *lines, size_t *bytes);
void aiot_lines_done(aiot_lines *lines, size_t bytes);

/* Whether everything has been read and finished. */
bool aiot_lines_over(const aiot_lines *lines);

void aiot_lines_close(aiot_lines *lines);

#endif
