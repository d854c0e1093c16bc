#include "report.h"

#include <string.h>

#include "members.h"
#include "outbox.h"
#include "prove.h"
#include "settings.h"

static const aiot_content *active(const aiot_device *device, aiot_kind kind) {
  if (device->setup.flash[kind] == NULL) return NULL;
  const aiot_record *record = &device->store[kind].record;
  return record->active == AIOT_NO_SLOT ? NULL : &record->slot[record->active];
}

static void write_firmware(aiot_writer *writer, const aiot_device *device) {
  const aiot_device_setup *setup = &device->setup;
  aiot_write_key(writer, "firmware");
  aiot_write_object(writer);
  aiot_write_text_member(writer, "name", setup->firmware_name);
  aiot_write_text_member(writer, "version", setup->firmware_version);
  if (setup->flash[AIOT_KIND_FIRMWARE] != NULL) {
    const int64_t committed = device->store[AIOT_KIND_FIRMWARE].record.secure_version;
    const int64_t booted = setup->secure_version;
    aiot_device_write_content(writer, "release", active(device, AIOT_KIND_FIRMWARE));
    aiot_write_integer_member(writer, "secureVersion", committed > booted ? committed : booted);
  }
  aiot_write_object_end(writer);
}

static void write_delta(aiot_writer *writer, const aiot_update *update) {
  aiot_write_key(writer, "delta");
  aiot_write_object(writer);
  aiot_write_integer_member(writer, "bytes", update->desired.delta_bytes);
  aiot_write_integer_member(writer, "of", update->manifest.bytes);
  aiot_write_key(writer, "error");
  if (update->delta_code == AIOT_OK) {
    aiot_write_null(writer);
  } else {
    aiot_write_object(writer);
    aiot_write_text_member(writer, "code", aiot_code_name(update->delta_code));
    aiot_write_text_member(writer, "message", update->delta_message);
    aiot_write_object_end(writer);
  }
  aiot_write_object_end(writer);
}

static void write_progress(aiot_writer *writer, const aiot_update *update) {
  aiot_write_key(writer, "download");
  if (update->has_download) {
    aiot_write_object(writer);
    aiot_write_integer_member(writer, "bytes", update->download_bytes);
    aiot_write_integer_member(writer, "total", update->download_total);
    aiot_write_object_end(writer);
  } else {
    aiot_write_null(writer);
  }
  if (update->has_delta) write_delta(writer, update);
  aiot_device_write_golden(writer, update);
  aiot_write_key(writer, "error");
  if (update->error.code[0] != '\0') {
    aiot_write_object(writer);
    aiot_write_text_member(writer, "code", update->error.code);
    aiot_write_text_member(writer, "message", update->error.message);
    aiot_write_object_end(writer);
  } else {
    aiot_write_null(writer);
  }
}

static void write_heap(aiot_writer *writer, const aiot_device *device) {
  aiot_heap heap;
  if (device->setup.heap == NULL) return;
  device->setup.heap(device->setup.context, &heap);
  aiot_write_key(writer, "heap");
  aiot_write_object(writer);
  aiot_write_integer_member(writer, "free", heap.free);
  aiot_write_integer_member(writer, "largest", heap.largest);
  aiot_write_integer_member(writer, "least", heap.least);
  aiot_write_object_end(writer);
}

static void write_counts(aiot_writer *writer, const char *key, const char *first, int64_t one, const char *second, int64_t other) {
  aiot_write_key(writer, key);
  aiot_write_object(writer);
  aiot_write_integer_member(writer, first, one);
  if (second != NULL) aiot_write_integer_member(writer, second, other);
  aiot_write_object_end(writer);
}

static void write_vitals(aiot_writer *writer, const aiot_device *device) {
  const aiot_queue *queue = &device->queue;
  aiot_vitals vitals = {.battery_percent = -1};
  if (device->setup.vitals != NULL) device->setup.vitals(device->setup.context, &vitals);
  aiot_write_key(writer, "vitals");
  aiot_write_object(writer);
  aiot_write_integer_member(writer, "uptimeMs", (int64_t)aiot_device_uptime(device));
  write_counts(writer, "queue", "waiting", (int64_t)(queue->waiting + queue->sent), "dropped", queue->dropped);
  if (vitals.boot != NULL) {
    aiot_write_key(writer, "boot");
    aiot_write_object(writer);
    aiot_write_text_member(writer, "reason", vitals.boot);
    aiot_write_object_end(writer);
  }
  if (vitals.battery_percent >= 0) write_counts(writer, "battery", "percent", vitals.battery_percent, NULL, 0);
  if (vitals.disk_total > 0) {
    write_counts(writer, "disk", "freeBytes", (int64_t)vitals.disk_free, "totalBytes", (int64_t)vitals.disk_total);
  }
  if (vitals.rssi_dbm < 0) aiot_write_integer_member(writer, "rssiDbm", vitals.rssi_dbm);
  aiot_write_object_end(writer);
}

static void write_log_level(aiot_writer *writer, const aiot_device *device) {
  const uint64_t now = aiot_device_uptime(device);
  aiot_write_key(writer, "log");
  aiot_write_object(writer);
  aiot_write_text_member(writer, "level", aiot_log_level_name(device->log_level));
  if (device->log_until_ms > now) aiot_write_integer_member(writer, "forMs", (int64_t)(device->log_until_ms - now));
  aiot_write_object_end(writer);
}

static void write_memory(aiot_writer *writer, const aiot_device *device) {
  if (device->setup.flash[AIOT_KIND_MODEL] == NULL) return;
  aiot_write_key(writer, "memory");
  aiot_write_object(writer);
  aiot_write_integer_member(writer, "bytes", (int64_t)(device->arena.bytes - device->arena_mark));
  aiot_write_integer_member(writer, "free", (int64_t)(device->arena.bytes - device->arena.used));
  aiot_write_object_end(writer);
}

static void write_sensor(aiot_writer *writer, const aiot_device *device) {
  const aiot_take *take = &device->take;
  if (!device->taking) return;
  aiot_write_key(writer, "sensor");
  aiot_write_object(writer);
  aiot_write_text_member(writer, "stream", take->stream);
  aiot_write_key(writer, "fields");
  aiot_write_array(writer);
  for (size_t f = 0; f < take->fields; f++) aiot_write_text(writer, take->field[f]);
  aiot_write_array_end(writer);
  aiot_write_key(writer, "rate");
  aiot_write_number(writer, take->rate_hz);
  aiot_write_key(writer, "unfit");
  if (device->predictor == NULL || !take->predict || device->fits) aiot_write_null(writer);
  else aiot_write_text(writer, "the model needs other fields or another rate");
  aiot_write_object_end(writer);
}

size_t aiot_device_reported(const aiot_device *device, aiot_message message, bool status) {
  const aiot_update *update = &device->update[device->speaks];
  const int64_t now = aiot_device_now(device);
  aiot_writer writer;
  aiot_write_begin(&writer, message.out, message.room, message.encoding);
  aiot_write_object(&writer);
  if (status) aiot_write_text_member(&writer, "id", device->setup.id);
  aiot_write_integer_member(&writer, "t", now < 0 ? 0 : now);
  aiot_write_text_member(&writer, "type", device->setup.type);
  write_firmware(&writer, device);
  aiot_write_text_member(&writer, "kind", aiot_kind_name(device->speaks));
  aiot_write_text_member(&writer, "state", aiot_phase_name(update->phase));
  aiot_write_key(&writer, "rollout");
  if (update->has_rollout) aiot_write_text(&writer, update->rollout);
  else aiot_write_null(&writer);
  aiot_device_write_content(&writer, "model", active(device, AIOT_KIND_MODEL));
  if (device->setup.flash[AIOT_KIND_CONFIG] != NULL) {
    aiot_device_write_content(&writer, "config", active(device, AIOT_KIND_CONFIG));
  }
  aiot_write_integer_member(&writer, "floor", update->setup.store == NULL ? 0 : update->setup.store->record.floor);
  write_progress(&writer, update);
  write_heap(&writer, device);
  write_vitals(&writer, device);
  write_log_level(&writer, device);
  write_memory(&writer, device);
  write_sensor(&writer, device);
  aiot_device_write_settings(&writer, device);
  if (!status) aiot_device_write_proof(&writer, device, active(device, device->speaks), now < 0 ? 0 : now);
  aiot_write_object_end(&writer);
  return aiot_write_end(&writer);
}

void aiot_device_tell(aiot_device *device, const char *name) {
  aiot_message message = aiot_device_message(device, AIOT_ENCODING_JSON);
  const int64_t now = aiot_device_now(device);
  aiot_writer writer;
  aiot_write_begin(&writer, message.out, message.room, message.encoding);
  aiot_write_object(&writer);
  aiot_write_integer_member(&writer, "t", now < 0 ? 0 : now);
  if (strcmp(name, "booted") == 0) aiot_device_write_content(&writer, "model", active(device, AIOT_KIND_MODEL));
  if (strcmp(name, "died") == 0) aiot_write_text_member(&writer, "message", "the flash failed");
  aiot_write_object_end(&writer);
  aiot_device_event(device, name, NULL, aiot_write_end(&writer));
}

/* Publishes `reported`. Returns the message's number; 0 = the port did not accept it. */
static uint32_t publish_reported(aiot_device *device) {
  const aiot_mqtt *mqtt = device->setup.mqtt;
  char topic[AIOT_TOPIC_BYTES];
  aiot_device_topic(device, "reported", topic);
  aiot_message message = aiot_device_message(device, device->setup.encoding);
  const size_t bytes = aiot_device_reported(device, message, false);
  device->reported_at_ms = aiot_device_uptime(device);
  return bytes == 0 ? 0 : mqtt->publish(mqtt->context, topic, message.out, bytes, 1, true);
}

void aiot_device_announce(aiot_device *device) {
  const aiot_mqtt *mqtt = device->setup.mqtt;
  if (!device->subscribed) return;
  if (device->presence_due) {
    char topic[AIOT_TOPIC_BYTES];
    aiot_device_topic(device, "presence", topic);
    aiot_message message = aiot_device_message(device, device->setup.encoding);
    const size_t bytes = aiot_presence_message(message, true, aiot_device_now(device));
    if (mqtt->publish(mqtt->context, topic, message.out, bytes, 1, true) == 0) return;
    device->presence_due = false;
    aiot_device_tell(device, "online");
  }
  if (device->report_due) device->report_due = publish_reported(device) == 0;
  if (device->heartbeat_due) {
    device->heartbeat = publish_reported(device);
    device->heartbeat_due = device->heartbeat == 0;
  }
}

static aiot_kind kind_of(const aiot_update *update) { return update->setup.kind; }

void aiot_device_report(void *context, const aiot_update *update) {
  aiot_device *device = context;
  device->speaks = kind_of(update);
  if (device->booting) return;
  aiot_message message = aiot_device_message(device, AIOT_ENCODING_JSON);
  aiot_device_event(device, "reported", "reported", aiot_device_reported(device, message, false));
  device->report_due = device->connection == 0 || device->presence_due || publish_reported(device) == 0;
}

void aiot_device_heartbeat(void *context, const aiot_update *update) {
  aiot_device *device = context;
  device->speaks = kind_of(update);
  device->heartbeat = 0;
  device->heartbeat_due = true;
  if (device->connection != 0) aiot_device_announce(device);
}

bool aiot_device_acknowledged(void *context) {
  const aiot_device *device = context;
  const aiot_mqtt *mqtt = device->setup.mqtt;
  return device->heartbeat != 0 && mqtt->acknowledged(mqtt->context, device->heartbeat);
}

