#include "aiot/crash.h"

#include "../base64.h"
#include "outbox.h"

/* "0x", the digits of 64 bits, and a NUL. */
enum { ADDRESS_BYTES = 2 + 16 + 1 };

static const char *address(uint64_t value, char out[ADDRESS_BYTES]) {
  size_t at = ADDRESS_BYTES - 1;
  out[at] = '\0';
  do {
    out[--at] = "0123456789abcdef"[value & 15];
    value >>= 4;
  } while (value != 0);
  out[--at] = 'x';
  out[--at] = '0';
  return out + at;
}

static void text(aiot_writer *writer, const char *key, const char *value) {
  if (value == NULL) return;
  aiot_write_key(writer, key);
  aiot_write_text(writer, value);
}

static void write_program(aiot_writer *writer, const char *name, const aiot_crash *crash) {
  if (crash->version == NULL && crash->build == NULL) return;
  aiot_write_key(writer, "firmware");
  aiot_write_object(writer);
  text(writer, "name", name);
  text(writer, "version", crash->version);
  text(writer, "build", crash->build);
  aiot_write_object_end(writer);
}

static void write_calls(aiot_writer *writer, const uint64_t *calls, size_t depth) {
  char digits[ADDRESS_BYTES];
  if (depth == 0) return;
  aiot_write_key(writer, "backtrace");
  aiot_write_array(writer);
  for (size_t i = 0; i < depth; i++) {
    aiot_write_object(writer);
    text(writer, "address", address(calls[i], digits));
    aiot_write_object_end(writer);
  }
  aiot_write_array_end(writer);
}

static void write_registers(aiot_writer *writer, const aiot_crash *crash) {
  char digits[ADDRESS_BYTES];
  if (crash->register_count == 0) return;
  aiot_write_key(writer, "registers");
  aiot_write_object(writer);
  for (size_t i = 0; i < crash->register_count; i++) text(writer, crash->registers[i].name, address(crash->registers[i].value, digits));
  aiot_write_object_end(writer);
}

static void write_tasks(aiot_writer *writer, const aiot_crash *crash) {
  if (crash->task_count == 0) return;
  aiot_write_key(writer, "tasks");
  aiot_write_array(writer);
  for (size_t i = 0; i < crash->task_count; i++) {
    const aiot_crash_task *task = &crash->tasks[i];
    aiot_write_object(writer);
    text(writer, "name", task->name);
    write_calls(writer, task->calls, crash->task_depth != 0 && crash->task_depth < task->depth ? crash->task_depth : task->depth);
    aiot_write_object_end(writer);
  }
  aiot_write_array_end(writer);
}

static void write_log(aiot_writer *writer, const aiot_crash *crash) {
  const char *line = crash->log == NULL ? NULL : aiot_tail_next(crash->log, NULL);
  if (line == NULL) return;
  aiot_write_key(writer, "log");
  aiot_write_array(writer);
  for (; line != NULL; line = aiot_tail_next(crash->log, line)) aiot_write_text(writer, line);
  aiot_write_array_end(writer);
}

static void write_reset(aiot_writer *writer, const aiot_crash *crash) {
  if (crash->reset == NULL) return;
  aiot_write_key(writer, "details");
  aiot_write_object(writer);
  text(writer, "reset", crash->reset);
  aiot_write_object_end(writer);
}

/* `encoded`: memory for the stack in base64. */
static void write_stack(aiot_writer *writer, const aiot_crash *crash, char *encoded) {
  char digits[ADDRESS_BYTES];
  if (crash->stack_bytes == 0) return;
  aiot_base64_encode(crash->stack, crash->stack_bytes, encoded);
  aiot_write_key(writer, "stack");
  aiot_write_object(writer);
  text(writer, "address", address(crash->stack_address, digits));
  text(writer, "data", encoded);
  aiot_write_object_end(writer);
}

size_t aiot_crash_message(aiot_message message, const char *firmware, const aiot_crash *crash) {
  aiot_writer writer;
  /* The end of the message's memory holds the stack in base64 until it is copied. */
  const size_t encoded = crash->stack_bytes == 0 ? 0 : (crash->stack_bytes + 2) / 3 * 4 + 1;
  if (message.room <= encoded) return 0;
  aiot_write_begin(&writer, (uint8_t *)message.out, message.room - encoded, message.encoding);
  aiot_write_object(&writer);
  text(&writer, "id", crash->id);
  if (crash->t > 0) {
    aiot_write_key(&writer, "t");
    aiot_write_integer(&writer, crash->t);
  }
  text(&writer, "kind", crash->kind);
  text(&writer, "reason", crash->reason);
  write_program(&writer, firmware, crash);
  text(&writer, "task", crash->task);
  write_calls(&writer, crash->calls, crash->depth);
  write_registers(&writer, crash);
  write_stack(&writer, crash, (char *)message.out + (message.room - encoded));
  write_tasks(&writer, crash);
  write_log(&writer, crash);
  write_reset(&writer, crash);
  aiot_write_object_end(&writer);
  return aiot_write_end(&writer);
}

bool aiot_device_crash(aiot_device *device, const aiot_crash *crash) {
  char topic[AIOT_TOPIC_BYTES];
  aiot_device_topic(device, "crash", topic);
  aiot_crash less = *crash;
  const aiot_message message = aiot_device_message(device, device->setup.encoding);
  const size_t most = crash->most_bytes == 0 ? message.room : crash->most_bytes;
  for (int attempt = 0; attempt < 8; attempt++) {
    if (attempt == 1) less.stack_bytes /= 2;
    if (attempt == 2) less.stack_bytes = 0;
    if (attempt == 3) less.task_depth = 1;
    if (attempt == 4) less.task_count /= 2;
    if (attempt == 5) less.task_count = 0;
    if (attempt == 6) less.register_count = 0;
    if (attempt == 7) less.log = NULL;
    const size_t bytes = aiot_crash_message(message, device->setup.firmware_name, &less);
    if (bytes != 0 && bytes <= most && aiot_queue_push(&device->queue, topic, message.out, bytes, false)) return true;
  }
  return false;
}
