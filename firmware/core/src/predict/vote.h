/* Smooths the classes of successive windows, as in src/lib/model/bundle/predictor.ts. */
#ifndef AIOT_PREDICT_VOTE_H
#define AIOT_PREDICT_VOTE_H

#include <stddef.h>
#include <stdint.h>

#define AIOT_VOTE_MAX 99u

typedef struct {
  /* Number of windows in the vote, from 1 to AIOT_VOTE_MAX. */
  size_t size;
  size_t count;
  /* The newest first. */
  uint8_t last[AIOT_VOTE_MAX];
} aiot_vote;

/* Adds the newest class; returns the most frequent class of the last windows. Ties go to the most recent one. */
int aiot_vote_push(aiot_vote *vote, int label);

#endif
