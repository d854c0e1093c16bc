/* Members that the messages of reports (report.c) and proofs (prove.c) have in common. These functions only write. */
#ifndef AIOT_DEVICE_MEMBERS_H
#define AIOT_DEVICE_MEMBERS_H

#include "aiot/device.h"

void aiot_write_integer_member(aiot_writer *writer, const char *key, int64_t value);
void aiot_write_text_member(aiot_writer *writer, const char *key, const char *text);

/* Writes a member `key`: the content of a slot, or null. */
void aiot_device_write_content(aiot_writer *writer, const char *key, const aiot_content *content);

/* Writes the member `golden` of an update. */
void aiot_device_write_golden(aiot_writer *writer, const aiot_update *update);

#endif
