/* The functions that you write for your board. extras/host/board.c implements them for a Linux machine. */
#ifndef BOARD_H
#define BOARD_H

#include "aiot.h"

/*
 * Sets the name, ID and type of the device in `setup`, its memory, and its ports: clock, MQTT, HTTP, crypto and flash. See aiot/ports.h
 * and aiot/device.h. Returns false if the board was not provisioned or one of its components fails.
 */
bool board_open(aiot_device_setup *setup);

/* Reads one sample of each field. Returns false if the next sample is not due yet. */
bool board_sample(double *values);

/* Called for each event of the device. For a prediction, for example, `event` is "inference". */
void board_event(void *context, const char *event, const char *member, const char *json, size_t bytes);

/* device.c */
#ifdef __cplusplus
extern "C" {
#endif
bool device_begin(void);
/* Returns false if the device must restart. */
bool device_step(void);
#ifdef __cplusplus
}
#endif

#endif
