#include "aiot/device.h"

#include <string.h>

#include "inbox.h"
#include "look.h"
#include "outbox.h"
#include "prove.h"
#include "report.h"
#include "settings.h"
#include "trials.h"

static aiot_code take_memory(aiot_device *device) {
  const aiot_device_setup *setup = &device->setup;
  aiot_arena *arena = &device->arena;
  aiot_arena_init(arena, setup->memory, setup->bytes);
  void *queue = aiot_arena_take(arena, setup->queue_bytes, 8);
  device->message.room = setup->message_bytes;
  device->message.out = aiot_arena_take(arena, setup->message_bytes, 8);
  device->line.http = setup->http;
  device->line.bytes = setup->envelope_bytes;
  device->line.memory = aiot_arena_take(arena, setup->envelope_bytes, 8);
  device->batch = aiot_arena_take(arena, setup->batch_values * sizeof(double), 8);
  if (queue == NULL || device->message.out == NULL || device->line.memory == NULL || device->batch == NULL) {
    return AIOT_MEMORY_SHORT;
  }
  aiot_queue_init(&device->queue, queue, setup->queue_bytes, AIOT_WINDOW);
  return AIOT_OK;
}

static aiot_code boot_kind(aiot_device *device, aiot_kind kind, const aiot_trial *trial) {
  const aiot_device_setup *setup = &device->setup;
  const aiot_update_setup update = {
      .kind = kind,
      .traits = {.type = setup->type, .interface = AIOT_INTERFACE_SOUND_STREAM_FORESTS,
                 .modes = AIOT_MODE_INT8 | AIOT_MODE_INT16X8 | AIOT_MODE_MIXED, .secure_version = setup->secure_version},
      .store = &device->store[kind],
      .clock = setup->clock,
      .crypto = setup->crypto,
      .trust = setup->trust,
      .keeper = setup->trust == NULL ? NULL : &device->keeper,
      .line = &device->line,
      .trial = trial,
      .context = device,
      .report = aiot_device_report,
      .heartbeat = aiot_device_heartbeat,
      .acknowledged = aiot_device_acknowledged,
  };
  return aiot_update_boot(&device->update[kind], &update) ? AIOT_OK : AIOT_FLASH_FAILED;
}

static aiot_code open_keeper(aiot_device *device) {
  const aiot_device_setup *setup = &device->setup;
  if (setup->trust == NULL) return AIOT_OK;
  const aiot_flash *flash = setup->trust_flash;
  const aiot_keeper_setup keeper = {
      .first = setup->trust,
      .crypto = setup->crypto,
      .clock = setup->clock,
      .line = &device->line,
      .part = {flash, 0, flash == NULL ? 0 : flash->bytes},
  };
  return aiot_keeper_open(&device->keeper, &keeper);
}

aiot_code aiot_device_open(aiot_device *device, const aiot_device_setup *setup) {
  memset(device, 0, sizeof *device);
  device->setup = *setup;
  device->config = aiot_config_default();
  device->log_level = AIOT_USUAL_LOG_LEVEL;
  device->model_trial = aiot_device_model_trial(device);
  device->config_trial = aiot_device_config_trial(device);
  aiot_code code = take_memory(device);
  if (code == AIOT_OK) code = aiot_device_load_settings(device);
  if (code == AIOT_OK) code = open_keeper(device);
  for (int kind = 0; kind < AIOT_KINDS && code == AIOT_OK; kind++) {
    if (setup->flash[kind] == NULL) continue;
    uint8_t *scratch = aiot_arena_take(&device->arena, AIOT_SECTOR_BYTES, 8);
    if (scratch == NULL) code = AIOT_MEMORY_SHORT;
    else if (!aiot_store_open_flash(&device->store[kind], setup->flash[kind], setup->crypto, scratch)) code = AIOT_FLASH_FAILED;
  }
  device->arena_mark = device->arena.used;
  const aiot_trial *const trials[AIOT_KINDS] = {&device->model_trial, setup->firmware, &device->config_trial};
  device->booting = true;
  /* The model comes last, because a device that was never updated must report on its model. */
  for (int kind = AIOT_KINDS - 1; kind >= 0 && code == AIOT_OK; kind--) {
    if (setup->flash[kind] != NULL) code = boot_kind(device, (aiot_kind)kind, trials[kind]);
  }
  for (int kind = 0; kind < AIOT_KINDS; kind++) {
    if (setup->flash[kind] != NULL && device->update[kind].has_job) device->speaks = (aiot_kind)kind;
  }
  device->booting = false;
  if (code == AIOT_OK && setup->flash[device->speaks] != NULL) aiot_device_report(device, &device->update[device->speaks]);
  if (code == AIOT_OK) aiot_device_tell(device, "booted");
  return code;
}

static void subscribe(aiot_device *device) {
  const aiot_mqtt *mqtt = device->setup.mqtt;
  char topic[AIOT_TOPIC_BYTES];
  aiot_device_topic(device, "desired", topic);
  bool done = mqtt->subscribe(mqtt->context, topic, 1);
  aiot_device_topic(device, "command", topic);
  done = done && mqtt->subscribe(mqtt->context, topic, 1);
  aiot_device_topic(device, "settings", topic);
  device->subscribed = done && (device->settings == NULL || mqtt->subscribe(mqtt->context, topic, 1));
  device->report_due = true;
}

/*
 * Follows the connection: after each reconnect the device subscribes. It is online once it has published its presence, which the port accepts
 * only after the broker has confirmed all subscriptions: until then, no message of the platform could reach the device.
 */
static void follow_connection(aiot_device *device) {
  const aiot_mqtt *mqtt = device->setup.mqtt;
  uint32_t connection = mqtt->connection(mqtt->context);
  if (connection != device->connection) {
    if (device->connection != 0 && !device->presence_due) aiot_device_tell(device, "offline");
    device->connection = connection;
    device->subscribed = false;
    device->presence_due = true;
    device->look_due = connection != 0;
  }
  if (connection != 0 && !device->subscribed) subscribe(device);
  const uint32_t every = device->config.report_ms;
  if (every != 0 && aiot_device_uptime(device) - device->reported_at_ms >= every) device->report_due = true;
  if (aiot_device_soaked(device)) device->report_due = true;
  if (connection != 0) aiot_device_announce(device);
}

static bool run_updates(aiot_device *device) {
  bool more = false;
  for (int kind = 0; kind < AIOT_KINDS; kind++) {
    if (device->setup.flash[kind] == NULL) continue;
    aiot_update *update = &device->update[kind];
    more = aiot_update_step(update) || more;
    if (update->dead && !device->stopped) {
      device->stopped = true;
      aiot_device_tell(device, "died");
    }
  }
  return more;
}

/* Returns to the usual level of the log when its time is up. */
static void end_log_level(aiot_device *device) {
  if (device->log_until_ms == 0 || aiot_device_uptime(device) < device->log_until_ms) return;
  device->log_until_ms = 0;
  device->log_level = AIOT_USUAL_LOG_LEVEL;
  device->report_due = true;
}

bool aiot_device_step(aiot_device *device, uint32_t wait_ms) {
  if (device->stopped) return false;
  end_log_level(device);
  follow_connection(device);
  bool more = run_updates(device);
  more = aiot_device_look(device) || more;
  aiot_queue_run(&device->queue, device->setup.mqtt);
  if (device->queue.dropped != device->told_dropped) {
    device->told_dropped = device->queue.dropped;
    aiot_device_log(device, "warn", "messages were dropped: they arrived faster than they could be sent", AIOT_OK);
  }
  const aiot_mqtt *mqtt = device->setup.mqtt;
  const char *topic;
  const uint8_t *payload;
  size_t bytes;
  if (!device->stopped && mqtt->receive(mqtt->context, more ? 0 : wait_ms, &topic, &payload, &bytes)) {
    aiot_device_receive(device, topic, payload, bytes);
  }
  bool replied = device->queue.waiting + device->queue.sent == 0;
  if (device->reboot_at_ms != 0 && (replied || aiot_device_uptime(device) >= device->reboot_at_ms)) {
    device->stopped = true;
    device->setup.reboot(device->setup.context);
  }
  return !device->stopped;
}

bool aiot_device_idle(const aiot_device *device) {
  bool idle = device->queue.waiting + device->queue.sent == 0;
  for (int kind = 0; kind < AIOT_KINDS; kind++) {
    if (device->setup.flash[kind] != NULL) idle = idle && aiot_update_settled(&device->update[kind]);
  }
  return idle;
}

void aiot_device_close(aiot_device *device, uint32_t wait_ms) {
  const aiot_mqtt *mqtt = device->setup.mqtt;
  const uint64_t until = aiot_device_uptime(device) + wait_ms;
  const char *topic;
  const uint8_t *payload;
  size_t bytes;
  uint32_t goodbye = 0;
  bool said = false;
  while (mqtt->connection(mqtt->context) != 0 && aiot_device_uptime(device) < until) {
    bool sent = aiot_queue_run(&device->queue, mqtt);
    if (sent && goodbye == 0) {
      char presence[AIOT_TOPIC_BYTES];
      aiot_device_topic(device, "presence", presence);
      aiot_message message = aiot_device_message(device, device->setup.encoding);
      bytes = aiot_presence_message(message, false, aiot_device_now(device));
      goodbye = mqtt->publish(mqtt->context, presence, message.out, bytes, 1, true);
    }
    said = goodbye != 0 && mqtt->acknowledged(mqtt->context, goodbye);
    if (said) break;
    mqtt->receive(mqtt->context, 10, &topic, &payload, &bytes);
  }
  device->stopped = true;
  if (device->connection != 0 && !device->presence_due) aiot_device_tell(device, "offline");
  device->connection = 0;
}
