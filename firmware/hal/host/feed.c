#include "feed.h"

#include <string.h>

#include "aiot/hal.h"
#include "aiot/json.h"

bool aiot_feed_open(aiot_feed *feed, int descriptor) {
  *feed = (aiot_feed){0};
  return aiot_lines_open(&feed->lines, descriptor, AIOT_FEED_BYTES);
}

static void read_fields(aiot_json *json, aiot_take *take) {
  aiot_json_enter(json, '[');
  while (aiot_json_element(json)) {
    if (take->fields == AIOT_FIELDS_MAX) aiot_json_skip(json);
    else aiot_json_string(json, take->field[take->fields++], AIOT_NAME_BYTES);
  }
}

static void read_take(aiot_json *json, aiot_take *take) {
  memset(take, 0, sizeof *take);
  take->started_at = -1;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "stream")) aiot_json_string(json, take->stream, sizeof take->stream);
    else if (aiot_json_is(json, "recording")) aiot_json_string(json, take->recording, sizeof take->recording);
    else if (aiot_json_is(json, "rateHz")) take->rate_hz = aiot_json_number(json);
    else if (aiot_json_is(json, "fields")) read_fields(json, take);
    else if (aiot_json_is(json, "telemetry")) take->telemetry = aiot_json_boolean(json);
    else if (aiot_json_is(json, "predict")) take->predict = aiot_json_boolean(json);
    else if (aiot_json_is(json, "startedAt")) take->started_at = aiot_json_number(json);
    else aiot_json_skip(json);
  }
}

static void begin_take(aiot_feed *feed, aiot_device *device, const aiot_take *take) {
  memcpy(feed->recording, take->recording, sizeof feed->recording);
  feed->began_ms = aiot_hal_uptime_ms();
  const aiot_code code = aiot_device_take(device, take);
  if (code == AIOT_MEMORY_SHORT) aiot_device_log(device, "error", "a second of samples does not fit into a message", code);
}

/* Reads a line of samples. False if the queue is full; the rest of the line is then read later. */
static bool read_samples(aiot_feed *feed, aiot_device *device, aiot_json *json) {
  size_t row = 0;
  aiot_json_enter(json, '[');
  while (aiot_json_element(json)) {
    double values[AIOT_FIELDS_MAX];
    size_t count = 0;
    if (row < feed->resume) {
      aiot_json_skip(json);
      row++;
      continue;
    }
    if (!aiot_device_ready(device)) {
      feed->resume = row;
      return false;
    }
    aiot_json_enter(json, '[');
    while (aiot_json_element(json)) {
      const double value = aiot_json_number(json);
      if (count < AIOT_FIELDS_MAX) values[count++] = value;
    }
    if (count != device->take.fields) break;
    aiot_device_sample(device, values);
    row++;
  }
  feed->resume = 0;
  return true;
}

/* Reads an input line. False if it is not finished yet. */
static bool read_line(aiot_feed *feed, aiot_device *device, const char *line, size_t bytes) {
  aiot_json json;
  aiot_json_begin(&json, line, bytes);
  aiot_json_enter(&json, '{');
  bool done = true;
  while (done && aiot_json_key(&json)) {
    if (aiot_json_is(&json, "take")) {
      aiot_take take;
      read_take(&json, &take);
      if (json.failed || take.stream[0] == '\0' || !(take.rate_hz > 0) || take.fields == 0) break;
      begin_take(feed, device, &take);
    } else if (aiot_json_is(&json, "samples")) {
      done = read_samples(feed, device, &json);
    } else if (aiot_json_is(&json, "end")) {
      aiot_json_skip(&json);
      aiot_device_take_end(device);
      feed->draining = true;
    } else {
      aiot_json_skip(&json);
    }
  }
  if (done && !aiot_json_done(&json)) {
    feed->resume = 0;
    aiot_device_log(device, "warn", "a line of the input is invalid", AIOT_MESSAGE_MALFORMED);
  }
  return done;
}

static void tell_sent(aiot_feed *feed, aiot_device *device) {
  char out[512];
  aiot_writer writer;
  const double seconds = (double)(aiot_hal_uptime_ms() - feed->began_ms) / 1000;
  const aiot_clock *clock = device->setup.clock;
  aiot_write_begin(&writer, out, sizeof out, AIOT_ENCODING_JSON);
  aiot_write_object(&writer);
  aiot_write_key(&writer, "t");
  aiot_write_integer(&writer, clock->now_ms(clock->context));
  aiot_write_key(&writer, "recording");
  aiot_write_text(&writer, feed->recording);
  aiot_write_key(&writer, "samples");
  aiot_write_integer(&writer, device->taken.samples);
  aiot_write_key(&writer, "messages");
  aiot_write_integer(&writer, device->taken.messages);
  aiot_write_key(&writer, "inferences");
  aiot_write_integer(&writer, device->taken.inferences);
  aiot_write_key(&writer, "seconds");
  aiot_write_number(&writer, seconds);
  aiot_write_object_end(&writer);
  device->setup.event(device->setup.context, "sent", NULL, out, aiot_write_end(&writer));
}

bool aiot_feed_hungry(const aiot_feed *feed, const aiot_device *device) {
  return !feed->lines.ended && !feed->draining && aiot_device_ready(device);
}

bool aiot_feed_run(aiot_feed *feed, aiot_device *device) {
  if (feed->draining) {
    if (device->queue.waiting + device->queue.sent > 0) return false;
    feed->draining = false;
    tell_sent(feed, device);
  }
  if (!aiot_device_ready(device)) return false;
  size_t bytes;
  const char *line = aiot_lines_first(&feed->lines, &bytes);
  if (line == NULL) return false;
  if (read_line(feed, device, line, bytes)) aiot_lines_done(&feed->lines, bytes);
  return true;
}
