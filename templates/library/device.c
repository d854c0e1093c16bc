/* Connects to the platform, sends telemetry, installs updates, and runs the models that the platform delivers. */
#include "aiot.h"
#include "board.h"

static aiot_device device;

bool device_begin(void) {
  aiot_device_setup setup = {
      .firmware_name = "sdk-example",
      .firmware_version = "1.0.0",
      .encoding = AIOT_ENCODING_CBOR,
      .inference = &aiot_interpreter,
      .event = board_event,
      .queue_bytes = 4096,
      .message_bytes = 4096,
      .envelope_bytes = 8192,
      .batch_values = 100,
  };
  /* The board adds its identity, memory and ports: clock, MQTT, HTTPS, cryptography and flash. */
  if (!board_open(&setup) || aiot_device_open(&device, &setup) != AIOT_OK) return false;
  /* A model runs only if it has the same fields and rate. */
  const aiot_take stream = {.stream = "motor", .rate_hz = 10, .fields = 1, .field = {"temperature"}, .telemetry = true, .predict = true, .started_at = -1};
  return aiot_device_take(&device, &stream) != AIOT_MEMORY_SHORT;
}

bool device_step(void) {
  double values[1];
  if (aiot_device_ready(&device) && board_sample(values)) aiot_device_sample(&device, values);
  return aiot_device_step(&device, 20);
}
