/*
 * Finds the objects in a picture from the class probabilities of a grid's cells, like `detectionsIn` in src/lib/model/bundle/detections.ts.
 */
#ifndef AIOT_PREDICT_OBJECTS_H
#define AIOT_PREDICT_OBJECTS_H

#include "aiot/pipeline.h"

typedef struct {
  aiot_object_spec spec;
  size_t classes;
  /* Per cell: the largest output of a class, whether the cell belongs to no object yet, and the cells still to visit. */
  int16_t *most;
  uint8_t *open;
  uint16_t *stack;
  /* The objects of the last picture, strongest first, with room for `room`. */
  aiot_object *object;
  size_t room;
} aiot_objects;

/* Errors: AIOT_MODEL_UNSUPPORTED for more than 65535 cells, AIOT_MEMORY_SHORT. */
aiot_code aiot_objects_open(aiot_objects *objects, const aiot_object_spec *spec, size_t classes, aiot_arena *arena);

/*
 * `output` has rows * columns * (1 + classes) probabilities, the background first, with the tensor's type, scale and zero point.
 * Returns the number of objects; centers are rounded to a hundredth of a pixel, probabilities to a ten-thousandth.
 */
size_t aiot_objects_find(const aiot_objects *objects, const void *output, const aiot_tensor *tensor, double threshold);

#endif
