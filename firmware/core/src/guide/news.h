/*
 * Events of a board of the guide, as JSON in the form of src/lib/device/guide/simulate.ts, for the board's `event` function. Used
 * by board.c and services.c. Called in the board's loop. Texts belong to the caller and are copied.
 */
#ifndef AIOT_GUIDE_NEWS_H
#define AIOT_GUIDE_NEWS_H

#include "aiot/guide.h"

/* Members of an event: two texts, a number and a flag. A member whose key is NULL is omitted. */
typedef struct {
  const char *text_key;
  const char *text;
  const char *number_key;
  double number;
  const char *second_key;
  const char *second;
  const char *flag_key;
  bool flag;
} aiot_guide_news;

void aiot_guide_tell(const aiot_guide_board *board, const char *event, aiot_guide_news news);

/* Emits the event `refused` for unusable input, with the text "SUBJECT: REASON". */
void aiot_guide_refuse(const aiot_guide_board *board, const char *subject, const char *why);

#endif
