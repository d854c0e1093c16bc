/* Reads picture files in place of a camera. */
#ifndef AIOT_HOST_FRAMES_H
#define AIOT_HOST_FRAMES_H

#include "aiot/camera.h"

/*
 * Reads a binary PGM or PPM file with 8 bits per value into `room` bytes, and converts it to the camera's format: AIOT_PIXELS_GRAY from a
 * PGM, AIOT_PIXELS_RGB565 or AIOT_PIXELS_RGB888 from a PPM. False = the file has another format, ends early, or does not fit.
 */
bool aiot_frame_read(aiot_frame *frame, const char *path, aiot_pixels format, uint8_t *memory, size_t room);

#endif
