/*
 * Iterates over a tensor in row-major order, together with the corresponding positions in another tensor
 * (src/lib/runtime/interpreter/moves.ts).
 */
#ifndef AIOT_WALK_H
#define AIOT_WALK_H

#include "network.h"

/* Positions of elements: start + sum of index * step. */
typedef struct {
  int32_t start;
  int32_t step[AIOT_RANK_MAX];
} aiot_places;

typedef struct {
  int32_t rank;
  int32_t size[AIOT_RANK_MAX];
} aiot_extent;

/* An index within an extent. It is counted like an odometer. */
typedef struct {
  int32_t index[AIOT_RANK_MAX];
} aiot_odometer;

aiot_extent aiot_extent_of(const aiot_operand *operand);
int32_t aiot_extent_count(const aiot_extent *extent);
/* Positions of the elements of a row-major tensor of this extent. */
aiot_places aiot_places_in(const aiot_extent *extent);

/* Advances the index by one, and both positions with it. */
void aiot_odometer_next(aiot_odometer *odometer, const aiot_extent *extent, const aiot_places *first, int32_t *at_first,
                        const aiot_places *second, int32_t *at_second);

#endif
