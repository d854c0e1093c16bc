/*
 * Signed proofs of committed releases: how long a release has been in use, and whether it has run as long as the rollout
 * requires. Used by inbox.c (desired releases), the trials (activation), device.c (time) and report.c (the proof itself). Called
 * in the device's loop.
 */
#ifndef AIOT_DEVICE_PROVE_H
#define AIOT_DEVICE_PROVE_H

#include "aiot/device.h"

/* Records that the active release of this kind is in use from now on. */
void aiot_device_used(aiot_device *device, aiot_kind kind);

/* Records the run time that a new desired release requires; NULL = withdrawn. */
void aiot_device_wished(aiot_device *device, const aiot_desired *desired);

/* True once, when the desired release has run for the required time. */
bool aiot_device_soaked(aiot_device *device);

/* Writes the member `proof` of the committed release, if the device has a key and the message has room. */
void aiot_device_write_proof(aiot_writer *writer, const aiot_device *device, const aiot_content *content, int64_t t);

#endif
