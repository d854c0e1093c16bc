/*
 * Tests the parser of a platform's HTTP/1.1 responses, in one piece and split at every position: the body, and whether a retry
 * helps.
 */
#include "http_answer.h"

#include <string.h>

#include "check.h"

typedef struct {
  const char *name;
  const char *answer;
  /* The first requested byte. */
  uint64_t from;
  /* The expected result: the body, or a code below 0. */
  const char *body;
  int32_t code;
  /* Whether the body is complete if the connection ends after it. */
  bool whole;
} row;

#define OK "HTTP/1.1 200 OK\r\n"
#define PART "HTTP/1.1 206 Partial Content\r\n"

static const row rows[] = {
    {"by its length", OK "Content-Length: 5\r\n\r\nhello", 0, "hello", 0, true},
    {"by its length, with something behind it", OK "content-length:5\r\n\r\nhello and more", 0, "hello", 0, true},
    {"cut off", OK "Content-Length: 5\r\n\r\nhel", 0, "hel", 0, false},
    {"to the end", OK "\r\nhello", 0, "hello", 0, true},
    {"empty", OK "Content-Length: 0\r\n\r\n", 0, "", 0, true},
    {"in chunks", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", 0, "hello", 0, true},
    {"in chunks, with lines behind the last", OK "TRANSFER-ENCODING: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n", 0, "0123456789", 0, true},
    {"in chunks that end early", OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhel", 0, "hel", 0, false},
    {"in chunks without the last one", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", 0, "he", 0, false},
    {"a chunk of no size", OK "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 0, "", AIOT_HTTP_BROKEN, false},
    {"a chunk that is longer than its size", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n", 0, "he", AIOT_HTTP_BROKEN, false},
    {"the part that was asked for", PART "Content-Range: bytes 3-4/5\r\nContent-Length: 2\r\n\r\nlo", 3, "lo", 0, true},
    {"a part that begins earlier", PART "Content-Range: bytes 1-4/5\r\nContent-Length: 4\r\n\r\nello", 3, "lo", 0, true},
    {"a part that begins later", PART "Content-Range: bytes 4-4/5\r\nContent-Length: 1\r\n\r\no", 3, "", AIOT_HTTP_REFUSED, false},
    {"a part of nobody knows what", PART "Content-Length: 2\r\n\r\nlo", 3, "", AIOT_HTTP_REFUSED, false},
    {"a part in other units", PART "Content-Range: lines 3-4/5\r\n\r\nlo", 3, "", AIOT_HTTP_REFUSED, false},
    {"all, where a part was asked for", OK "Content-Length: 5\r\n\r\nhello", 3, "lo", 0, true},
    {"all of less than what was asked for", OK "Content-Length: 2\r\n\r\nhe", 3, "", 0, true},
    {"not found", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 0, "", AIOT_HTTP_MISSING, false},
    {"elsewhere", "HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\n\r\n", 0, "", AIOT_HTTP_REFUSED, false},
    {"beyond the end", "HTTP/1.1 416 Range Not Satisfiable\r\n\r\n", 9, "", AIOT_HTTP_REFUSED, false},
    {"too many", "HTTP/1.1 429 Too Many Requests\r\n\r\n", 0, "", AIOT_HTTP_BROKEN, false},
    {"trouble", "HTTP/1.1 503 Service Unavailable\r\n\r\n", 0, "", AIOT_HTTP_BROKEN, false},
    {"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", 0, "", AIOT_HTTP_BROKEN, false},
    {"nothing at all", "", 0, "", 0, false},
    {"half a head", "HTTP/1.1 200 OK\r\nContent-", 0, "", 0, false},
};

/* Parses a response that arrives in pieces of these sizes. Returns its code; 0 = no error so far. */
static int32_t take(aiot_http_answer *answer, const row *r, size_t first, size_t piece, char *body, size_t *bytes) {
  const size_t length = strlen(r->answer);
  *bytes = 0;
  aiot_http_answer_begin(answer, r->from);
  for (size_t at = 0; at < length;) {
    size_t count = at == 0 ? first : piece;
    if (count > length - at) count = length - at;
    const int32_t got = aiot_http_answer_take(answer, (const uint8_t *)r->answer + at, count, (uint8_t *)body + *bytes);
    if (got < 0) return got;
    *bytes += (size_t)got;
    at += count;
  }
  return 0;
}

static void test_row(checks *c, const row *r) {
  static aiot_http_answer answer;
  const size_t length = strlen(r->answer);
  for (size_t first = 1; first <= (length == 0 ? 1 : length); first++) {
    for (size_t piece = 1; piece <= 7; piece += 3) {
      char body[256];
      size_t bytes = 0;
      const int32_t code = take(&answer, r, first, piece, body, &bytes);
      check_equal(c, r->name, first * 10 + piece, r->code, code);
      /* If the response arrives in one piece, data before an error is not returned. */
      if (code < 0) continue;
      check_at(c, r->name, "body", first * 10 + piece, bytes == strlen(r->body) && memcmp(body, r->body, bytes) == 0);
      check_at(c, r->name, "whole", first * 10 + piece, aiot_http_answer_whole(&answer) == r->whole);
    }
  }
}

/* An endless header is rejected once it exceeds the maximum. */
static void test_endless_head(checks *c) {
  static aiot_http_answer answer;
  uint8_t out[64];
  int32_t code = 0;
  size_t sent = 0;
  aiot_http_answer_begin(&answer, 0);
  code = aiot_http_answer_take(&answer, (const uint8_t *)OK, sizeof OK - 1, out);
  for (; code == 0 && sent < 100000; sent += 16) code = aiot_http_answer_take(&answer, (const uint8_t *)"X-More: 1234567\n", 16, out);
  check_equal(c, "an endless header", 0, AIOT_HTTP_REFUSED, code);
  check_at(c, "rejected early", "bytes", sent, sent <= sizeof answer.head);
}

int main(void) {
  checks c = {0};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) test_row(&c, &rows[i]);
  test_endless_head(&c);
  return checks_end(&c);
}
