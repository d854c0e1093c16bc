/*
 * The HTTP services that a board of the guide uses: activation at the device registry, then models. Used by board.c. Called on the
 * board's loop; each call does one bounded piece of work. A model is loaded into the unused half of the board's memory.
 */
#ifndef AIOT_GUIDE_SERVICES_H
#define AIOT_GUIDE_SERVICES_H

#include "aiot/guide.h"

uint64_t aiot_guide_uptime(const aiot_guide_board *board);

/* Asks the registry every 3 s until the board is active. */
void aiot_guide_activate(aiot_guide_board *board);

/* Starts to load the model with this name, replacing any load in progress. */
void aiot_guide_want(aiot_guide_board *board, const char *name);

/* Continues the load. Returns whether there is more to do at once. */
bool aiot_guide_load(aiot_guide_board *board);

#endif
