#define _GNU_SOURCE
#include "http_answer.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void aiot_http_answer_begin(aiot_http_answer *answer, uint64_t from) {
  memset(answer, 0, sizeof *answer);
  answer->skip = from;
}

/* The value of a header, or NULL if it is absent. */
static const char *header(const aiot_http_answer *answer, const char *name) {
  const size_t length = strlen(name);
  for (const char *line = strstr(answer->head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
    line += 2;
    if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
      const char *value = line + length + 1;
      while (*value == ' ' || *value == '\t') value++;
      return value;
    }
  }
  return NULL;
}

/* Parses the status line and the headers. Returns 0, or the result of the read if it is already known. */
static int32_t read_head(aiot_http_answer *answer) {
  if (strncmp(answer->head, "HTTP/1.", 7) != 0 || strlen(answer->head) < 12) return AIOT_HTTP_BROKEN;
  answer->status = atoi(answer->head + 9);
  if (answer->status >= 500 || answer->status == 429) return AIOT_HTTP_BROKEN;
  if (answer->status == 404) return AIOT_HTTP_MISSING;
  if (answer->status != 200 && answer->status != 206) return AIOT_HTTP_REFUSED;
  const char *range = header(answer, "content-range");
  if (answer->status == 206) {
    /* A server may start earlier than requested, but never later. */
    if (range == NULL || strncasecmp(range, "bytes ", 6) != 0 || !isdigit((unsigned char)range[6])) return AIOT_HTTP_REFUSED;
    const uint64_t start = strtoull(range + 6, NULL, 10);
    if (start > answer->skip) return AIOT_HTTP_REFUSED;
    answer->skip -= start;
  }
  const char *coding = header(answer, "transfer-encoding");
  answer->chunked = coding != NULL && strncasecmp(coding, "chunked", 7) == 0;
  const char *length = header(answer, "content-length");
  answer->has_length = !answer->chunked && length != NULL && isdigit((unsigned char)*length);
  if (answer->has_length) answer->left = strtoull(length, NULL, 10);
  answer->ended = answer->has_length && answer->left == 0;
  return 0;
}

static size_t take_body(aiot_http_answer *answer, const uint8_t *data, size_t bytes, uint8_t *out) {
  const size_t skipped = answer->skip < bytes ? (size_t)answer->skip : bytes;
  answer->skip -= skipped;
  memcpy(out, data + skipped, bytes - skipped);
  return bytes - skipped;
}

/* Handles one byte of the text between chunks. False if it is invalid. */
static bool take_frame(aiot_http_answer *answer, char byte) {
  if (byte != '\n') {
    if (byte != '\r' && answer->line_bytes < sizeof answer->line - 1) answer->line[answer->line_bytes++] = byte;
    return true;
  }
  answer->line[answer->line_bytes] = '\0';
  const size_t length = answer->line_bytes;
  answer->line_bytes = 0;
  if (answer->chunk == 2) {
    answer->chunk = 0;
    return length == 0;
  }
  if (answer->chunk == 3) {
    answer->ended = length == 0;
    return true;
  }
  if (!isxdigit((unsigned char)answer->line[0])) return false;
  answer->left = strtoull(answer->line, NULL, 16);
  answer->chunk = answer->left == 0 ? 3 : 1;
  return true;
}

static int32_t take_chunks(aiot_http_answer *answer, const uint8_t *data, size_t bytes, uint8_t *out) {
  size_t given = 0;
  for (size_t at = 0; at < bytes && !answer->ended;) {
    if (answer->chunk != 1) {
      if (!take_frame(answer, (char)data[at++])) return AIOT_HTTP_BROKEN;
      continue;
    }
    const size_t part = answer->left < bytes - at ? (size_t)answer->left : bytes - at;
    given += take_body(answer, data + at, part, out + given);
    at += part;
    answer->left -= part;
    if (answer->left == 0) answer->chunk = 2;
  }
  return (int32_t)given;
}

int32_t aiot_http_answer_take(aiot_http_answer *answer, const uint8_t *data, size_t bytes, uint8_t *out) {
  size_t at = 0;
  while (!answer->head_done && at < bytes) {
    if (answer->head_bytes == sizeof answer->head - 1) return AIOT_HTTP_REFUSED;
    answer->head[answer->head_bytes++] = (char)data[at++];
    if (answer->head_bytes < 4 || memcmp(answer->head + answer->head_bytes - 4, "\r\n\r\n", 4) != 0) continue;
    answer->head_done = true;
    const int32_t bad = read_head(answer);
    if (bad != 0) return bad;
  }
  if (!answer->head_done || answer->ended) return 0;
  if (answer->chunked) return take_chunks(answer, data + at, bytes - at, out);
  size_t part = bytes - at;
  if (answer->has_length) {
    if (part > answer->left) part = (size_t)answer->left;
    answer->left -= part;
    answer->ended = answer->left == 0;
  }
  return (int32_t)take_body(answer, data + at, part, out);
}

bool aiot_http_answer_whole(const aiot_http_answer *answer) {
  return answer->ended || (answer->head_done && !answer->chunked && !answer->has_length);
}
