/* What the device's files share. */
#ifndef AIOT_DEVICE_PARTS_H
#define AIOT_DEVICE_PARTS_H

#include "aiot/device.h"

int64_t aiot_device_now(const aiot_device *device);
uint64_t aiot_device_uptime(const aiot_device *device);

/* Room for a message of this kind; it is used up at the next call of anything here. */
aiot_message aiot_device_message(const aiot_device *device, aiot_encoding encoding);

/* Into the queue; where it does not fit at all it is counted as dropped. */
void aiot_device_send(aiot_device *device, const char *topic, const void *payload, size_t bytes);

/* Tells of an event whose members are written by `members` into an object that begins with `t`. */
void aiot_device_tell(aiot_device *device, const char *event);

/* The message `reported`, as it is now. */
size_t aiot_device_reported(const aiot_device *device, aiot_message message, bool status);

/* A member `key`: what a slot holds, or null. */
void aiot_device_write_content(aiot_writer *writer, const char *key, const aiot_content *content);

/* The member `golden` of an update. */
void aiot_device_write_golden(aiot_writer *writer, const aiot_update *update);

/* The member `proof` of what is committed, where the device has a key and the message has room. */
void aiot_device_write_proof(aiot_writer *writer, const aiot_device *device, const aiot_content *content, int64_t t);

/* What is active of this kind is in use from now on. */
void aiot_device_used(aiot_device *device, aiot_kind kind);

/* A wish that came (NULL = taken back), and whether its release has run for as long as it wants: once. */
void aiot_device_wished(aiot_device *device, const aiot_desired *desired);
bool aiot_device_soaked(aiot_device *device);

/* For the updates: what they report with, and how a model is tried. */
void aiot_device_report(void *context, const aiot_update *update);
void aiot_device_heartbeat(void *context, const aiot_update *update);
bool aiot_device_acknowledged(void *context);
aiot_trial aiot_device_model_trial(aiot_device *device);
aiot_trial aiot_device_config_trial(aiot_device *device);

/* Works with this configuration from now on. */
void aiot_device_use_config(aiot_device *device, const aiot_config *config);

/* Whether the model in use answers each sample by itself, at whatever rate they come. */
bool aiot_device_timeless(const aiot_device *device);

/* The take goes on under another configuration. */
void aiot_device_retake(aiot_device *device);

/* Publishes presence and `reported` where they are due. */
void aiot_device_announce(aiot_device *device);

/* Looks at the timestamp where it is time to; whether there is more to do at once. */
bool aiot_device_look(aiot_device *device);

/* One message that came. */
void aiot_device_receive(aiot_device *device, const char *topic, const uint8_t *payload, size_t bytes);

/* The model in use is another one now: looks whether the take fits it. */
void aiot_device_match(aiot_device *device);

#endif
