/* Messages that the guide's boards send and receive. */
#include <string.h>

#include "aiot/json.h"
#include "text.h"

/* Maximum length of a model's name as a JSON string, because each of its bytes may become a six-byte escape. */
#define QUOTED_BYTES (6 * AIOT_GUIDE_TEXT_BYTES)

uint32_t aiot_guide_chip_id(const uint8_t mac[6]) { return (uint32_t)mac[3] << 16 | (uint32_t)mac[4] << 8 | mac[5]; }

static void put_reading(aiot_guide_text *text, const char *id, const aiot_guide_reading *reading) {
  const struct {
    const char *key;
    double value;
  } member[] = {{", \"current\": ", reading->current_a},
                {", \"temperature\": ", reading->temperature_c},
                {", \"vibration\": ", reading->vibration},
                {", \"sound\": ", reading->sound}};
  aiot_guide_put(text, "{\"deviceID\": ");
  aiot_guide_put_quoted(text, id);
  for (size_t i = 0; i < sizeof member / sizeof member[0]; i++) {
    aiot_guide_put(text, member[i].key);
    aiot_guide_put_fixed(text, member[i].value, 2);
  }
}

static size_t end(aiot_guide_text *text) {
  aiot_guide_put(text, "}");
  return text->failed ? 0 : text->used;
}

size_t aiot_guide_sensor_message(char out[AIOT_GUIDE_MESSAGE_BYTES], const char *id, const aiot_guide_reading *reading) {
  aiot_guide_text text = {.out = out, .room = AIOT_GUIDE_MESSAGE_BYTES};
  put_reading(&text, id, reading);
  aiot_guide_put(&text, ", \"fft_data\": \"true\"");
  return end(&text);
}

size_t aiot_guide_level1_message(char out[AIOT_GUIDE_MESSAGE_BYTES], const char *id, const aiot_guide_reading *reading, double inference) {
  aiot_guide_text text = {.out = out, .room = AIOT_GUIDE_MESSAGE_BYTES};
  put_reading(&text, id, reading);
  aiot_guide_put(&text, ", \"fft_data\": \"true\", \"inference\": ");
  aiot_guide_put_fixed(&text, inference, 6);
  return end(&text);
}

static size_t level2(char *out, size_t room, const char *id, const aiot_guide_reading *reading, double inference, const char *model, int64_t time_ms) {
  aiot_guide_text text = {.out = out, .room = room};
  put_reading(&text, id, reading);
  aiot_guide_put(&text, ", \"inference\": ");
  aiot_guide_put_fixed(&text, inference, 6);
  aiot_guide_put(&text, ", \"model\": ");
  aiot_guide_put_quoted(&text, model);
  aiot_guide_put(&text, ", \"time\": ");
  aiot_guide_put_integer(&text, time_ms);
  return end(&text);
}

/* The rest of a string after `units` UTF-16 code units, as JavaScript counts them. It never starts within a character. */
static const char *without(const char *text, size_t units) {
  while (units > 0 && *text != '\0') {
    const size_t own = (*text & 0xF8) == 0xF0 ? 2 : 1;
    units -= own < units ? own : units;
    text++;
    while ((*text & 0xC0) == 0x80) text++;
  }
  return text;
}

size_t aiot_guide_level2_message(char out[AIOT_GUIDE_MESSAGE_BYTES], const char *id, const aiot_guide_reading *reading, double inference, const char *model,
                                 int64_t time_ms) {
  char whole[AIOT_GUIDE_MESSAGE_BYTES + QUOTED_BYTES];
  const size_t bytes = level2(whole, sizeof whole, id, reading, inference, model, time_ms);
  const size_t over = bytes > AIOT_GUIDE_MESSAGE_BYTES ? bytes - AIOT_GUIDE_MESSAGE_BYTES : 0;
  return bytes == 0 ? 0 : level2(out, AIOT_GUIDE_MESSAGE_BYTES, id, reading, inference, without(model, over), time_ms);
}

/* Reads the next value if it is a string; otherwise skips it and leaves `out` empty. */
static bool read_text(aiot_json *json, char out[AIOT_GUIDE_TEXT_BYTES]) {
  out[0] = '\0';
  if (aiot_json_peek(json) != '"') {
    aiot_json_skip(json);
    return false;
  }
  aiot_json_string(json, out, AIOT_GUIDE_TEXT_BYTES);
  return true;
}

/* Reads the next value if it is a number, otherwise skips it; returns whether it is a finite number. */
static bool read_number(aiot_json *json, double *out) {
  if (aiot_json_peek(json) != '0') {
    aiot_json_skip(json);
    return false;
  }
  *out = aiot_json_number(json);
  return *out - *out == 0;
}

bool aiot_guide_sensor_parse(const void *payload, size_t bytes, char id[AIOT_GUIDE_TEXT_BYTES], aiot_guide_reading *reading) {
  bool has_id = false, has[4] = {false};
  if (bytes > AIOT_GUIDE_MESSAGE_BYTES) return false;
  aiot_json json;
  aiot_json_begin(&json, payload, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "deviceID")) has_id = read_text(&json, id);
    else if (aiot_json_is(&json, "current")) has[0] = read_number(&json, &reading->current_a);
    else if (aiot_json_is(&json, "temperature")) has[1] = read_number(&json, &reading->temperature_c);
    else if (aiot_json_is(&json, "vibration")) has[2] = read_number(&json, &reading->vibration);
    else if (aiot_json_is(&json, "sound")) has[3] = read_number(&json, &reading->sound);
    else aiot_json_skip(&json);
  }
  return aiot_json_done(&json) && has_id && id[0] != '\0' && has[0] && has[1] && has[2] && has[3];
}

bool aiot_guide_control_parse(const void *payload, size_t bytes, aiot_guide_control *control) {
  bool has_command = false, has_payload = false;
  if (bytes > AIOT_GUIDE_MESSAGE_BYTES) return false;
  aiot_json json;
  aiot_json_begin(&json, payload, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "command")) has_command = read_text(&json, control->command);
    else if (aiot_json_is(&json, "payload")) has_payload = read_text(&json, control->payload);
    else aiot_json_skip(&json);
  }
  return aiot_json_done(&json) && has_command && has_payload;
}
