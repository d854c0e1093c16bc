#ifndef AIOT_FEED_H
#define AIOT_FEED_H

#include "aiot/device.h"
#include "lines.h"

#define AIOT_FEED_BYTES 262144

/*
 * The sensor of a native virtual device. The process that started the device writes samples to its standard input, as lines of
 * JSON.
 *
 *   {"take":{"stream":"motion","recording":"walking1","rateHz":100,"fields":["x","y","z"],"telemetry":true,"predict":false,"startedAt":1795168216492}}
 *   {"samples":[[0.98,-0.19,0.09],[0.97,-0.18,0.08]]}
 *   {"end":true}
 *
 * Input is read no faster than the broker accepts the resulting messages. When a whole take has been acknowledged, the event
 * `sent` is printed. At the end of the input, the device ends.
 */
typedef struct {
  aiot_lines lines;
  /* Whether a take has ended but is not fully acknowledged yet. */
  bool draining;
  char recording[AIOT_NAME_BYTES];
  uint64_t began_ms;
  /* Position within a line of samples at which the queue was full; 0 = none. */
  size_t resume;
} aiot_feed;

bool aiot_feed_open(aiot_feed *feed, int descriptor);

/* Processes input without waiting. True = more may be done at once. */
bool aiot_feed_run(aiot_feed *feed, aiot_device *device);

/* Whether the device should wait for input. */
bool aiot_feed_hungry(const aiot_feed *feed, const aiot_device *device);

#endif
