/*
 * The HTTP services that a board of the guide uses: activation at the device registry, then models. Used by board.c. Called in
 * the board's loop. Each call does one bounded piece of work. A model is loaded into the unused half of the board's memory.
 */
#ifndef AIOT_GUIDE_SERVICES_H
#define AIOT_GUIDE_SERVICES_H

#include "aiot/guide.h"

uint64_t aiot_guide_uptime(const aiot_guide_board *board);

/* Asks the registry every 3 s until the board is active. */
void aiot_guide_activate(aiot_guide_board *board);

/* Starts loading the model with this name. Replaces any load in progress. */
void aiot_guide_want(aiot_guide_board *board, const char *name);

/* Continues the load. Returns whether more can be done at once. */
bool aiot_guide_load(aiot_guide_board *board);

#endif
