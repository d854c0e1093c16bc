/* The functions that you write for your board. extras/host/board.c implements them for a Linux machine. */
#ifndef BOARD_H
#define BOARD_H

#include "aiot.h"

/*
 * Sets the name, id and type of the device in `setup`, its memory, and its ports: clock, mqtt, http, crypto and flash. See aiot/ports.h
 * and aiot/device.h. False if the board was not provisioned or one of its parts fails.
 */
bool board_open(aiot_device_setup *setup);

/* Reads one sample of each field. False if the next sample is not due yet. */
bool board_sample(double *values);

/* Is called for each event of the device, for example a prediction: `event` is then "inference". */
void board_event(void *context, const char *event, const char *member, const char *json, size_t bytes);

/* device.c */
#ifdef __cplusplus
extern "C" {
#endif
bool device_begin(void);
/* False if the device must restart. */
bool device_step(void);
#ifdef __cplusplus
}
#endif

#endif
