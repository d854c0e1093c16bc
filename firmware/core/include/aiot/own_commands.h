/*
 * The commands of this program, on a chip and on a computer. In a project's firmware folder, you can change this file: add a function
 * (see aiot/command.h) and its entry, such as AIOT_COMMANDS(own_commands, AIOT_COMMAND("set-speed", set_speed)).
 */
#ifndef AIOT_OWN_COMMANDS_H
#define AIOT_OWN_COMMANDS_H

#include "aiot/command.h"

AIOT_COMMANDS(own_commands, );

#endif
