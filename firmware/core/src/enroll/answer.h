/* The platform's response to a request, which is read in place. */
#ifndef AIOT_ENROLL_ANSWER_H
#define AIOT_ENROLL_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aiot/enroll.h"
#include "aiot/manifest.h"
#include "request.h"

/* The JSON of a value; NULL = it is absent. */
typedef struct {
  const char *text;
  size_t bytes;
} aiot_span;

typedef struct {
  char name[AIOT_ID_BYTES];
  bool issued;
  /* Time to the next request; -1 = none. */
  int64_t retry_ms;
  /* The parts of an identity, which are strings except for the last two. */
  aiot_span device_name, id, type, chip_id, certificate, ca, http, mqtts;
  aiot_span trust, root;
  int64_t sequence;
  int64_t floor;
} aiot_enroll_answer;

/* Reads a response. False if it is malformed, or has no identity although it was issued. */
bool aiot_enroll_answer_read(aiot_enroll_answer *answer, const char *text, size_t bytes);

/* Copies a string. False if it is absent, malformed, empty, or does not fit. */
bool aiot_span_string(const aiot_span *span, char *out, size_t room);

/* Whether the identity is for this key, and each of its strings can be stored. `scratch`: AIOT_ENROLL_PEM_BYTES. */
bool aiot_enroll_answer_fits(const aiot_enroll_answer *answer, const uint8_t spki[AIOT_P256_SPKI_BYTES], char *scratch);

/* Copies the reason for a refusal; "" = none. */
void aiot_enroll_answer_reason(const char *text, size_t bytes, char *out, size_t room);

#endif
