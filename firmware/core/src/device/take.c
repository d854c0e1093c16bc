/* Converts samples to columns of telemetry of about a second each, and to the model's prediction for each window. */
#include <string.h>

#include "outbox.h"
#include "take.h"

/* Maximum length of the text of one value with its comma, and the size of a message without its values. */
#define VALUE_BYTES 26
#define FRAME_BYTES 512

static double microseconds(const aiot_device *device) {
  const aiot_clock *clock = device->setup.clock;
  if (clock->uptime_us != NULL) return (double)clock->uptime_us(clock->context);
  return 1000.0 * (double)clock->uptime_ms(clock->context);
}

/* Finds the indices of the model's fields in a sample; false if one is missing, or if the rate does not suit the model. */
static bool find_fields(aiot_device *device) {
  const aiot_signal_spec *signal = &device->bundle.signal;
  const aiot_take *take = &device->take;
  for (size_t f = 0; f < signal->fields; f++) {
    size_t place = 0;
    while (place < take->fields && strcmp(take->field[place], signal->field[f]) != 0) place++;
    if (place == take->fields) return false;
    device->place[f] = place;
  }
  const aiot_image_spec *picture = &take->picture;
  if (picture->width > 0 && (signal->image.width != picture->width || signal->image.height != picture->height)) return false;
  const double difference = signal->rate_hz - take->rate_hz;
  return aiot_device_timeless(device) || (difference >= 0 && difference <= 0);
}

bool aiot_device_timeless(const aiot_device *device) {
  const aiot_signal_spec *signal = &device->bundle.signal;
  return signal->window_samples == 1 && signal->lowpass_hz <= 0;
}

static void send_batch(aiot_device *device);

void aiot_device_match(aiot_device *device) {
  device->fits = false;
  if (!device->taking || !device->take.predict || device->predictor == NULL) return;
  device->fits = find_fields(device);
  aiot_predictor_reset(device->predictor);
  const int64_t pixels = (int64_t)(device->take.picture.width * device->take.picture.height);
  device->skip = pixels == 0 ? 0 : (size_t)((pixels - device->taken.samples % pixels) % pixels);
  if (!device->fits) {
    aiot_device_log(device, "error", "the model needs other fields, another rate or another picture than the sensor provides",
                    AIOT_RECORDING_UNFIT);
  }
}

/*
 * Number of samples per message: those of the configured interval. An interval of more than a second is shortened to what fits
 * into memory.
 */
static size_t samples_of_batch(const aiot_device *device) {
  const aiot_take *take = &device->take;
  const double ms = device->config.telemetry_ms;
  size_t samples = (size_t)(take->rate_hz * ms / 1000 + 0.5);
  if (ms > 1000) {
    const size_t room = device->message.room > FRAME_BYTES ? (device->message.room - FRAME_BYTES) / VALUE_BYTES : 1;
    const size_t values = room < device->setup.batch_values ? room : device->setup.batch_values;
    if (samples > values / take->fields) samples = values / take->fields;
  }
  return samples < 1 ? 1 : samples;
}

/* Derives the rate after averaging from the sensor's rate and the configuration. */
static void set_rate(aiot_device *device) {
  device->group = aiot_config_group(&device->config, device->sensor_hz);
  if (device->group == 0) {
    device->group = 1;
    aiot_device_log(device, "error", "the sensor's rate is not a multiple of the configuration's sampleHz: it is used unchanged", AIOT_CONFIG_UNFIT);
  }
  device->take.rate_hz = device->sensor_hz / (double)device->group;
  device->grouped = 0;
  for (size_t f = 0; f < AIOT_FIELDS_MAX; f++) device->sum[f] = 0;
  device->batch_samples = samples_of_batch(device);
}

void aiot_device_retake(aiot_device *device) {
  if (!device->taking) return;
  const double before = device->take.rate_hz;
  send_batch(device);
  set_rate(device);
  /* Earlier samples keep their times, and the next ones follow. */
  const double samples = (double)device->taken.samples;
  if (device->take.started_at >= 0) device->take.started_at += samples * 1000 / before - samples * 1000 / device->take.rate_hz;
  const double changed = before - device->take.rate_hz;
  if (changed > 0 || changed < 0) aiot_device_match(device);
}

aiot_code aiot_device_take(aiot_device *device, const aiot_take *take) {
  aiot_device_take_end(device);
  device->take = *take;
  device->taken = (aiot_taken){0};
  device->batched = 0;
  device->sensor_hz = take->rate_hz;
  set_rate(device);
  if (take->telemetry && device->batch_samples * take->fields > device->setup.batch_values) return AIOT_MEMORY_SHORT;
  device->taking = true;
  aiot_device_match(device);
  device->report_due = true;
  return take->predict && device->predictor != NULL && !device->fits ? AIOT_RECORDING_UNFIT : AIOT_OK;
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

/* Processes one sample that results from averaging. */
static void use_sample(aiot_device *device, const double *values) {
  const aiot_take *take = &device->take;
  bool answered = false;
  aiot_answer answer;
  double latency_ms = 0;
  if (device->skip > 0) {
    device->skip--;
  } else if (device->fits) {
    double wanted[AIOT_FIELDS_MAX];
    for (size_t f = 0; f < device->bundle.signal.fields; f++) wanted[f] = values[device->place[f]];
    const double before = microseconds(device);
    answered = aiot_predictor_push(device->predictor, wanted, &answer);
    latency_ms = (microseconds(device) - before) / 1000;
  }
  device->taken.samples++;
  if (take->telemetry && device->config.telemetry) {
    memcpy(device->batch + device->batched * take->fields, values, take->fields * sizeof *values);
    if (++device->batched == device->batch_samples) send_batch(device);
  }
  if (answered) send_answer(device, &answer, latency_ms);
}

void aiot_device_sample(aiot_device *device, const double *values) {
  if (!device->taking) return;
  if (device->group == 1) {
    use_sample(device, values);
    return;
  }
  const size_t fields = device->take.fields;
  for (size_t f = 0; f < fields; f++) device->sum[f] += values[f];
  if (++device->grouped < device->group) return;
  double mean[AIOT_FIELDS_MAX];
  for (size_t f = 0; f < fields; f++) {
    mean[f] = device->sum[f] / (double)device->group;
    device->sum[f] = 0;
  }
  device->grouped = 0;
  use_sample(device, mean);
}

void aiot_device_take_end(aiot_device *device) {
  if (!device->taking) return;
  send_batch(device);
  device->taking = false;
  device->fits = false;
}
