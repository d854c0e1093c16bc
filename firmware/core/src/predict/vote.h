/* Smooths the classes of successive windows: src/lib/model/bundle/predictor.ts. */
#ifndef AIOT_PREDICT_VOTE_H
#define AIOT_PREDICT_VOTE_H

#include <stddef.h>
#include <stdint.h>

#define AIOT_VOTE_MAX 99u

typedef struct {
  /* Windows that vote, from 1 to AIOT_VOTE_MAX. */
  size_t size;
  size_t count;
  /* The newest first. */
  uint8_t last[AIOT_VOTE_MAX];
} aiot_vote;

/* Takes the newest class: that which most of the last windows have, of equally frequent ones the one seen last. */
int aiot_vote_push(aiot_vote *vote, int label);

#endif
