/*
 * TensorFlow Lite Micro instead of the core's interpreter (tflm.cpp). program.c uses it if AIOT_INFERENCE_TFLM is set. The table
 * is constant; the models that it opens are stored in their arena.
 */
#ifndef AIOT_TFLM_H
#define AIOT_TFLM_H

#include "aiot/model.h"

extern const aiot_inference aiot_tflm;

#endif
