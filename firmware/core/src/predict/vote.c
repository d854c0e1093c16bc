#include "vote.h"

#include <string.h>

int aiot_vote_push(aiot_vote *vote, int label) {
  if (vote->count < vote->size) vote->count++;
  memmove(vote->last + 1, vote->last, vote->count - 1);
  vote->last[0] = (uint8_t)label;
  int best = label;
  size_t most = 0;
  for (size_t i = 0; i < vote->count; i++) {
    size_t count = 0;
    for (size_t k = 0; k < vote->count; k++) count += vote->last[k] == vote->last[i];
    /* An older class wins only if it is more frequent, so ties go to the newer one. */
    if (count <= most) continue;
    most = count;
    best = vote->last[i];
  }
  return best;
}
