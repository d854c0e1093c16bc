/*
 * The messages that a device publishes (docs/reference/protocol.md#messages), as JSON or CBOR in the caller's memory. Each
 * function returns the number of bytes written, or 0 if the message does not fit. The caller logs that and continues.
 */
#ifndef AIOT_TELEMETRY_H
#define AIOT_TELEMETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aiot/pipeline.h"
#include "aiot/write.h"

/* Memory for a message, and its encoding. */
typedef struct {
  void *out;
  size_t room;
  aiot_encoding encoding;
} aiot_message;

/* Samples in columns. */
typedef struct {
  int64_t seq;
  /* Time of the first sample, ms since 1970; below 0 = the clock was never set, so the platform uses the time of arrival. */
  double t;
  double rate_hz;
  /* Name of the recording; NULL = none. */
  const char *recording;
  size_t fields;
  const char *const *field;
  size_t samples;
  /* Values row by row, `fields` per row. */
  const double *values;
} aiot_batch;

size_t aiot_telemetry_message(aiot_message message, const aiot_batch *batch);

typedef struct {
  int64_t seq;
  int64_t t;
  const char *model;
  int64_t version;
  const char *recording;
  /* The bundle, which determines the members of the message. */
  const aiot_bundle *bundle;
  const aiot_answer *answer;
  double latency_ms;
} aiot_inference_news;

size_t aiot_inference_message(aiot_message message, const aiot_inference_news *news);

size_t aiot_presence_message(aiot_message message, bool online, int64_t t);

/* Writes a log line. `code` AIOT_OK = no code. */
size_t aiot_log_message(aiot_message message, int64_t t, const char *level, const char *text, aiot_code code);

#endif
