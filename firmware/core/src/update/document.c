#include "document.h"

enum { FIRST_WAIT_MS = 200, LONGEST_WAIT_MS = 5000 };

uint32_t aiot_wait_after(uint32_t failures) {
  const uint32_t wait = (uint32_t)FIRST_WAIT_MS << (failures - 1);
  return wait < LONGEST_WAIT_MS ? wait : LONGEST_WAIT_MS;
}

void aiot_document_begin(aiot_document *document) { *document = (aiot_document){0}; }

static aiot_document_state fail(aiot_error *error, const char *path, const char *why) {
  aiot_error_set(error, AIOT_UPDATE_DOWNLOAD, "%s: %s", path, why);
  return AIOT_DOCUMENT_FAILED;
}

static aiot_document_state try_again(aiot_document *d, uint64_t now, const char *path, const char *why, aiot_error *error) {
  if (++d->failures >= AIOT_ATTEMPTS) return fail(error, path, why);
  d->not_before_ms = now + aiot_wait_after(d->failures);
  return AIOT_DOCUMENT_WAITS;
}

static aiot_document_state too_long(const aiot_line *line, const char *what, aiot_error *error) {
  if (line->bytes >= AIOT_ENVELOPE_BYTES)
    aiot_error_set(error, AIOT_MANIFEST_MALFORMED, "expected at most %u bytes of %s", AIOT_ENVELOPE_BYTES, what);
  else
    aiot_error_set(error, AIOT_MEMORY_SHORT, "this firmware has room for %u bytes of %s", (unsigned)line->bytes, what);
  return AIOT_DOCUMENT_FAILED;
}

static aiot_document_state read_more(aiot_document *d, const aiot_line *line, uint64_t now, const char *path, const char *what, aiot_error *error) {
  const aiot_http *http = line->http;
  const size_t limit = line->bytes < AIOT_ENVELOPE_BYTES ? line->bytes : AIOT_ENVELOPE_BYTES;
  uint8_t beyond;
  const bool full = d->bytes == limit;
  const int32_t got = full ? http->read(http->context, &beyond, 1) : http->read(http->context, line->memory + d->bytes, limit - d->bytes);
  if (got == AIOT_HTTP_END) return AIOT_DOCUMENT_WHOLE;
  if (got == AIOT_HTTP_REFUSED) return fail(error, path, "the platform rejected the request");
  if (got == AIOT_HTTP_MISSING) return AIOT_DOCUMENT_MISSING;
  const bool silent = got == 0 && now - d->since_ms >= AIOT_SILENCE_MS;
  if (got == AIOT_HTTP_BROKEN || silent) {
    http->close(http->context);
    d->open = false;
    return try_again(d, now, path, "the connection was lost", error);
  }
  if (got <= 0) return AIOT_DOCUMENT_WAITS;
  if (full) return too_long(line, what, error);
  if (now - d->opened_ms >= AIOT_PACE_MS) return fail(error, path, "the download is too slow");
  d->bytes += (size_t)got;
  d->since_ms = now;
  return AIOT_DOCUMENT_WORKS;
}

aiot_document_state aiot_document_step(aiot_document *d, const aiot_line *line, const aiot_clock *clock, const char *path, const char *what,
                                       aiot_error *error) {
  const aiot_http *http = line->http;
  const uint64_t now = clock->uptime_ms(clock->context);
  if (d->open) {
    const aiot_document_state state = read_more(d, line, now, path, what, error);
    if (state <= AIOT_DOCUMENT_WORKS) return state;
    http->close(http->context);
    d->open = false;
    return state;
  }
  if (now < d->not_before_ms) return AIOT_DOCUMENT_WAITS;
  if (!http->open(http->context, path, 0)) {
    http->close(http->context);
    return try_again(d, now, path, "the platform is unreachable", error);
  }
  d->open = true;
  d->bytes = 0;
  d->since_ms = d->opened_ms = now;
  return AIOT_DOCUMENT_WORKS;
}
