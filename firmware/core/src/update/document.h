/* Reads one document from the platform into the line's memory. Tries again if the connection is lost. */
#ifndef AIOT_DOCUMENT_H
#define AIOT_DOCUMENT_H

#include "aiot/trust.h"

/* WAITS: call again later. WORKS: more can be done at once. MISSING: the document does not exist. FAILED: see `error`. */
typedef enum { AIOT_DOCUMENT_WAITS, AIOT_DOCUMENT_WORKS, AIOT_DOCUMENT_WHOLE, AIOT_DOCUMENT_MISSING, AIOT_DOCUMENT_FAILED } aiot_document_state;

enum {
  /* Maximum number of consecutive attempts that receive no byte. The delay between them grows. */
  AIOT_ATTEMPTS = 6,
  /* Maximum silence of the platform. */
  AIOT_SILENCE_MS = 20000,
  /*
   * Maximum time for a whole document, or for AIOT_PACE_BYTES of a blob, so that a platform that sends byte by byte cannot stall
   * an update.
   */
  AIOT_PACE_MS = 60000,
  AIOT_PACE_BYTES = 4096,
  /* A download attempt of a blob that receives fewer bytes counts as one without progress. */
  AIOT_ATTEMPT_BYTES = 512
};

/* Delay in ms after this many consecutive failures. */
uint32_t aiot_wait_after(uint32_t failures);

void aiot_document_begin(aiot_document *document);

/* Continues reading. `what` is the document's name in errors. Closes the request when it has ended. */
aiot_document_state aiot_document_step(aiot_document *document, const aiot_line *line, const aiot_clock *clock, const char *path, const char *what,
                                       aiot_error *error);

#endif
