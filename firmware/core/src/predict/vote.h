/* Decides on a class, and smooths the predictions of successive windows, as in src/lib/model/vote.ts. */
#ifndef AIOT_PREDICT_VOTE_H
#define AIOT_PREDICT_VOTE_H

#include "aiot/pipeline.h"

#define AIOT_VOTE_MAX 99u

/* majority:N */
typedef struct {
  /* Number of windows in the vote, from 1 to AIOT_VOTE_MAX. */
  size_t size;
  size_t count;
  /* The newest first. */
  uint8_t last[AIOT_VOTE_MAX];
} aiot_vote;

/* Adds the newest class; returns the most frequent class of the last windows. Ties go to the most recent one. */
int aiot_vote_push(aiot_vote *vote, int label);

/* average:N */
typedef struct {
  /* Number of windows in the mean, from 1 to AIOT_VOTE_MAX. */
  size_t size;
  size_t count;
  /* Number of outputs of a window, at most AIOT_CLASSES_MAX. */
  size_t scores;
  /* [size * (scores + 1)], the newest window first: its outputs, and 1 if it is far from all classes, in which case the outputs are 0. */
  double *last;
} aiot_average;

/* Takes memory for the last windows of a bundle's outputs. Returns AIOT_MEMORY_SHORT if there is not enough. */
aiot_code aiot_average_open(aiot_average *average, const aiot_bundle *bundle, size_t scores, aiot_arena *arena);

/*
 * Adds the newest window; returns the decision on the mean outputs of the last windows: the index of a class, or the number of classes if
 * the mean is rejected.
 */
int aiot_average_push(aiot_average *average, const aiot_bundle *bundle, const aiot_answer *answer);

/*
 * Index of the class with the largest output or, with `costs` [true class * predicted class], the smallest expected cost; the first one
 * if several are equal.
 */
size_t aiot_best_class(const double *scores, size_t classes, const double *costs);

#endif
