#define _GNU_SOURCE
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool aiot_lines_open(aiot_lines *lines, int descriptor, size_t room) {
  *lines = (aiot_lines){.descriptor = descriptor, .text = malloc(room), .room = room};
  const int flags = fcntl(descriptor, F_GETFL);
  return lines->text != NULL && flags >= 0 && fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == 0;
}

static void fill(aiot_lines *lines) {
  if (lines->at > 0) {
    memmove(lines->text, lines->text + lines->at, lines->bytes - lines->at);
    lines->bytes -= lines->at;
    lines->at = 0;
  }
  if (lines->ended || lines->bytes == lines->room) return;
  const ssize_t got = read(lines->descriptor, lines->text + lines->bytes, lines->room - lines->bytes);
  if (got > 0) lines->bytes += (size_t)got;
  else if (got == 0 || (errno != EAGAIN && errno != EINTR)) lines->ended = true;
}

const char *aiot_lines_first(aiot_lines *lines, size_t *bytes) {
  const char *end = memchr(lines->text + lines->at, '\n', lines->bytes - lines->at);
  if (end == NULL) {
    fill(lines);
    end = memchr(lines->text + lines->at, '\n', lines->bytes - lines->at);
  }
  if (end == NULL) {
    /* A line longer than the buffer is invalid and ends the input. */
    if (lines->bytes - lines->at == lines->room) lines->ended = true;
    return NULL;
  }
  *bytes = (size_t)(end - lines->text) - lines->at;
  return lines->text + lines->at;
}

void aiot_lines_done(aiot_lines *lines, size_t bytes) { lines->at += bytes + 1; }

bool aiot_lines_over(const aiot_lines *lines) {
  /* A last line without a line ending is ignored. */
  return lines->ended && memchr(lines->text + lines->at, '\n', lines->bytes - lines->at) == NULL;
}

void aiot_lines_close(aiot_lines *lines) {
  free(lines->text);
  lines->text = NULL;
}
