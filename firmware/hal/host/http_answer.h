#ifndef AIOT_HTTP_ANSWER_H
#define AIOT_HTTP_ANSWER_H

#include "aiot/ports.h"

/* An HTTP/1.1 answer, read as its bytes come: status line and headers, then the body by its length, in chunks, or to the end. */
typedef struct {
  char head[8192];
  size_t head_bytes;
  bool head_done;
  int status;
  bool chunked;
  bool has_length;
  uint64_t left;
  /* In chunks: 0 = its size comes next, 1 = its bytes, 2 = the line's end behind them, 3 = the lines behind the last one. */
  int chunk;
  char line[32];
  size_t line_bytes;
  /* Bytes of the body before the one that was asked for. */
  uint64_t skip;
  bool ended;
} aiot_http_answer;

/* `from`: first byte that was asked for. */
void aiot_http_answer_begin(aiot_http_answer *answer, uint64_t from);

/*
 * Takes bytes of the answer and puts those of the body that were asked for into `out`, which has as much room. How many that are,
 * AIOT_HTTP_BROKEN, AIOT_HTTP_REFUSED or AIOT_HTTP_MISSING.
 */
int32_t aiot_http_answer_take(aiot_http_answer *answer, const uint8_t *data, size_t bytes, uint8_t *out);

/* The connection has ended: whether the body was whole. */
bool aiot_http_answer_whole(const aiot_http_answer *answer);

#endif
