#include "walk.h"

aiot_extent aiot_extent_of(const aiot_operand *operand) {
  aiot_extent extent = {.rank = operand->rank};
  for (int32_t axis = 0; axis < operand->rank; axis++) extent.size[axis] = operand->size[axis];
  return extent;
}

int32_t aiot_extent_count(const aiot_extent *extent) {
  int32_t count = 1;
  for (int32_t axis = 0; axis < extent->rank; axis++) count *= extent->size[axis];
  return count;
}

aiot_places aiot_places_in(const aiot_extent *extent) {
  aiot_places places = {.start = 0};
  int32_t step = 1;
  for (int32_t axis = extent->rank - 1; axis >= 0; axis--) {
    places.step[axis] = step;
    step *= extent->size[axis];
  }
  return places;
}

void aiot_odometer_next(aiot_odometer *odometer, const aiot_extent *extent, const aiot_places *first, int32_t *at_first,
                        const aiot_places *second, int32_t *at_second) {
  for (int32_t axis = extent->rank - 1; axis >= 0; axis--) {
    odometer->index[axis]++;
    *at_first += first->step[axis];
    *at_second += second->step[axis];
    if (odometer->index[axis] < extent->size[axis]) return;
    *at_first -= extent->size[axis] * first->step[axis];
    *at_second -= extent->size[axis] * second->step[axis];
    odometer->index[axis] = 0;
  }
}
