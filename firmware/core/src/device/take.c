/* Samples in: telemetry in columns of about a second each, and the model's answer for each window. */
#include <string.h>

#include "parts.h"

/* Longest text of one value with its comma, and what a message has besides its values. */
#define VALUE_BYTES 26
#define FRAME_BYTES 512

static double microseconds(const aiot_device *device) {
  const aiot_clock *clock = device->setup.clock;
  if (clock->uptime_us != NULL) return (double)clock->uptime_us(clock->context);
  return 1000.0 * (double)clock->uptime_ms(clock->context);
}

/* Where the model's fields stand in a sample. */
static bool find_fields(aiot_device *device) {
  const aiot_signal_spec *signal = &device->bundle.signal;
  const aiot_take *take = &device->take;
  for (size_t f = 0; f < signal->fields; f++) {
    size_t place = 0;
    while (place < take->fields && strcmp(take->field[place], signal->field[f]) != 0) place++;
    if (place == take->fields) return false;
    device->place[f] = place;
  }
  /* A model of single rows answers each by itself, at whatever rate they come. */
  const bool timeless = signal->window_samples == 1 && signal->lowpass_hz <= 0;
  const double difference = signal->rate_hz - take->rate_hz;
  return timeless || (difference >= 0 && difference <= 0);
}

void aiot_device_match(aiot_device *device) {
  device->fits = false;
  if (!device->taking || !device->take.predict || device->predictor == NULL) return;
  device->fits = find_fields(device);
  aiot_predictor_reset(device->predictor);
  if (!device->fits) {
    aiot_device_log(device, "error", "the model takes other fields, or another rate, than the sensor gives",
                    AIOT_MODEL_UNSUPPORTED);
  }
}

aiot_code aiot_device_take(aiot_device *device, const aiot_take *take) {
  aiot_device_take_end(device);
  size_t samples = (size_t)(take->rate_hz + 0.5);
  if (samples < 1) samples = 1;
  if (take->telemetry && samples * take->fields > device->setup.batch_values) return AIOT_MEMORY_SHORT;
  device->take = *take;
  device->taken = (aiot_taken){0};
  device->batch_samples = samples;
  device->batched = 0;
  device->taking = true;
  aiot_device_match(device);
  return take->predict && device->predictor != NULL && !device->fits ? AIOT_MODEL_UNSUPPORTED : AIOT_OK;
}

bool aiot_device_ready(const aiot_device *device) {
  size_t bytes = FRAME_BYTES;
  if (device->take.telemetry) bytes += device->batch_samples * device->take.fields * VALUE_BYTES;
  if (bytes > device->setup.queue_bytes) bytes = device->setup.queue_bytes;
  return device->setup.queue_bytes - device->queue.used >= bytes && device->queue.waiting < AIOT_WINDOW;
}

static void send_batch(aiot_device *device) {
  if (device->batched == 0) return;
  const aiot_take *take = &device->take;
  const char *field[AIOT_FIELDS_MAX];
  for (size_t f = 0; f < take->fields; f++) field[f] = take->field[f];
  const double before = (double)(device->taken.samples - (int64_t)device->batched) * 1000 / take->rate_hz;
  const aiot_batch batch = {
      .seq = device->taken.messages++,
      .t = take->started_at < 0 ? -1 : take->started_at + before,
      .rate_hz = take->rate_hz,
      .recording = take->recording[0] == '\0' ? NULL : take->recording,
      .fields = take->fields,
      .field = field,
      .samples = device->batched,
      .values = device->batch,
  };
  char channel[16 + AIOT_NAME_BYTES] = "telemetry/";
  memcpy(channel + strlen(channel), take->stream, strlen(take->stream) + 1);
  char topic[AIOT_TOPIC_BYTES];
  aiot_device_topic(device, channel, topic);
  aiot_message message = aiot_device_message(device, device->setup.encoding);
  const size_t bytes = aiot_telemetry_message(message, &batch);
  device->batched = 0;
  aiot_device_send(device, topic, message.out, bytes);
}

static void send_answer(aiot_device *device, const aiot_answer *answer, double latency_ms) {
  const aiot_inference_news news = {
      .seq = device->inferences++,
      .t = aiot_device_now(device),
      .model = device->content.name,
      .version = device->content.version,
      .recording = device->take.recording[0] == '\0' ? NULL : device->take.recording,
      .bundle = &device->bundle,
      .answer = answer,
      .latency_ms = latency_ms,
  };
  device->taken.inferences++;
  const aiot_device_setup *setup = &device->setup;
  aiot_message message = aiot_device_message(device, AIOT_ENCODING_JSON);
  size_t bytes = aiot_inference_message(message, &news);
  if (setup->event != NULL && bytes > 0) setup->event(setup->context, "inference", "inference", message.out, bytes);
  if (setup->encoding != AIOT_ENCODING_JSON) {
    message.encoding = setup->encoding;
    bytes = aiot_inference_message(message, &news);
  }
  char topic[AIOT_TOPIC_BYTES];
  aiot_device_topic(device, "inference", topic);
  aiot_device_send(device, topic, message.out, bytes);
}

void aiot_device_sample(aiot_device *device, const double *values) {
  const aiot_take *take = &device->take;
  if (!device->taking) return;
  bool answered = false;
  aiot_answer answer;
  double latency_ms = 0;
  if (device->fits) {
    double wanted[AIOT_FIELDS_MAX];
    for (size_t f = 0; f < device->bundle.signal.fields; f++) wanted[f] = values[device->place[f]];
    const double before = microseconds(device);
    answered = aiot_predictor_push(device->predictor, wanted, &answer);
    latency_ms = (microseconds(device) - before) / 1000;
  }
  device->taken.samples++;
  if (take->telemetry) {
    memcpy(device->batch + device->batched * take->fields, values, take->fields * sizeof *values);
    if (++device->batched == device->batch_samples) send_batch(device);
  }
  if (answered) send_answer(device, &answer, latency_ms);
}

void aiot_device_take_end(aiot_device *device) {
  if (!device->taking) return;
  send_batch(device);
  device->taking = false;
  device->fits = false;
}
