/*
 * The program's own settings: checked, applied, stored and reported. device.c loads the stored ones at the start, inbox.c passes messages,
 * and report.c writes the digest. Called in the device's loop. New values are prepared in the message buffer, and then swapped with the
 * variables.
 */
#ifndef AIOT_DEVICE_SETTINGS_H
#define AIOT_DEVICE_SETTINGS_H

#include "aiot/device.h"

/* Whether the program has settings. */
bool aiot_device_has_settings(const aiot_device *device);

/* Checks the table, and sets the variables to the stored values or to their defaults. */
aiot_code aiot_device_load_settings(aiot_device *device);

/* Handles a message with settings; empty = there are none. */
void aiot_device_take_settings(aiot_device *device, const uint8_t *payload, size_t bytes);

/* Writes the member `settings` of a report: the digest of the values in use, and the error. */
void aiot_device_write_settings(aiot_writer *writer, const aiot_device *device);

#endif
