/*
 * The settings of this program, on a chip and on a computer. In a project's firmware folder, you can change this file: add variables and
 * their entries (see aiot/setting.h). aiot/own_commands.h can use the variables.
 */
#ifndef AIOT_OWN_SETTINGS_H
#define AIOT_OWN_SETTINGS_H

#include "aiot/setting.h"

AIOT_SETTINGS(own_settings, NULL, );

#endif
