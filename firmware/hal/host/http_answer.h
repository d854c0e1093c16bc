#ifndef AIOT_HTTP_ANSWER_H
#define AIOT_HTTP_ANSWER_H

#include "aiot/ports.h"

/*
 * An HTTP/1.1 response, which is parsed as its bytes arrive: status line and headers, then the body, which ends after its length,
 * after the last chunk, or with the connection.
 */
typedef struct {
  char head[8192];
  size_t head_bytes;
  bool head_done;
  int status;
  bool chunked;
  bool has_length;
  uint64_t left;
  /*
   * Position in a chunked body: 0 = before the size, 1 = in the data, 2 = in the line ending after the data, 3 = in the trailer.
   */
  int chunk;
  char line[32];
  size_t line_bytes;
  /* Number of body bytes before the first requested one. */
  uint64_t skip;
  bool ended;
} aiot_http_answer;

/* Prepares to parse a response. `from`: the first requested byte. */
void aiot_http_answer_begin(aiot_http_answer *answer, uint64_t from);

/*
 * Parses `bytes` bytes of the response and copies the requested part of the body to `out`, which must have space for `bytes` bytes.
 * Returns the number of bytes copied, or AIOT_HTTP_BROKEN, AIOT_HTTP_REFUSED or AIOT_HTTP_MISSING.
 */
int32_t aiot_http_answer_take(aiot_http_answer *answer, const uint8_t *data, size_t bytes, uint8_t *out);

/* Called when the connection has ended; returns whether the body is complete. */
bool aiot_http_answer_whole(const aiot_http_answer *answer);

#endif
