/*
 * A program's own commands, in addition to ping, status, reboot and log-level. A command is a function, registered in a table:
 *
 *   static aiot_code set_speed(aiot_call *call) {
 *     int64_t rpm = 0;
 *     aiot_json_enter(&call->params, '{');
 *     while (aiot_json_key(&call->params)) {
 *       if (aiot_json_is(&call->params, "rpm")) rpm = aiot_json_integer(&call->params);
 *       else aiot_json_skip(&call->params);
 *     }
 *     if (!aiot_json_done(&call->params)) return aiot_call_fail(call, "rpm: expected an integer");
 *     aiot_write_key(call->result, "rpm");
 *     aiot_write_integer(call->result, rpm);
 *     return AIOT_OK;
 *   }
 *
 *   AIOT_COMMANDS(own_commands, AIOT_COMMAND("set-speed", set_speed) AIOT_COMMAND("stop", stop));
 *
 * aiot/own_commands.h contains the table of the programs in hal/; another program sets `setup.commands` to its own table. The platform
 * checks parameters and reply against the project's JSON Schemas (docs/how-to/device-commands.md), and each call runs at most once. A
 * command must not call functions of aiot/device.h, because its result is being written to the device's message buffer.
 */
#ifndef AIOT_COMMAND_H
#define AIOT_COMMAND_H

#include <stddef.h>

#include "aiot/code.h"
#include "aiot/json.h"
#include "aiot/write.h"

/* Maximum length of the reason for a failure, including its NUL. */
#define AIOT_REASON_BYTES 96

typedef struct {
  /* The context of aiot_device_setup. */
  void *context;
  /* The parameters, an object; {} if there are none. */
  aiot_json params;
  /* The reply's result object, which is open: the function writes its members, at most as many as fit into the message buffer. */
  aiot_writer *result;
  char reason[AIOT_REASON_BYTES];
} aiot_call;

typedef struct {
  const char *name;
  /*
   * Runs in the device's loop, so it should return within a fraction of a second. After any code except AIOT_OK, the result is dropped, and
   * the platform gets the code with the reason.
   */
  aiot_code (*run)(aiot_call *call);
} aiot_command;

/* An entry of a table, with its comma, so that a table may be empty. */
#define AIOT_COMMAND(name, run) {name, run},

/* Defines a table from its entries, which have no commas between them. The last entry has no name. */
#define AIOT_COMMANDS(table, entries) static const aiot_command table[] = {entries{NULL, NULL}}

/* Sets the reason, which is truncated if it is too long, and returns AIOT_COMMAND_FAILED. */
aiot_code aiot_call_fail(aiot_call *call, const char *reason);

#endif
