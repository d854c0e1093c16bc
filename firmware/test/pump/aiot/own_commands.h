/* Commands of a pump: they show and change its variables, which has no effect on what the platform wants. */
#ifndef AIOT_OWN_COMMANDS_H
#define AIOT_OWN_COMMANDS_H

#include <stdio.h>

#include "aiot/command.h"

static aiot_code show_pump(aiot_call *call) {
  aiot_write_key(call->result, "text");
  char text[160];
  snprintf(text, sizeof text, "%d %d %d %g %s %s", (int)rpm, (int)every_s, quiet, gain, site, mode);
  aiot_write_text(call->result, text);
  return AIOT_OK;
}

static aiot_code turn_knob(aiot_call *call) {
  rpm = 77;
  (void)call;
  return AIOT_OK;
}

AIOT_COMMANDS(own_commands, AIOT_COMMAND("show-pump", show_pump) AIOT_COMMAND("turn-knob", turn_knob));

#endif
