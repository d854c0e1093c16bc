/* Reading one document of the platform into the line's memory, with further attempts where the connection broke. */
#ifndef AIOT_DOCUMENT_H
#define AIOT_DOCUMENT_H

#include "aiot/trust.h"

/* WAITS: ask again later. WORKS: there is more to do at once. MISSING: there is none. FAILED: `error` says why. */
typedef enum { AIOT_DOCUMENT_WAITS, AIOT_DOCUMENT_WORKS, AIOT_DOCUMENT_WHOLE, AIOT_DOCUMENT_MISSING, AIOT_DOCUMENT_FAILED } aiot_document_state;

enum {
  /* Attempts in a row that bring no byte before it is given up; waits between them grow. */
  AIOT_ATTEMPTS = 6,
  /* Longest silence of the platform. */
  AIOT_SILENCE_MS = 20000,
  /* Within which a whole document comes, and of a blob no less than AIOT_PACE_BYTES: a platform that sends byte after byte holds no update up. */
  AIOT_PACE_MS = 60000,
  AIOT_PACE_BYTES = 4096,
  /* Fewer bytes of a blob make an attempt one that brought nothing. */
  AIOT_ATTEMPT_BYTES = 512
};

/* How long to wait after so many failures in a row. */
uint32_t aiot_wait_after(uint32_t failures);

void aiot_document_begin(aiot_document *document);

/* `what` it is, for errors. Once it has ended the request is closed. */
aiot_document_state aiot_document_step(aiot_document *document, const aiot_line *line, const aiot_clock *clock, const char *path, const char *what,
                                       aiot_error *error);

#endif
