#include "inbox.h"

#include <string.h>

#include "aiot/json.h"
#include "outbox.h"
#include "prove.h"
#include "report.h"
#include "settings.h"

/* Maximum time for sending a reply before the announced restart, ms. */
#define REPLY_MS 2000

/* Shortest and longest time for which a level of the log is set, ms. */
#define LEVEL_MS_MIN 1000
#define LEVEL_MS_MAX 604800000

typedef struct {
  char id[AIOT_ID_BYTES];
  char name[AIOT_ID_BYTES];
  bool expires;
  int64_t expires_at;
  /* The parameters, in the payload; {} if there are none. */
  const char *args;
  size_t args_bytes;
} command;

static bool read_command(command *out, const uint8_t *payload, size_t bytes) {
  memset(out, 0, sizeof *out);
  out->args = "{}";
  out->args_bytes = 2;
  aiot_json json;
  aiot_json_begin(&json, payload, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "id")) {
      aiot_json_string(&json, out->id, sizeof out->id);
    } else if (aiot_json_is(&json, "command")) {
      aiot_json_string(&json, out->name, sizeof out->name);
    } else if (aiot_json_is(&json, "args")) {
      if (aiot_json_peek(&json) != '{') return false;
      out->args = aiot_json_value(&json, &out->args_bytes);
    } else if (aiot_json_is(&json, "expires")) {
      out->expires = true;
      out->expires_at = aiot_json_integer(&json);
    } else {
      aiot_json_skip(&json);
    }
  }
  return aiot_json_done(&json) && out->id[0] != '\0' && out->name[0] != '\0';
}

static bool known(aiot_device *device, const char *id) {
  for (size_t i = 0; i < AIOT_COMMANDS_KEPT; i++) {
    if (strcmp(device->answered[i], id) == 0) return true;
  }
  memcpy(device->answered[device->answers++ % AIOT_COMMANDS_KEPT], id, AIOT_ID_BYTES);
  return false;
}

aiot_code aiot_call_fail(aiot_call *call, const char *reason) {
  size_t bytes = strlen(reason);
  if (bytes >= sizeof call->reason) bytes = sizeof call->reason - 1;
  memcpy(call->reason, reason, bytes);
  call->reason[bytes] = '\0';
  return AIOT_COMMAND_FAILED;
}

static const aiot_command *own_command(const aiot_device *device, const char *name) {
  for (const aiot_command *each = device->setup.commands; each != NULL && each->name != NULL; each++) {
    if (strcmp(each->name, name) == 0) return each;
  }
  return NULL;
}

static void write_error(aiot_writer *writer, aiot_code code, const char *text) {
  aiot_write_key(writer, "ok");
  aiot_write_boolean(writer, false);
  aiot_write_key(writer, "error");
  aiot_write_object(writer);
  aiot_write_key(writer, "code");
  aiot_write_text(writer, aiot_code_name(code));
  aiot_write_key(writer, "message");
  aiot_write_text(writer, text);
  aiot_write_object_end(writer);
}

/* Runs a command of the program. A result that does not fit is replaced by an error, because the platform must get a reply. */
static bool write_own(const aiot_device *device, aiot_writer *writer, const aiot_command *own, const command *asked) {
  const aiot_writer before = *writer;
  aiot_call call = {.context = device->setup.context, .result = writer};
  aiot_json_begin(&call.params, asked->args, asked->args_bytes);
  aiot_write_key(writer, "ok");
  aiot_write_boolean(writer, true);
  aiot_write_key(writer, "result");
  aiot_write_object(writer);
  const aiot_code code = own->run(&call);
  aiot_write_object_end(writer);
  /* The end of the reply needs one more byte. */
  const bool fits = !writer->failed && writer->used < writer->room;
  if (code == AIOT_OK && fits) return true;
  *writer = before;
  if (code == AIOT_OK) write_error(writer, AIOT_MEMORY_SHORT, "the command was run, but its result does not fit into a message");
  else write_error(writer, code, call.reason[0] == '\0' ? "the command failed" : call.reason);
  return false;
}

/* Sets the level of the log until its time is up, or without a time until the next start. */
static bool write_log_level(aiot_device *device, aiot_writer *writer, const command *asked) {
  char name[8] = "";
  bool timed = false;
  int64_t time = 0;
  aiot_json json;
  aiot_json_begin(&json, asked->args, asked->args_bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "level")) {
      aiot_json_string(&json, name, sizeof name);
    } else if (aiot_json_is(&json, "forMs")) {
      timed = true;
      time = aiot_json_integer(&json);
    } else {
      aiot_json_skip(&json);
    }
  }
  const bool read = aiot_json_done(&json);
  const aiot_log_level level = aiot_log_level_of(name);
  if (!read || level == AIOT_LOG_LEVELS || (timed && (time < LEVEL_MS_MIN || time > LEVEL_MS_MAX))) {
    write_error(writer, AIOT_COMMAND_FAILED, "expected the level debug, info, warn or error, and forMs from 1000 to 604800000 or none");
    return false;
  }
  device->log_level = level;
  device->log_until_ms = timed ? aiot_device_uptime(device) + (uint64_t)time : 0;
  device->report_due = true;
  aiot_write_key(writer, "ok");
  aiot_write_boolean(writer, true);
  aiot_write_key(writer, "result");
  aiot_write_object(writer);
  aiot_write_key(writer, "level");
  aiot_write_text(writer, name);
  if (timed) {
    aiot_write_key(writer, "forMs");
    aiot_write_integer(writer, time);
  }
  aiot_write_object_end(writer);
  return true;
}

/* Appends to a text as much as fits. */
static void append(char *text, size_t room, const char *more) {
  const size_t used = strlen(text);
  size_t bytes = strlen(more);
  if (bytes >= room - used) bytes = room - used - 1;
  memcpy(text + used, more, bytes);
  text[used + bytes] = '\0';
}

static void write_unknown(const aiot_device *device, aiot_writer *writer, const char *name) {
  char text[192 + AIOT_ID_BYTES] = "expected one of ping, status, reboot, log-level";
  const size_t names = sizeof text - AIOT_ID_BYTES - 8;
  for (const aiot_command *each = device->setup.commands; each != NULL && each->name != NULL; each++) {
    append(text, names, ", ");
    append(text, names, each->name);
  }
  append(text, sizeof text, ", got ");
  append(text, sizeof text, name);
  write_error(writer, AIOT_COMMAND_UNKNOWN, text);
}

static bool write_outcome(aiot_device *device, aiot_writer *writer, const command *asked, int64_t now) {
  if (strcmp(asked->name, "log-level") == 0) return write_log_level(device, writer, asked);
  const bool ping = strcmp(asked->name, "ping") == 0;
  const bool status = strcmp(asked->name, "status") == 0;
  if (!ping && !status && strcmp(asked->name, "reboot") != 0) {
    const aiot_command *own = own_command(device, asked->name);
    if (own != NULL) return write_own(device, writer, own, asked);
    write_unknown(device, writer, asked->name);
    return false;
  }
  aiot_write_key(writer, "ok");
  aiot_write_boolean(writer, true);
  aiot_write_key(writer, "result");
  if (status) {
    /* Writes a complete JSON object as a value. */
    aiot_message rest = {writer->out + writer->used, writer->room - writer->used, writer->encoding};
    const size_t bytes = aiot_device_reported(device, rest, true);
    writer->failed = writer->failed || bytes == 0;
    writer->used += bytes;
    writer->comma = true;
    return true;
  }
  aiot_write_object(writer);
  if (ping) {
    aiot_write_key(writer, "t");
    aiot_write_integer(writer, now);
  }
  aiot_write_object_end(writer);
  return true;
}

static size_t write_reply(aiot_device *device, aiot_message message, const command *asked, bool *ok) {
  const int64_t now = aiot_device_now(device) < 0 ? 0 : aiot_device_now(device);
  /* The reply is written to the message buffer. The result of `status` is written directly after the reply's first members. */
  aiot_writer writer;
  aiot_write_begin(&writer, message.out, message.room, message.encoding);
  aiot_write_object(&writer);
  aiot_write_key(&writer, "id");
  aiot_write_text(&writer, asked->id);
  aiot_write_key(&writer, "t");
  aiot_write_integer(&writer, now);
  *ok = write_outcome(device, &writer, asked, now);
  aiot_write_object_end(&writer);
  return aiot_write_end(&writer);
}

static void tell_command(aiot_device *device, const command *asked, bool ok) {
  const int64_t now = aiot_device_now(device);
  if (device->setup.event == NULL) return;
  aiot_message message = aiot_device_message(device, AIOT_ENCODING_JSON);
  aiot_writer writer;
  aiot_write_begin(&writer, message.out, message.room, message.encoding);
  aiot_write_object(&writer);
  aiot_write_key(&writer, "t");
  aiot_write_integer(&writer, now < 0 ? 0 : now);
  aiot_write_key(&writer, "command");
  aiot_write_text(&writer, asked->name);
  aiot_write_key(&writer, "ok");
  aiot_write_boolean(&writer, ok);
  aiot_write_object_end(&writer);
  const size_t bytes = aiot_write_end(&writer);
  if (bytes > 0) device->setup.event(device->setup.context, "command", NULL, message.out, bytes);
}

static void run_command(aiot_device *device, const uint8_t *payload, size_t bytes) {
  command asked;
  if (!read_command(&asked, payload, bytes)) {
    aiot_device_log(device, "warn", "command: the payload is not a command", AIOT_MESSAGE_MALFORMED);
    return;
  }
  const int64_t now = aiot_device_now(device);
  if ((asked.expires && now >= 0 && asked.expires_at <= now) || known(device, asked.id)) return;
  char topic[AIOT_TOPIC_BYTES];
  aiot_device_topic(device, "reply", topic);
  aiot_message message = aiot_device_message(device, device->setup.encoding);
  bool ok;
  const size_t written = write_reply(device, message, &asked, &ok);
  aiot_device_send(device, topic, message.out, written);
  tell_command(device, &asked, ok);
  if (device->log_level == AIOT_LOG_DEBUG) {
    char text[AIOT_ID_BYTES + 24] = "command ";
    append(text, sizeof text, asked.name);
    append(text, sizeof text, ok ? ": done" : ": failed");
    aiot_device_log(device, "debug", text, AIOT_OK);
  }
  if (strcmp(asked.name, "reboot") == 0) device->reboot_at_ms = aiot_device_uptime(device) + REPLY_MS;
}

/* Handles a new desired release; NULL = withdrawn. Only one update runs at a time, so it ends the update of any other kind. */
static void wish(aiot_device *device, const aiot_desired *desired) {
  aiot_device_wished(device, desired);
  for (int kind = 0; kind < AIOT_KINDS; kind++) {
    if (device->setup.flash[kind] == NULL) continue;
    const bool meant = desired != NULL && desired->kind == (aiot_kind)kind;
    aiot_update_desire(&device->update[kind], meant ? desired : NULL);
  }
  if (desired != NULL && device->setup.flash[desired->kind] == NULL) {
    aiot_device_log(device, "warn", "desired: this device does not update artifacts of this kind", AIOT_UPDATE_INTERFACE);
  }
}

void aiot_device_receive(aiot_device *device, const char *topic, const uint8_t *payload, size_t bytes) {
  char own[AIOT_TOPIC_BYTES];
  aiot_device_topic(device, "command", own);
  if (strcmp(topic, own) == 0) {
    run_command(device, payload, bytes);
    return;
  }
  aiot_device_topic(device, "settings", own);
  if (device->settings != NULL && strcmp(topic, own) == 0) {
    aiot_device_take_settings(device, payload, bytes);
    return;
  }
  aiot_device_topic(device, "desired", own);
  if (strcmp(topic, own) != 0) return;
  if (bytes == 0) {
    wish(device, NULL);
    return;
  }
  aiot_desired desired;
  if (aiot_desired_read(&desired, payload, bytes) == AIOT_OK) wish(device, &desired);
  else aiot_device_log(device, "warn", "desired: the payload is malformed", AIOT_MESSAGE_MALFORMED);
}
