#include "aiot/telemetry.h"

static aiot_writer begin(aiot_message message) {
  aiot_writer writer;
  aiot_write_begin(&writer, message.out, message.room, message.encoding);
  aiot_write_object(&writer);
  return writer;
}

static size_t end(aiot_writer *writer) {
  aiot_write_object_end(writer);
  return aiot_write_end(writer);
}

static void text_member(aiot_writer *writer, const char *key, const char *text) {
  aiot_write_key(writer, key);
  if (text == NULL) aiot_write_null(writer);
  else aiot_write_text(writer, text);
}

static void integer_member(aiot_writer *writer, const char *key, int64_t value) {
  aiot_write_key(writer, key);
  aiot_write_integer(writer, value);
}

static void number_member(aiot_writer *writer, const char *key, double value) {
  aiot_write_key(writer, key);
  aiot_write_number(writer, value);
}

size_t aiot_telemetry_message(aiot_message message, const aiot_batch *batch) {
  aiot_writer writer = begin(message);
  integer_member(&writer, "seq", batch->seq);
  if (batch->t >= 0) number_member(&writer, "t", batch->t);
  number_member(&writer, "rate", batch->rate_hz);
  if (batch->recording != NULL) text_member(&writer, "recording", batch->recording);
  for (size_t f = 0; f < batch->fields; f++) {
    aiot_write_key(&writer, batch->field[f]);
    aiot_write_array(&writer);
    for (size_t i = 0; i < batch->samples; i++) aiot_write_number(&writer, batch->values[i * batch->fields + f]);
    aiot_write_array_end(&writer);
  }
  return end(&writer);
}

static void detections_member(aiot_writer *writer, const aiot_bundle *bundle, const aiot_answer *answer) {
  aiot_write_key(writer, "detections");
  aiot_write_array(writer);
  for (size_t i = 0; i < answer->objects; i++) {
    const aiot_object *object = &answer->object[i];
    aiot_write_object(writer);
    text_member(writer, "label", aiot_bundle_label(bundle, object->label));
    number_member(writer, "x", object->x);
    number_member(writer, "y", object->y);
    number_member(writer, "confidence", object->confidence);
    aiot_write_object_end(writer);
  }
  aiot_write_array_end(writer);
}

static void extra_member(aiot_writer *writer, const aiot_bundle *bundle, const float *values) {
  aiot_write_key(writer, "extra");
  aiot_write_object(writer);
  for (size_t i = 0; i < bundle->extras; i++) {
    aiot_write_key(writer, bundle->extra[i].name);
    aiot_write_array(writer);
    for (size_t k = 0; k < bundle->extra[i].count; k++) aiot_write_number(writer, (double)*values++);
    aiot_write_array_end(writer);
  }
  aiot_write_object_end(writer);
}

size_t aiot_inference_message(aiot_message message, const aiot_inference_news *news) {
  const aiot_answer *answer = news->answer;
  aiot_writer writer = begin(message);
  integer_member(&writer, "seq", news->seq);
  integer_member(&writer, "t", news->t < 0 ? 0 : news->t);
  aiot_write_key(&writer, "model");
  aiot_write_object(&writer);
  text_member(&writer, "name", news->model);
  integer_member(&writer, "version", news->version);
  aiot_write_object_end(&writer);
  if (news->recording != NULL) text_member(&writer, "recording", news->recording);
  integer_member(&writer, "window", answer->window);
  text_member(&writer, "label", aiot_bundle_label(news->bundle, answer->label));
  text_member(&writer, "voted", aiot_bundle_label(news->bundle, answer->voted));
  aiot_write_key(&writer, "scores");
  aiot_write_array(&writer);
  for (size_t i = 0; i < answer->scores; i++) aiot_write_number(&writer, answer->score[i]);
  aiot_write_array_end(&writer);
  aiot_write_key(&writer, "value");
  if (news->bundle->answer == AIOT_ANSWER_CLASSES) aiot_write_null(&writer);
  else aiot_write_number(&writer, answer->value);
  if (news->bundle->answer == AIOT_ANSWER_OBJECTS) detections_member(&writer, news->bundle, answer);
  if (answer->extra != NULL) extra_member(&writer, news->bundle, answer->extra);
  number_member(&writer, "latencyMs", news->latency_ms);
  return end(&writer);
}

size_t aiot_presence_message(aiot_message message, bool online, int64_t t) {
  aiot_writer writer = begin(message);
  aiot_write_key(&writer, "online");
  aiot_write_boolean(&writer, online);
  integer_member(&writer, "t", t < 0 ? 0 : t);
  return end(&writer);
}

size_t aiot_log_message(aiot_message message, int64_t t, const char *level, const char *text, aiot_code code) {
  aiot_writer writer = begin(message);
  integer_member(&writer, "t", t < 0 ? 0 : t);
  text_member(&writer, "level", level);
  text_member(&writer, "message", text);
  if (code != AIOT_OK) text_member(&writer, "code", aiot_code_name(code));
  return end(&writer);
}
